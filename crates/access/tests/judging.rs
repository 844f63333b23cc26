//! The order among rules, and where names and addresses meet.

#![expect(clippy::unwrap_used, reason = "a broken fixture fails the test, as it should")]

use std::net::IpAddr;
use std::path::Path;

use rustsocks_access::UserName;
use rustsocks_access::acl::{
    Acl, AclError, Decision, Judgement, Question, Resolved, Rules, Verdict,
};
use rustsocks_proto::{Host, HostName, Protocol};

/// A rule for port 80 and everything else about it given.
struct R(&'static str, &'static str, &'static str, u32);

fn file(default: &str, own: &[R], group: &[R]) -> String {
    let rules = |table: &str, rules: &[R]| -> String {
        rules
            .iter()
            .map(|R(action, name, destination, priority)| {
                format!(
                    "[[{table}.rules]]\naction = \"{action}\"\ndescription = \"{name}\"\n\
                     destinations = [\"{destination}\"]\nports = [80]\npriority = {priority}\n"
                )
            })
            .collect()
    };
    format!(
        "[global]\ndefault_policy = \"{default}\"\n[[users]]\nusername = \"alice\"\n\
         groups = [\"staff\"]\n{}[[groups]]\nname = \"staff\"\n{}",
        rules("users", own),
        rules("groups", group)
    )
}

fn rules(default: &str, own: &[R], group: &[R]) -> Rules {
    Rules::parse(&file(default, own, group), Path::new("acl.toml")).unwrap()
}

fn host(text: &str) -> Host {
    match text.parse::<IpAddr>() {
        Ok(address) => Host::Ip(address),
        Err(_) => Host::Name(HostName::new(text).unwrap()),
    }
}

fn ask(host: &Host) -> Question<'_> {
    Question { user: "alice", host, port: 80, protocol: Protocol::Tcp }
}

fn told(verdict: &Verdict) -> String {
    format!("{} {}", verdict.decision, verdict.rule.as_ref().map_or("-", |rule| rule.as_str()))
}

fn judged(rules: &Rules, target: &str) -> String {
    match rules.judge(&ask(&host(target))) {
        Judgement::Allow(verdict) | Judgement::Block(verdict) => told(&verdict),
        Judgement::NeedsAddress => "resolve".to_owned(),
    }
}

fn resolved(rules: &Rules, target: &str, address: &str) -> String {
    told(&rules.judge_resolved(&ask(&host(target)), address.parse::<IpAddr>().unwrap()))
}

#[test]
fn a_short_name_that_a_search_list_completes_is_judged_by_both_names() {
    let list = [R("block", "no inside", "*.corp.test", 0), R("allow", "short", "open", 1)];
    let rules = rules("block", &list, &[]);
    let found = |asked: &str, whole: &str| {
        let whole = HostName::new(whole).unwrap();
        let address = "192.0.2.1".parse().unwrap();
        let resolved = Resolved { address, found_as: Some(&whole) };
        let verdict = told(&rules.judge_resolved(&ask(&host(asked)), resolved));
        let later = told(&rules.permits(&ask(&host(asked)), Some(resolved)));
        assert_eq!(later, verdict, "a running session is judged as a new one");
        verdict
    };
    assert_eq!(found("open", "open.corp.test"), "block no inside");
    assert_eq!(found("open", "open.other.test"), "allow short");
    assert_eq!(found("secret", "secret.other.test"), "block default policy");
}

#[test]
fn a_block_rule_wins_over_an_allow_rule_of_any_priority() {
    let rules = rules(
        "allow",
        &[R("allow", "all", "*", 4_000_000_000)],
        &[R("block", "no x", "x.test", 0), R("block", "no net", "10.0.0.0/8", 1)],
    );
    assert_eq!(judged(&rules, "x.test"), "block no x");
    assert_eq!(judged(&rules, "10.0.0.1"), "block no net");
    assert_eq!(judged(&rules, "y.test"), "allow all");
}

#[test]
fn among_equal_actions_the_higher_priority_is_named_then_the_users_own_then_the_first() {
    let rules = rules(
        "block",
        &[
            R("allow", "low", "*", 1),
            R("allow", "own", "x.test", 7),
            R("allow", "late", "x.test", 7),
        ],
        &[R("allow", "group", "x.test", 7), R("allow", "high", "y.test", 9)],
    );
    assert_eq!(judged(&rules, "x.test"), "allow own");
    assert_eq!(judged(&rules, "y.test"), "allow high");
    assert_eq!(judged(&rules, "z.test"), "allow low");
}

#[test]
fn a_rule_without_description_is_named_by_its_place() {
    let rules = rules("block", &[], &[R("allow", " ", "x.test", 1)]);
    assert_eq!(judged(&rules, "x.test"), "allow groups[0].rules[0]");
}

#[test]
fn a_name_cannot_lead_to_an_address_that_a_rule_blocks() {
    for default in ["allow", "block"] {
        let rules = rules(
            default,
            &[R("allow", "site", "*.site.test", 1_000), R("block", "inside", "10.0.0.0/8", 1)],
            &[],
        );
        assert_eq!(judged(&rules, "a.site.test"), "allow site");
        assert_eq!(resolved(&rules, "a.site.test", "10.0.0.1"), "block inside");
        assert_eq!(resolved(&rules, "a.site.test", "::ffff:10.0.0.1"), "block inside");
        assert_eq!(resolved(&rules, "a.site.test", "192.0.2.1"), "allow site");
    }
}

