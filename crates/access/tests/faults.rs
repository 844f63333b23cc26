//! What an operator reads when the access file is wrong: one line with file, line, key, value and
//! remedy.

use std::path::Path;

use rustsocks_access::acl::{AclError, Fault, Rules};

fn fault(text: &str) -> Fault {
    match Rules::parse(text, Path::new("acl.toml")) {
        Err(AclError::Invalid(fault)) => *fault,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("it was accepted:\n{text}"),
    }
}

/// A file with one rule whose lines are given.
fn with_rule(lines: &str) -> String {
    format!("[[users]]\nusername = \"alice\"\n\n[[users.rules]]\n{lines}\n")
}

#[test]
fn each_mistake_is_told_in_one_line_with_its_place_and_its_remedy() {
    let sound = "action = \"allow\"\ndestinations = [\"*\"]\nports = [\"*\"]\n";
    for (text, message) in [
        ("".to_owned(), r#"acl.toml:1: the file is empty; write at least [global] with default_policy"#),
        ("[global]\ndefault_polcy = \"allow\"\n".to_owned(), r#"acl.toml:2: global.default_polcy: unknown key `default_polcy`; did you mean `default_policy`?"#),
        ("[global]\ndefault_policy = \"alow\"\n".to_owned(), r#"acl.toml:2: global.default_policy = "alow": neither of the two; write "allow" or "block""#),
        ("[global]\ndefault_policy = true\n".to_owned(), r#"acl.toml:2: global.default_policy = true: invalid type: boolean `true`; write "allow" or "block""#),
        ("[globl]\n".to_owned(), r#"acl.toml:1: globl: unknown key `globl`; did you mean `global`?"#),
        ("quota = 5\n".to_owned(), r#"acl.toml:1: quota: unknown key `quota`; known here: global, users, groups"#),
        ("[global\n".to_owned(), r#"acl.toml:1: unclosed table, expected `]`; correct the TOML in this line"#),
        ("[global]\ndefault_policy = allow\n".to_owned(), r#"acl.toml:2: `allow`: string values must be quoted, expected literal string; correct the TOML in this line"#),
        ("users = 5\n".to_owned(), r#"acl.toml:1: users = 5: invalid type: integer `5`; write a list"#),
        ("[[users]]\nusername = 5\n".to_owned(), r#"acl.toml:2: users[0].username = 5: invalid type: integer `5`; write a string"#),
        ("[[users]]\ngroups = []\n".to_owned(), r#"acl.toml:1: users[0]: `username` is missing; write username = "...", the name whose rules follow"#),
        ("[[users]]\nusername = \"\"\n".to_owned(), r#"acl.toml:2: users[0].username = "": an empty name means nobody; write a name"#),
        ("[[users]]\nusername = \"a\"\n[[users]]\nusername = \"a\"\n".to_owned(), r#"acl.toml:4: users[1].username = "a": already used by users[0]; put all of its rules under one heading"#),
        ("[[groups]]\nname = \"a\"\n[[groups]]\nname = \"a\"\n".to_owned(), r#"acl.toml:4: groups[1].name = "a": already used by groups[0]; put all of its rules under one heading"#),
        ("[[users]]\nusername = \"a\"\ngroups = [\"devs\"]\n".to_owned(), r#"acl.toml:3: users[0].groups[0] = "devs": no such group; add a [[groups]] with name = "devs""#),
        ("[[users]]\nusername = \"a\"\ngroups = [\"devlopers\"]\n[[groups]]\nname = \"developers\"\n".to_owned(), r#"acl.toml:3: users[0].groups[0] = "devlopers": no such group; did you mean "developers"?"#),
        (with_rule("acton = \"allow\""), r#"acl.toml:5: users[0].rules[0].acton: unknown key `acton`; did you mean `action`?"#),
        (with_rule("destinations = [\"*\"]\nports = [\"*\"]"), r#"acl.toml:4: users[0].rules[0]: `action` is missing; write action = "allow" or "block""#),
        (with_rule("action = \"allow\"\nports = [\"*\"]"), r#"acl.toml:4: users[0].rules[0]: `destinations` is missing; a rule without them matches nothing; write destinations = ["*"] for all"#),
        (with_rule("action = \"allow\"\ndestinations = [\"*\"]"), r#"acl.toml:4: users[0].rules[0]: `ports` is missing; a rule without them matches nothing; write ports = ["*"] for all"#),
        (with_rule("action = \"allow\"\ndestinations = [\"*\", \"10.0.0.0/40\"]\nports = [\"*\"]"), r#"acl.toml:6: users[0].rules[0].destinations[1] = "10.0.0.0/40": not a CIDR block; write one such as "10.0.0.0/8" or "2001:db8::/32""#),
        (with_rule("action = \"allow\"\ndestinations = []\nports = [\"*\"]"), r#"acl.toml:6: users[0].rules[0].destinations = []: an empty list matches nothing; write an address, a CIDR block, a name, "*.name" or "*""#),
        (with_rule("action = \"allow\"\ndestinations = [5]\nports = [\"*\"]"), r#"acl.toml:6: users[0].rules[0].destinations[0] = 5: 5 is a number; write an address, a CIDR block, a name, "*.name" or "*""#),
        (with_rule("action = \"allow\"\ndestinations = [\"example.com:80\"]\nports = [\"*\"]"), r#"acl.toml:6: users[0].rules[0].destinations[0] = "example.com:80": neither an address nor a name; ports belong into `ports`, IPv6 goes without brackets"#),
        (with_rule("action = \"allow\"\ndestinations = [\"*\"]\nports = [\"80-\"]"), r#"acl.toml:7: users[0].rules[0].ports[0] = "80-": `80-` is not a port or a range; write 443, "443", "8000-9000", "80,443" or "*""#),
        (with_rule("action = \"allow\"\ndestinations = [\"*\"]\nports = [70000]"), r#"acl.toml:7: users[0].rules[0].ports[0] = 70000: not a port; write a number from 0 to 65535"#),
        (with_rule("action = \"allow\"\ndestinations = [\"*\"]\nports = true"), r#"acl.toml:7: users[0].rules[0].ports = true: invalid type: boolean `true`; write 443, "443", "8000-9000", "80,443" or "*", or a list of such"#),
        (with_rule(&format!("{sound}protocols = [\"icmp\"]")), r#"acl.toml:8: users[0].rules[0].protocols[0] = "icmp": not a transport; write "tcp", "udp" or "both""#),
        (with_rule(&format!("{sound}priority = -1")), r#"acl.toml:8: users[0].rules[0].priority = -1: out of range; write a whole number from 0 to 4294967295"#),
        (with_rule(&format!("{sound}priority = \"high\"")), r#"acl.toml:8: users[0].rules[0].priority = "high": a text is no priority; write a whole number from 0 to 4294967295"#),
        (with_rule(&format!("{sound}description = 5")), r#"acl.toml:8: users[0].rules[0].description = 5: invalid type: integer `5`; write a string"#),
    ] {
        assert_eq!(fault(&text).to_string(), message, "{text}");
    }
}

#[test]
fn a_fault_can_be_taken_apart() {
    let text = with_rule("action = \"allow\"\ndestinations = [\"*\"]\nports = [\"80-\"]");
    let fault = fault(&text);
    assert_eq!(fault.file, Path::new("acl.toml"));
    assert_eq!(fault.line, 7);
    assert_eq!(fault.key, "users[0].rules[0].ports[0]");
    assert_eq!(fault.value.as_deref(), Some("\"80-\""));
    assert!(fault.remedy.starts_with("write 443"), "{}", fault.remedy);
}

#[test]
fn a_long_value_is_cut_and_stays_one_line() {
    let long = "ä".repeat(500);
    let message = fault(&format!("[global]\ndefault_policy = \"{long}\"\n")).to_string();
    assert!(message.contains('…') && message.chars().count() < 200, "{message}");
    let lines = fault("[global]\ndefault_policy = \"\"\"a\nb\nc\"\"\"\n").to_string();
    assert_eq!(lines.lines().count(), 1, "{lines}");
}

#[test]
fn a_file_that_is_not_there_is_named_with_a_remedy() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("none.toml");
    let Err(error) = Rules::load(&path) else { panic!("there is no such file") };
    let message = error.to_string();
    assert!(message.contains("none.toml") && message.contains("acl.config_file"), "{message}");
    assert_eq!(message.lines().count(), 1);
}

#[test]
fn a_file_that_is_no_text_or_never_ends_is_refused() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("acl.toml");
    std::fs::write(&path, b"\xff\xfe").unwrap();
    assert!(matches!(Rules::load(&path), Err(AclError::Read { .. })));
    assert!(matches!(Rules::load(Path::new("/dev/zero")), Err(AclError::Read { .. })));
}
