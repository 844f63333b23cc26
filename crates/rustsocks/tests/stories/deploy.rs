//! What `deploy/` offers: every metric it speaks of exists, and its alerts fire when they should.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use serde_json::Value;

use super::proxy;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn promtool(words: &[&str]) {
    if !Path::new("/usr/bin/promtool").exists() {
        eprintln!("SKIPPED: promtool (Debian package prometheus) is not installed");
        return;
    }
    let folder = deploy().join("prometheus");
    let output =
        Process::new("/usr/bin/promtool").args(words).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
}

#[test]
fn the_alerts_are_sound_and_fire_when_they_should() {
    promtool(&["check", "rules", "rustsocks.rules.yml"]);
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["test", "rules", "rustsocks.rules.test.yml"]);
}

#[test]
fn every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_is_quiet() {
    let read =
        |name: &str| std::fs::read_to_string(deploy().join("prometheus").join(name)).unwrap();
    let tests = read("rustsocks.rules.test.yml");
    let rules = read("rustsocks.rules.yml");
    let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    for alert in alerts {
        let fires = format!("alertname: {alert}\n        exp_alerts:\n");
        assert!(tests.contains(&fires), "{alert} never fires in a test");
        let quiet = format!("alertname: {alert}, exp_alerts: []");
        assert!(tests.contains(&quiet), "{alert} is never quiet in a test");
    }
}

/// The names of metrics in a text: what begins like one of ours or of the process.
fn names_in(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c: char| !is_name(c))
        .filter(|word| word.starts_with("rustsocks_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

/// Every expression of a dashboard.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str() {
                    Some(text) if ["expr", "query"].contains(&name.as_str()) => {
                        found.push(text.to_owned());
                    }
                    _ => expressions(field, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn every_metric_that_the_dashboard_and_the_alerts_use_is_on_the_page() {
    let page = proxy("").get("/metrics").body;
    let shown: BTreeSet<&str> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split([' ', '{']).next())
        .collect();
    // A proxy without authenticated users has no series of theirs, but the family.
    let is_there = |name: &str| {
        let family = format!("# TYPE {name} ");
        shown.contains(name) || page.lines().any(|line| line.starts_with(&family))
    };
    let dashboard = std::fs::read_to_string(deploy().join("grafana/rustsocks.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let mut texts = Vec::new();
    expressions(&dashboard, &mut texts);
    assert!(texts.len() > 20, "{texts:?}");
    texts.push(std::fs::read_to_string(deploy().join("prometheus/rustsocks.rules.yml")).unwrap());
    let used = names_in(&texts.join("\n"));
    assert!(used.len() > 20, "{used:?}");
    for name in used {
        assert!(is_there(&name), "{name} is used in deploy/ and nobody exports it");
    }
}

#[test]
fn the_unit_is_one_that_systemd_accepts() {
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        eprintln!("SKIPPED: systemd-analyze is not installed");
        return;
    }
    // The program need not be installed where it is tested.
    let folder = tempfile::TempDir::new().unwrap();
    let unit = std::fs::read_to_string(deploy().join("systemd/rustsocks.service")).unwrap();
    let unit = unit.replace("/usr/local/bin/rustsocks", env!("CARGO_BIN_EXE_rustsocks"));
    let path = folder.path().join("rustsocks.service");
    std::fs::write(&path, unit).unwrap();
    let output = Process::new("/usr/bin/systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("rustsocks.service"), "{said}");
    assert!(output.status.success(), "{output:?}");
}
