//! Runs the program itself, briefly, with the peers that need nothing installed.

#![expect(clippy::unwrap_used, reason = "what fails here is to fail the test")]

use std::fs;
use std::process::Command;

use serde_json::Value;

fn run(arguments: &str) -> (String, Value) {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_rustsocks-bench"))
        .args(arguments.split(' '))
        .arg("--json")
        .arg(&json)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    (String::from_utf8(output.stdout).unwrap(), report)
}

/// The median of a figure, or null.
fn median(report: &Value, case: &str, peer: &str, metric: &str) -> Value {
    let by = |list: &Value, key: &str, name: &str| {
        list.as_array()
            .unwrap()
            .iter()
            .find(|entry| entry[key] == name)
            .cloned()
            .unwrap_or_default()
    };
    let peer = by(&by(&report["cases"], "case", case)["peers"], "peer", peer);
    assert_eq!(peer["failures"], Value::Array(Vec::new()), "{case}");
    by(&peer["figures"], "metric", metric)["median"].clone()
}

#[test]
fn every_case_gives_its_figures_for_the_plain_relay() {
    let (markdown, report) =
        run("--peers direct,relay --rounds 1 --seconds 0.2 --idle-seconds 0.5");
    for (case, metrics) in [
        ("down-1", &["gb_per_second", "cpu_seconds_per_gb"][..]),
        ("down-16", &["gb_per_second", "cpu_seconds_per_gb"]),
        ("up-1", &["gb_per_second", "cpu_seconds_per_gb"]),
        ("up-16", &["gb_per_second", "cpu_seconds_per_gb"]),
        ("short", &["per_second", "cpu_micros_each"]),
        ("rr-1", &["per_second", "cpu_micros_each", "p50_micros", "p99_micros"]),
        ("rr-256", &["per_second", "cpu_micros_each", "p50_micros", "p99_micros"]),
        ("idle", &["kib_each", "mib_in_all", "held"]),
    ] {
        for metric in metrics {
            let value = median(&report, case, "relay", metric);
            assert!(value.as_f64().is_some_and(|value| value > 0.0), "{case} {metric}: {value}");
        }
    }
    assert!(median(&report, "udp", "direct", "per_second").as_f64().is_some_and(|rate| rate > 0.0));
    assert!(median(&report, "down-1", "direct", "cpu_seconds_per_gb").is_null());
    assert!(markdown.contains("| relay |") && markdown.contains("## To reach: rustsocks"));
}

#[test]
fn a_peer_that_falls_over_is_reported_and_the_others_go_on() {
    let (markdown, report) =
        run("--peers direct --peer bad=false{port} --cases rr-1 --rounds 2 --seconds 0.1");
    assert!(markdown.contains("bad: failed:"), "{markdown}");
    let direct = &report["cases"][0]["peers"][0];
    assert_eq!(direct["peer"], "direct");
    assert_eq!(direct["figures"][0]["rounds"].as_array().unwrap().len(), 2);
}

#[test]
fn a_peer_that_is_not_installed_is_named_and_left_out() {
    let (markdown, report) = run(
        "--peers direct,rustsocks --rustsocks /nonexistent --cases rr-1 --rounds 1 --seconds 0.1",
    );
    assert!(markdown.contains("Not installed: rustsocks."), "{markdown}");
    assert_eq!(report["missing"], serde_json::json!(["rustsocks"]));
}
