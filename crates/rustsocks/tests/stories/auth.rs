//! Names and passwords: checked, remembered, reloaded; a flood of failures stays small.

use rustix::process::Signal;
use rustsocks_proto::{AuthStatus, Command, Method};
use rustsocks_testkit::client::{Client, at};
use rustsocks_testkit::eventually;

use super::{end, listener, proxy};

fn users(list: &[(&str, &str)]) -> String {
    let mut config = "[auth]\nsocks_method = \"userpass\"\n".to_owned();
    for (name, password) in list {
        config.push_str(&format!(
            "[[auth.users]]\nusername = \"{name}\"\npassword = \"{password}\"\n"
        ));
    }
    config
}

#[test]
fn the_record_carries_the_authenticated_name_and_so_do_the_metrics() {
    let proxy = proxy(&users(&[("alice", "one"), ("bob", "two")]));
    let (target, address) = listener();
    let mut client = Client::connect(proxy.socks());
    assert_eq!(client.log_in("bob", "two"), Some(AuthStatus::Success));
    let source = client.source();
    let client = client.ask(Command::Connect, &at(address)).granted();
    target.accept().unwrap();
    drop(client);
    assert_eq!(proxy.record_from(source)["user"], "bob");
    let page = proxy.get("/metrics").body;
    assert!(page.contains("rustsocks_user_sessions_total{user=\"bob\"} 1"), "{page}");
}

#[test]
fn a_client_without_the_right_method_is_told_none_of_these() {
    let proxy = proxy(&users(&[("alice", "one")]));
    let mut client = Client::connect(proxy.socks());
    assert_eq!(client.offer(&[Method::None]), Some(Method::Unacceptable));
    assert!(proxy.records().is_empty(), "it has asked for nothing");
}

#[test]
fn socks4_is_refused_where_a_name_must_be_proved() {
    let proxy = proxy(&users(&[("alice", "one")]));
    let (_target, address) = listener();
    assert!(Client::socks4(proxy.socks(), &at(address)).is_none());
}

#[test]
fn a_flood_of_failures_is_a_few_records_and_the_source_is_not_heard_for_a_while() {
    let mut proxy = proxy(&users(&[("alice", "one")]));
    let attempts = 200;
    for number in 0..attempts {
        let mut client = Client::connect(proxy.socks());
        let status = client.log_in("alice", &format!("guess {number}"));
        assert_eq!(status, Some(AuthStatus::Failure));
    }
    let events = proxy.get("/api/telemetry/events?category=security").json();
    assert_eq!(events.as_array().unwrap().len(), 1, "{events}");
    assert_eq!(proxy.terminate(), Some(0));
    proxy.restart();
    let records = proxy.records();
    assert!(records.len() <= 3, "{} records", records.len());
    let counted: u64 = records
        .iter()
        .map(|record| {
            assert_eq!(end(record), ("failed", "auth_failed"));
            let detail = record["close_detail"].as_str().unwrap();
            detail.split(" more").next().and_then(|count| count.parse().ok()).unwrap_or(1)
        })
        .sum();
    assert_eq!(counted, attempts);
}

#[test]
fn a_hangup_signal_reloads_the_users() {
    let proxy = proxy(&users(&[("alice", "old")]));
    let config = proxy.folder().join("rustsocks.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"old\"", "\"new\"")).unwrap();
    proxy.signal(Signal::HUP);
    eventually("the new password", || {
        let mut client = Client::connect(proxy.socks());
        (client.log_in("alice", "new") == Some(AuthStatus::Success)).then_some(())
    });
    let mut client = Client::connect(proxy.socks());
    assert_eq!(client.log_in("alice", "old"), Some(AuthStatus::Failure));
}

#[test]
fn what_a_reload_cannot_change_is_told_and_changes_nothing() {
    let proxy = proxy("");
    let config = proxy.folder().join("rustsocks.toml");
    let before = std::fs::read_to_string(&config).unwrap();
    let acl = proxy.folder().join("acl.toml");
    std::fs::write(&acl, "[global]\ndefault_policy = \"block\"\n").unwrap();
    let logins = "[sessions.dashboard_auth]\nenabled = true\n[[sessions.dashboard_auth.users]]\n\
                  username = \"op\"\npassword = \"a long password\"\n";
    let rules = format!("[acl]\nenabled = true\nconfig_file = \"{}\"\n", acl.display());
    for (key, more) in [
        ("auth.socks_method", users(&[("alice", "secret")]).as_str()),
        ("sessions.dashboard_auth.enabled", logins),
        ("acl.enabled", &rules),
    ] {
        std::fs::write(&config, format!("{before}\n{more}")).unwrap();
        proxy.signal(Signal::HUP);
        eventually(key, || {
            let events = proxy.get("/api/telemetry/events?category=security").json();
            let told = |event: &serde_json::Value| {
                event["details"]["error"].as_str().is_some_and(|error| error.contains(key))
            };
            events.as_array().unwrap().iter().any(told).then_some(())
        });
    }
    assert!(Client::connect(proxy.socks()).greet(), "nobody is asked for a password yet");
}

#[test]
fn no_password_ever_reaches_an_answer_or_the_log() {
    let proxy = proxy(&users(&[("alice", "hunter2hunter2")]));
    let mut client = Client::connect(proxy.socks());
    client.log_in("alice", "wrongwrongwrong");
    for path in ["/health", "/metrics", "/api/sessions/history", "/api/telemetry/events"] {
        let body = proxy.get(path).body;
        assert!(!body.contains("hunter2") && !body.contains("wrongwrong"), "{path}: {body}");
    }
}
