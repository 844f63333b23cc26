//! Access rules in force: before resolving, after resolving, and after they have changed.

use std::io::Read as _;

use rustix::process::Signal;
use rustsocks_proto::{Command, Reply};
use rustsocks_testkit::client::{Client, Outcome, at, named};
use rustsocks_testkit::{FakeDns, Proxy, eventually};

use super::{end, listener};

fn rules(default: &str, list: &[(&str, &str, &str)]) -> String {
    let mut text =
        format!("[global]\ndefault_policy = \"{default}\"\n[[users]]\nusername = \"anonymous\"\n");
    for (action, description, destination) in list {
        text.push_str(&format!(
            "[[users.rules]]\naction = \"{action}\"\ndescription = \"{description}\"\n\
             destinations = [\"{destination}\"]\nports = [\"*\"]\nprotocols = [\"both\"]\n"
        ));
    }
    text
}

/// A proxy with rules in a folder of their own, and the way to replace them.
struct Ruled {
    proxy: Proxy,
    folder: tempfile::TempDir,
}

impl Ruled {
    fn start(rules: &str, more: &str) -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::write(folder.path().join("acl.toml"), rules).unwrap();
        let file = folder.path().join("acl.toml");
        let config = format!(
            "[acl]\nenabled = true\nwatch = true\nconfig_file = \"{}\"\n{more}",
            file.display()
        );
        Self { proxy: super::proxy(&config), folder }
    }

    /// Replaces the file as editors do: a new one renamed over it.
    fn replace(&self, rules: &str) {
        let new = self.folder.path().join("new.toml");
        std::fs::write(&new, rules).unwrap();
        std::fs::rename(new, self.folder.path().join("acl.toml")).unwrap();
    }

    fn generation(&self) -> u64 {
        self.proxy.get("/api/acl/rules").json()["generation"].as_u64().unwrap()
    }
}

#[test]
fn a_blocked_destination_is_refused_and_recorded_with_its_rule() {
    let ruled = Ruled::start(&rules("allow", &[("block", "not here", "127.0.0.0/8")]), "");
    let (_target, address) = listener();
    let client = Client::connect(ruled.proxy.socks());
    let source = client.source();
    let mut client = client;
    assert!(client.greet());
    assert_eq!(client.ask(Command::Connect, &at(address)).refused(), Reply::NotAllowed);
    let record = ruled.proxy.record_from(source);
    assert_eq!(end(&record), ("rejected_by_acl", "rejected_by_acl"));
    assert_eq!(record["acl_decision"], "block");
    assert_eq!(record["acl_rule_matched"], "not here");
    assert_eq!(ruled.proxy.metric("rustsocks_sessions_rejected_total"), 1);
    assert_eq!(ruled.proxy.metric("rustsocks_sessions_total"), 1);
}

#[test]
fn dns_cannot_carry_a_client_past_a_rule_for_addresses() {
    let dns = FakeDns::start(&[("good.test", &["127.0.0.1"])]);
    let list = [("allow", "the good name", "good.test"), ("block", "no loopback", "127.0.0.0/8")];
    let ruled = Ruled::start(&rules("block", &list), &dns.config());
    let (_target, address) = listener();
    let wish = named("good.test", address.port());
    let reply = Client::socks5(ruled.proxy.socks(), Command::Connect, &wish).refused();
    assert_eq!(reply, Reply::NotAllowed);
    let record = ruled.proxy.record("the name", |record| record["dest_host"] == "good.test");
    assert_eq!(end(&record), ("rejected_by_acl", "rejected_by_acl"));
    assert_eq!(record["acl_rule_matched"], "no loopback");
}

#[test]
fn a_new_file_ends_sessions_that_it_no_longer_allows_within_a_second() {
    let allow = rules("block", &[("allow", "loopback", "127.0.0.0/8")]);
    let ruled = Ruled::start(&allow, "");
    let (target, address) = listener();
    let mut client = Client::socks5(ruled.proxy.socks(), Command::Connect, &at(address)).granted();
    let source = client.source();
    let _peer = target.accept().unwrap();
    ruled.replace(&rules("block", &[]));
    assert!(client.stream.read(&mut [0; 8]).is_err(), "cut by a reset");
    let record = ruled.proxy.record_from(source);
    assert_eq!(end(&record), ("closed", "acl_revoked"));
    let reply = Client::socks5(ruled.proxy.socks(), Command::Connect, &at(address)).refused();
    assert_eq!(reply, Reply::NotAllowed);
}

#[test]
fn a_broken_file_keeps_the_old_rules_and_tells_line_and_key() {
    let allow = rules("block", &[("allow", "loopback", "127.0.0.0/8")]);
    let ruled = Ruled::start(&allow, "");
    let (target, address) = listener();
    ruled.replace(&allow.replace("default_policy", "default_polic"));
    eventually("an event", || {
        let events = ruled.proxy.get("/api/telemetry/events?category=acl&severity=error").json();
        let error = events[0]["details"]["error"].as_str()?.to_owned();
        assert!(error.contains(":2:") && error.contains("default_polic"), "{error}");
        Some(())
    });
    let answer = ruled.proxy.post("/api/admin/reload-acl", "");
    assert_eq!(answer.status, 422, "{answer:?}");
    Client::socks5(ruled.proxy.socks(), Command::Connect, &at(address)).granted();
    target.accept().unwrap();
    assert_eq!(ruled.generation(), 0);
}

#[test]
fn a_hangup_signal_and_the_api_reload_the_rules() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("acl.toml");
    std::fs::write(&file, rules("block", &[])).unwrap();
    let config = format!("[acl]\nenabled = true\nconfig_file = \"{}\"\n", file.display());
    let proxy = super::proxy(&config);
    let (_target, address) = listener();
    let allowed = || match Client::socks5(proxy.socks(), Command::Connect, &at(address)) {
        Outcome::Granted(..) => true,
        Outcome::Refused(_) | Outcome::Closed => false,
    };
    assert!(!allowed());
    std::fs::write(&file, rules("allow", &[])).unwrap();
    proxy.signal(Signal::HUP);
    eventually("the reload", || allowed().then_some(()));
    std::fs::write(&file, rules("block", &[])).unwrap();
    let answer = proxy.post("/api/admin/reload-acl", "");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["changed"], true);
    assert!(!allowed());
}

#[test]
fn the_api_explains_which_rule_decides() {
    let list = [("block", "no loopback", "127.0.0.0/8"), ("allow", "all", "*")];
    let ruled = Ruled::start(&rules("block", &list), "");
    let answer = ruled.proxy.post("/api/acl/test", r#"{"dest":"127.0.0.1","port":80}"#).json();
    assert_eq!(answer["decision"], "block");
    assert_eq!(answer["rule"], "no loopback");
    assert_eq!(answer["matches"].as_array().unwrap().len(), 2);
}