#[test]
fn a_name_in_no_rule_is_resolved_only_where_an_address_could_be_allowed() {
    let open = rules("block", &[R("allow", "net", "192.0.2.0/24", 1)], &[]);
    assert_eq!(judged(&open, "x.test"), "resolve");
    assert_eq!(resolved(&open, "x.test", "192.0.2.1"), "allow net");
    assert_eq!(resolved(&open, "x.test", "203.0.113.1"), "block default policy");
    let name = host("x.test");
    let other_port = Question { port: 443, ..ask(&name) };
    assert!(matches!(open.judge(&other_port), Judgement::Block(_)));
    let closed = rules("block", &[R("allow", "site", "site.test", 1)], &[]);
    assert_eq!(judged(&closed, "x.test"), "block default policy");
}

#[test]
fn a_blocked_name_is_blocked_before_it_is_resolved() {
    let rules = rules("allow", &[R("block", "no", "*.bad.test", 1)], &[]);
    assert_eq!(judged(&rules, "a.bad.test"), "block no");
    assert_eq!(judged(&rules, "bad.test"), "allow default policy");
}

#[test]
fn a_session_that_is_still_resolving_is_not_held_against_its_name() {
    let rules = rules("block", &[R("allow", "net", "192.0.2.0/24", 1)], &[]);
    let host = host("x.test");
    let permits = |resolved: Option<&str>| {
        rules
            .permits(&ask(&host), resolved.map(|text| text.parse::<IpAddr>().unwrap().into()))
            .is_allow()
    };
    assert!(permits(None));
    assert!(permits(Some("192.0.2.1")));
    assert!(!permits(Some("203.0.113.1")));
}

#[test]
fn an_explanation_lists_every_matching_rule_and_says_which_decides() {
    let rules = rules(
        "block",
        &[R("allow", "site", "*.site.test", 50), R("block", "inside", "10.0.0.0/8", 1)],
        &[R("allow", "everything", "*", 7)],
    );
    let host = host("a.site.test");
    let explanation = rules.explain(&ask(&host), Some("10.0.0.1".parse().unwrap()));
    assert_eq!(
        explanation.to_string(),
        "block: alice to a.site.test:80 over tcp at 10.0.0.1\n\
         \x20 in staff\n\
         \x20 decides: block \"inside\" (line 12, priority 1): 10.0.0.0/8 matches the address, ports 80, both\n\
         \x20 also matches: allow \"site\" (line 6, priority 50): *.site.test matches the name, ports 80, both\n\
         \x20 also matches: allow \"everything\" (line 20, priority 7): * matches the name, ports 80, both\n"
    );
    let stranger = Question { user: "mallory", ..ask(&host) };
    assert_eq!(
        rules.explain(&stranger, None).to_string(),
        "block: mallory to a.site.test:80 over tcp\n\
         \x20 the rules do not mention this user\n\
         \x20 decides: default policy (block)\n"
    );
}

fn anonymous() -> UserName {
    UserName::new("anonymous").unwrap()
}

#[test]
fn rules_that_are_switched_off_allow_everything_and_judge_nothing() {
    let acl = Acl::off(anonymous());
    let host = host("x.test");
    let off = Verdict { decision: Decision::Allow, rule: None };
    assert_eq!(acl.judge(&ask(&host)), Judgement::Allow(off.clone()));
    assert_eq!(acl.judge_resolved(&ask(&host), "10.0.0.1".parse::<IpAddr>().unwrap()), off);
    assert_eq!(acl.permits(&ask(&host), None).record(), None);
    assert!(acl.explain(&ask(&host), None).is_none() && acl.current().is_none());
    assert!(matches!(acl.reload(), Err(AclError::Off)));
}

#[tokio::test]
async fn a_reload_swaps_all_rules_and_tells_of_it_once() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("acl.toml");
    std::fs::write(&path, file("block", &[R("allow", "x", "x.test", 1)], &[])).unwrap();
    let acl = Acl::from_file(&path, anonymous()).unwrap();
    let mut changes = acl.changes();
    let before = acl.current().unwrap();
    let host = host("x.test");
    assert!(acl.permits(&ask(&host), None).is_allow());

    std::fs::write(&path, file("block", &[R("allow", "y", "y.test", 1)], &[])).unwrap();
    let report = acl.clone().reload().unwrap();
    assert_eq!((report.changed, report.generation), (true, 1));
    assert_eq!((report.users, report.groups, report.rules), (1, 1, 1));
    assert!(!acl.permits(&ask(&host), None).is_allow());
    assert!(before.permits(&ask(&host), None).is_allow(), "a snapshot stays as it was");
    changes.changed().await.unwrap();
    assert_eq!(*changes.borrow_and_update(), 1);

    let report = acl.reload().unwrap();
    assert_eq!((report.changed, report.generation), (false, 1));
    assert!(!changes.has_changed().unwrap());
}

#[test]
fn a_broken_file_leaves_the_old_rules_in_force() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("acl.toml");
    std::fs::write(&path, file("block", &[R("allow", "x", "x.test", 1)], &[])).unwrap();
    let acl = Acl::from_file(&path, anonymous()).unwrap();
    for broken in ["", "[global", "[globl]", "[global]\ndefault_policy = \"maybe\""] {
        std::fs::write(&path, broken).unwrap();
        assert!(matches!(acl.reload(), Err(AclError::Invalid(_))), "{broken}");
        assert!(acl.permits(&ask(&host("x.test")), None).is_allow());
        assert_eq!(acl.generation(), 0);
    }
}
