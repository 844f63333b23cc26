//! Statistics: the same figures by the API, by SQL over the table, and by the test's own peers.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::process::Command as Process;

use rustsocks_proto::Command;
use rustsocks_testkit::client::{Client, at};
use rustsocks_testkit::{Proxy, eventually};
use serde_json::Value;
use tempfile::TempDir;

use super::{listener, proxy};

const TWO_USERS: &str = "[auth]\nsocks_method = \"userpass\"\n\
    [[auth.users]]\nusername = \"alice\"\npassword = \"a\"\n\
    [[auth.users]]\nusername = \"bob\"\npassword = \"b\"\n\
    [acl]\nenabled = true\nconfig_file = \"RULES\"\n";

const RULES: &str = "[global]\ndefault_policy = \"allow\"\n[[users]]\nusername = \"bob\"\n\
    [[users.rules]]\naction = \"block\"\ndescription = \"no discard\"\ndestinations = [\"*\"]\n\
    ports = [9]\n";

/// A proxy with the rules, and the folder in which they are.
fn with_rules(config: &str) -> (Proxy, TempDir) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("acl.toml");
    std::fs::write(&file, RULES).unwrap();
    (proxy(&config.replace("RULES", file.to_str().unwrap())), folder)
}

/// A session that sends and gets so many bytes, and stays open.
fn session(proxy: &Proxy, user: &str, sent: usize, got: usize) -> (Client, SocketAddr) {
    let (target, address) = listener();
    let mut client = Client::connect(proxy.socks());
    client.log_in(user, &user[..1]).unwrap();
    let mut client = client.ask(Command::Connect, &at(address)).granted();
    let (mut peer, _) = target.accept().unwrap();
    client.send(&vec![1; sent]);
    peer.read_exact(&mut vec![0; sent]).unwrap();
    peer.write_all(&vec![2; got]).unwrap();
    client.stream.read_exact(&mut vec![0; got]).unwrap();
    (client, address)
}

fn stats(proxy: &Proxy, query: &str) -> Value {
    let answer = proxy.get(&format!("/api/sessions/stats{query}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Some sessions of both users: two ended ones and one running of alice, a refused one, a failed
/// one and an ended one of bob. Gives the running one, and the destination of the two.
fn some_sessions(proxy: &Proxy) -> (Client, SocketAddr) {
    let (first, address) = session(proxy, "alice", 100, 1000);
    drop(first);
    drop(session(proxy, "bob", 5, 50));
    let (target, closed) = listener();
    drop(target);
    for refused in ["127.0.0.1:9".parse().unwrap(), closed] {
        let mut client = Client::connect(proxy.socks());
        client.log_in("bob", "b").unwrap();
        client.ask(Command::Connect, &at(refused)).refused();
    }
    drop(session(proxy, "alice", 7, 70));
    let (running, _) = session(proxy, "alice", 30, 300);
    eventually("the others to end", || (proxy.active().len() == 1).then_some(()));
    (running, address)
}

fn check(stats: &Value, address: SocketAddr) {
    assert_eq!(stats["window_hours"], 24);
    assert_eq!(stats["active_sessions"], 1);
    assert_eq!(stats["total_sessions"], 6);
    assert_eq!(stats["total_bytes_sent"], 100 + 5 + 7 + 30);
    assert_eq!(stats["total_bytes_received"], 1000 + 50 + 70 + 300);
    assert_eq!(stats["rejected_sessions"], 1);
    assert_eq!(stats["failed_sessions"], 1);
    let users = stats["top_users"].as_array().unwrap();
    assert_eq!(users[0], serde_json::json!({"user": "alice", "sessions": 3, "bytes": 1507}));
    assert_eq!(users[1], serde_json::json!({"user": "bob", "sessions": 3, "bytes": 55}));
    let dests = stats["top_destinations"].as_array().unwrap();
    assert_eq!(dests.len(), 6);
    let first = dests.iter().find(|dest| dest["dest"] == address.to_string()).unwrap();
    assert_eq!((&first["sessions"], &first["bytes"]), (&1.into(), &1100.into()));
}

#[test]
fn statistics_are_what_the_peers_counted_running_sessions_included() {
    for storage in ["sqlite", "memory"] {
        let config = format!("{TWO_USERS}[sessions]\nstorage = \"{storage}\"\n");
        let (proxy, _rules) = with_rules(&config);
        let (running, address) = some_sessions(&proxy);
        check(&stats(&proxy, ""), address);
        assert_eq!(stats(&proxy, "?top=1")["top_users"].as_array().unwrap().len(), 1);
        drop(running);
        eventually("the last to end", || (stats(&proxy, "")["active_sessions"] == 0).then_some(()));
        assert_eq!(stats(&proxy, "?window_hours=1")["total_sessions"], 6);
    }
}

#[test]
fn statistics_equal_sql_over_the_table_and_survive_a_restart() {
    let (mut proxy, _rules) = with_rules(TWO_USERS);
    let database = proxy.folder().join("data/sessions.db");
    let (running, address) = some_sessions(&proxy);
    eventually("the running session's row", || {
        let sql = "SELECT COUNT(*) FROM sessions WHERE status = 'active'";
        let output = Process::new("sqlite3").arg(&database).arg(sql).output().unwrap();
        (output.stdout == b"1\n").then_some(())
    });
    check(&stats(&proxy, ""), address);
    drop(running);
    assert_eq!(proxy.terminate(), Some(0));
    proxy.restart();
    let told = stats(&proxy, "");
    let sql = "SELECT COUNT(*), SUM(bytes_sent), SUM(bytes_received), \
               SUM(status='rejected_by_acl'), SUM(status='failed') FROM sessions";
    let output = Process::new("sqlite3").arg(&database).arg(sql).output().unwrap();
    let names = [
        "total_sessions",
        "total_bytes_sent",
        "total_bytes_received",
        "rejected_sessions",
        "failed_sessions",
    ];
    let told_line: Vec<String> = names.map(|name| told[name].to_string()).into();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), told_line.join("|"));
    let sql = "SELECT user, COUNT(*), SUM(bytes_sent+bytes_received) AS b FROM sessions \
               GROUP BY user ORDER BY b DESC, user LIMIT 10";
    let output = Process::new("sqlite3").arg(&database).arg(sql).output().unwrap();
    let told_users: Vec<String> = told["top_users"]
        .as_array()
        .unwrap()
        .iter()
        .map(|user| {
            format!("{}|{}|{}", user["user"].as_str().unwrap(), user["sessions"], user["bytes"])
        })
        .collect();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), told_users.join("\n"));
    let verify = Process::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(["db", "verify", "--database"])
        .arg(&database)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&verify.stdout).into_owned();
    assert!(text.contains("the rollups are what counting the rows gives"), "{text} {verify:?}");
}

