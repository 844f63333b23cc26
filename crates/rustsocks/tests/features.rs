//! The program with whatever features it was built with: runs, and names what is missing.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write as _;
use std::process::{Command, Output};

fn check(text: &str) -> Output {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Command::new(env!("CARGO_BIN_EXE_rustsocks")).arg("check").arg(file.path()).output().unwrap()
}

/// A setting is sound where its feature is compiled in, else an error that names the feature.
fn needs(feature: &str, compiled_in: bool, text: &str) {
    let output = check(text);
    let complaint = String::from_utf8_lossy(&output.stderr);
    if compiled_in {
        assert!(output.status.success(), "{complaint}");
    } else {
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        assert!(complaint.contains(&format!("--features {feature}")), "{complaint}");
        assert_eq!(complaint.lines().count(), 1);
    }
}

#[test]
fn the_embedded_defaults_are_sound_with_any_features() {
    assert!(check("").status.success());
}

#[test]
fn sqlite_needs_the_database_feature() {
    needs("database", cfg!(feature = "database"), "[sessions]\nstorage = \"sqlite\"\n");
}

#[test]
fn database_servers_need_their_features() {
    let text = "[sessions]\nstorage = \"mariadb\"\ndatabase_url = \"mysql://u:p@h/d\"\n";
    needs("mysql", cfg!(feature = "mysql"), text);
    let text = "[sessions]\nstorage = \"postgres\"\ndatabase_url = \"postgres://u:p@h/d\"\n";
    needs("postgres", cfg!(feature = "postgres"), text);
}

#[test]
fn the_metrics_page_needs_the_metrics_feature() {
    needs("metrics", cfg!(feature = "metrics"), "[metrics]\nenabled = true\n");
}

#[test]
fn the_api_browser_needs_the_api_docs_feature() {
    needs("api-docs", cfg!(feature = "api-docs"), "[sessions]\nswagger_enabled = true\n");
}

#[test]
fn the_dashboard_needs_the_dashboard_feature() {
    needs("dashboard", cfg!(feature = "dashboard"), "[sessions]\ndashboard_enabled = true\n");
}

#[test]
fn memory_needs_no_feature() {
    assert!(check("[sessions]\nstorage = \"memory\"\n").status.success());
}
