//! The access file of RustSocks 0.9 loads unchanged and means what it meant.

#![expect(clippy::unwrap_used, reason = "a broken fixture fails the test, as it should")]

use std::net::IpAddr;
use std::path::Path;

use rustsocks_access::acl::{Decision, Judgement, Question, Rules};
use rustsocks_proto::{Host, HostName, Protocol};

fn rules() -> Rules {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/acl-0.9.toml");
    Rules::load(&path).unwrap_or_else(|error| panic!("{error}"))
}

fn host(text: &str) -> Host {
    match text.parse::<IpAddr>() {
        Ok(address) => Host::Ip(address),
        Err(_) => Host::Name(HostName::new(text).unwrap()),
    }
}

/// The verdict and its rule, or "resolve" where the address has to decide.
fn judged(rules: &Rules, user: &str, target: &str, protocol: Protocol) -> String {
    let (name, port) = target.rsplit_once(' ').unwrap();
    let host = host(name);
    let question = Question { user, host: &host, port: port.parse().unwrap(), protocol };
    match rules.judge(&question) {
        Judgement::Allow(verdict) | Judgement::Block(verdict) => {
            format!("{}: {}", verdict.decision, verdict.rule.unwrap())
        }
        Judgement::NeedsAddress => "resolve".to_owned(),
    }
}

#[test]
fn the_file_is_read_in_full() {
    let rules = rules();
    assert_eq!(rules.default_policy(), Decision::Block);
    let users: Vec<_> = rules.users().iter().map(|user| user.name.as_str()).collect();
    assert_eq!(users, ["anonymous", "alice"]);
    assert_eq!(rules.users()[1].groups, ["developers"]);
    assert_eq!(rules.rule_count(), 3);
    let developers = &rules.groups()[0].rules[0];
    assert_eq!(developers.name.as_str(), "Development servers");
    assert_eq!(developers.ports.to_string(), "22,80,443,8000-9000");
    assert_eq!(developers.protocols.name(), "both");
    assert_eq!((developers.priority, developers.line), (50, 32));
    assert_eq!(developers.place, "groups[0].rules[0]");
    let destinations: Vec<_> = developers.destinations.iter().map(ToString::to_string).collect();
    assert_eq!(destinations, ["*.dev.example.com", "api.*.example.com", "10.0.0.0/8"]);
}

#[test]
fn each_rule_of_the_file_decides_as_it_reads() {
    let rules = rules();
    let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
    let mirrors = "allow: Anyone may reach the mirrors";
    let servers = "allow: Development servers";
    let default = "block: default policy";
    for (user, target, protocol, expected) in [
        ("anonymous", "a.mirror.example 443", tcp, mirrors),
        ("anonymous", "192.0.2.7 80", tcp, mirrors),
        ("anonymous", "2001:db8::1 443", tcp, mirrors),
        ("anonymous", "a.mirror.example 443", udp, default),
        ("anonymous", "a.mirror.example 22", tcp, default),
        ("anonymous", "mirror.example 443", tcp, "resolve"),
        ("anonymous", "10.0.0.1 80", tcp, default),
        ("alice", "admin.example.com 443", tcp, "block: Not the admin panel"),
        ("alice", "ADMIN.example.com. 1", udp, "block: Not the admin panel"),
        ("alice", "x.dev.example.com 8080", tcp, servers),
        ("alice", "api.eu.example.com 443", udp, servers),
        ("alice", "10.1.2.3 22", tcp, servers),
        ("alice", "10.1.2.3 23", tcp, default),
        ("alice", "192.0.2.7 80", tcp, default),
        ("bob", "10.1.2.3 22", tcp, default),
        ("bob", "a.mirror.example 443", tcp, default),
        ("Alice", "10.1.2.3 22", tcp, default),
    ] {
        assert_eq!(judged(&rules, user, target, protocol), expected, "{user} to {target}");
    }
}
