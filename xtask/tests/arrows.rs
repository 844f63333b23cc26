//! Which crate may use which: the arrows of ARCHITECTURE.md, held by a test.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// What each crate may use of the workspace, in the product itself (tests may use more).
const ARROWS: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("telemetry", &[]),
    ("access", &["proto"]),
    ("sessions", &["proto", "access"]),
    ("journal", &["proto", "sessions"]),
    ("relay", &["proto", "sessions"]),
    ("server", &["proto", "telemetry", "access", "sessions", "relay"]),
    ("storage", &["proto", "access", "sessions", "journal", "telemetry"]),
    ("api", &["proto", "access", "sessions", "journal", "telemetry", "storage"]),
    ("testkit", &["proto"]),
    ("bench", &[]),
    ("fuzz", &["proto", "access"]),
];

/// Outside crates that may not reach a room, however they would come.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("proto", &["tokio", "serde"]),
    ("access", &["sqlx", "axum"]),
    ("sessions", &["sqlx", "axum", "serde"]),
    ("journal", &["sqlx", "axum", "serde_json"]),
    ("relay", &["sqlx", "axum", "serde"]),
    ("server", &["sqlx", "axum", "serde_json"]),
    ("storage", &["axum"]),
    ("api", &["sqlx"]),
];

type Uses = BTreeMap<String, BTreeSet<String>>;

/// Direct dependencies of every workspace crate, without those of tests.
fn dependencies() -> Uses {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .expect("cargo metadata runs");
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    packages
        .iter()
        .map(|package| {
            let list = package["dependencies"].as_array().expect("a list of dependencies");
            let uses = list
                .iter()
                .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
                .filter_map(|dependency| dependency["name"].as_str())
                .map(|name| name.trim_start_matches("rustsocks-").to_owned())
                .collect();
            let name = package["name"].as_str().expect("a name");
            (name.trim_start_matches("rustsocks-").to_owned(), uses)
        })
        .collect()
}

#[test]
fn every_crate_uses_only_what_its_room_allows() {
    let uses = dependencies();
    let ours: BTreeSet<&str> = uses.keys().map(String::as_str).collect();
    for (name, allowed) in ARROWS {
        let used = &uses[*name];
        let own: Vec<&String> = used.iter().filter(|used| ours.contains(used.as_str())).collect();
        for used in own {
            assert!(allowed.contains(&used.as_str()), "{name} may not use {used}");
        }
    }
    let known: BTreeSet<&str> =
        ARROWS.iter().map(|(name, _)| *name).chain(["rustsocks", "xtask"]).collect();
    assert_eq!(ours, known, "every crate has its line above; a new one needs a decision page");
}

#[test]
fn outside_crates_stay_out_of_rooms_that_must_not_know_them() {
    let uses = dependencies();
    for (name, forbidden) in FORBIDDEN {
        for outsider in *forbidden {
            assert!(!uses[*name].contains(*outsider), "{name} may not use {outsider}");
        }
    }
}
