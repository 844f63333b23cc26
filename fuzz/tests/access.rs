//! Fuzz targets: the file of access rules, as raw text and as rules with odd fields.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use bolero::check;
use rustsocks_access::acl::{AclError, Judgement, Question, Rules};
use rustsocks_fuzz::LENGTH_MAX;
use rustsocks_proto::{Host, HostName, Protocol};

/// Parsing a file takes longer than decoding a message.
const ITERATIONS: usize = 2_000;

#[test]
fn any_text_is_loaded_or_refused_in_one_line() {
    check!(name = "access_text").with_iterations(ITERATIONS).with_max_len(LENGTH_MAX).for_each(
        |input| {
            if let Some(rules) = load(&String::from_utf8_lossy(input)) {
                judge(&rules, &[]);
            }
        },
    );
}

#[test]
fn any_fields_of_a_rule_are_loaded_or_refused_in_one_line() {
    check!(name = "access_fields").with_iterations(ITERATIONS).with_max_len(64).for_each(|input| {
        let mut fields = input.split(|&byte| byte == b'\n');
        let mut field = || fields.next().map(spell).unwrap_or_default();
        let (destination, ports) = (field(), field());
        let text = format!(
            r#"
            [global]
            default_policy = "allow"

            [[users]]
            username = "u"
            groups = ["g"]

            [[users.rules]]
            action = "block"
            description = "odd"
            destinations = ["{destination}"]
            ports = ["{ports}", "443"]
            protocols = ["both"]
            priority = 1

            [[groups]]
            name = "g"

            [[groups.rules]]
            action = "allow"
            description = "all"
            destinations = ["*"]
            ports = ["*"]
            "#
        );
        if let Some(rules) = load(&text) {
            judge(&rules, destination.as_bytes());
        }
    });
}

/// Bytes as the characters that destinations and ports are written with, and a few beside them.
fn spell(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"0123456789abcdefxz.*-,:/[]% ";
    let letter = |byte: u8| match byte {
        0xF0.. => '\u{e9}',
        byte if ALPHABET.contains(&byte) => char::from(byte),
        byte => char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]),
    };
    bytes.iter().map(|&byte| letter(byte)).collect()
}

/// Loads rules; where they are refused, checks that an operator gets one readable line.
fn load(text: &str) -> Option<Rules> {
    match Rules::parse(text, Path::new("acl.toml")) {
        Ok(rules) => Some(rules),
        Err(error) => {
            let line = error.to_string();
            assert!(matches!(error, AclError::Invalid(_)), "{line}");
            assert!(line.starts_with("acl.toml:"), "{line}");
            assert!(!line.contains(char::is_control), "{line:?}");
            None
        }
    }
}

/// Asks the rules about the users of the file and checks that the answers fit each other.
fn judge(rules: &Rules, name: &[u8]) {
    let name = std::str::from_utf8(name).ok().and_then(|name| HostName::new(name).ok());
    let addresses = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped()),
    ];
    let hosts = addresses.map(Host::Ip).into_iter().chain(name.map(Host::Name));
    let users: Vec<&str> = rules.users().iter().map(|user| user.name.as_str()).take(3).collect();
    for host in hosts {
        for user in users.iter().copied().chain(["nobody"]) {
            for (port, protocol) in [(443, Protocol::Tcp), (0, Protocol::Udp)] {
                let question = Question { user, host: &host, port, protocol };
                answers_fit(rules, &question, &addresses);
            }
        }
    }
}

fn answers_fit(rules: &Rules, question: &Question<'_>, addresses: &[IpAddr]) {
    let judgement = rules.judge(question);
    let explained = rules.explain(question, None);
    match &judgement {
        Judgement::Allow(verdict) | Judgement::Block(verdict) => {
            assert_eq!(explained.verdict(), Some(verdict));
        }
        Judgement::NeedsAddress => assert_eq!(explained.verdict(), None),
    }
    for &address in addresses {
        let verdict = rules.judge_resolved(question, address);
        assert_eq!(rules.permits(question, Some(address.into())), verdict);
        assert_eq!(rules.explain(question, Some(address)).verdict(), Some(&verdict));
        // A name that is blocked stays blocked wherever it leads.
        let blocked = matches!((question.host, &judgement), (Host::Name(_), Judgement::Block(_)));
        assert!(!(blocked && verdict.is_allow()), "{question:?} at {address}");
    }
}