#[test]
fn statistics_hold_what_a_locked_database_does_not_have_yet() {
    let (proxy, _rules) = with_rules(TWO_USERS);
    drop(session(&proxy, "alice", 1, 1));
    eventually("the first record", || (proxy.records().len() == 1).then_some(()));
    let holder = super::ledger::hold(&proxy.folder().join("data/sessions.db"));
    drop(session(&proxy, "alice", 10, 10));
    drop(session(&proxy, "bob", 100, 100));
    eventually("the sessions to end", || (proxy.active().is_empty()).then_some(()));
    let told = stats(&proxy, "");
    assert_eq!((&told["total_sessions"], &told["total_bytes_sent"]), (&3.into(), &111.into()));
    drop(holder);
    eventually("the records", || (proxy.records().len() == 3).then_some(()));
    let told = stats(&proxy, "");
    assert_eq!((&told["total_sessions"], &told["total_bytes_sent"]), (&3.into(), &111.into()));
}

#[test]
fn usage_shows_the_bytes_of_today_running_sessions_included() {
    let proxy = proxy(&TWO_USERS.replace("enabled = true", "enabled = false"));
    let (_running, _) = session(&proxy, "alice", 30, 300);
    drop(session(&proxy, "bob", 1, 2));
    for (query, expected) in [("?user=alice&bucket=day", (30, 300)), ("?bucket=hour", (31, 302))] {
        let usage = proxy.get(&format!("/api/stats/usage{query}")).json();
        let sum = |name: &str| -> u64 {
            let data = usage["data"].as_array().unwrap();
            data.iter().map(|point| point[name].as_u64().unwrap()).sum()
        };
        assert_eq!((sum("bytes_sent"), sum("bytes_received")), expected, "{query}");
    }
    for (wrong, name) in [
        ("bucket=week", "bucket"),
        ("from=now", "from"),
        ("to=", "to"),
        ("user=", "user"),
        ("from=2026-01-01T00:00:00Z&to=2025-01-01T00:00:00Z", "from"),
        ("from=1970-01-01T00:00:00Z&bucket=hour", "from"),
        ("bogus=1", "bogus"),
    ] {
        let answer = proxy.get(&format!("/api/stats/usage?{wrong}"));
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(name), "{wrong}");
    }
}

#[test]
fn failures_tell_why_by_which_rule_whose_and_where() {
    for storage in ["sqlite", "memory"] {
        let config = format!("{TWO_USERS}[sessions]\nstorage = \"{storage}\"\n");
        let (proxy, _rules) = with_rules(&config);
        let (running, _) = some_sessions(&proxy);
        let mut stranger = Client::connect(proxy.socks());
        stranger.log_in("mallory", "x");
        drop(stranger);
        let failures = || proxy.get("/api/stats/failures?window_hours=2").json();
        let told = eventually("the failed login", || {
            Some(failures()).filter(|told| told["failed_sessions"] == 2)
        });
        let one = |name: &str| serde_json::json!([{"name": name, "sessions": 1}]);
        assert_eq!((&told["window_hours"], &told["rejected_sessions"]), (&2.into(), &1.into()));
        let reasons = ["auth_failed", "connect_refused", "rejected_by_acl"];
        let reasons = reasons.map(|name| serde_json::json!({"name": name, "sessions": 1}));
        assert_eq!(told["by_reason"], serde_json::json!(reasons));
        assert_eq!(told["by_rule"], one("no discard"));
        assert_eq!(told["by_user"], serde_json::json!([{"name": "bob", "sessions": 2}]));
        assert_eq!(told["by_destination"].as_array().unwrap().len(), 2, "{told}");
        let top = proxy.get("/api/stats/failures?top=1").json();
        assert_eq!(top["by_reason"], one("auth_failed"));
        assert_eq!(stats(&proxy, "")["top_users"].as_array().unwrap().len(), 2, "no empty name");
        drop(running);
    }
}

#[test]
fn wrong_windows_are_a_400_that_names_them() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\nstats_window_hours = 7\n");
    assert_eq!(stats(&proxy, "")["window_hours"], 7);
    assert_eq!(stats(&proxy, "?window_hours=87600")["window_hours"], 87_600);
    for wrong in ["0", "-1", "87601", "x", "", "1.5", "1e3", "99999999999999999999", "%00"] {
        for name in ["window_hours", "top"] {
            for path in ["/api/sessions/stats", "/api/stats/failures"] {
                let answer = proxy.get(&format!("{path}?{name}={wrong}"));
                assert_eq!(answer.status, 400, "{name}={wrong}");
                assert!(answer.json()["detail"].as_str().unwrap().contains(name), "{name}={wrong}");
            }
        }
    }
}
