//! The rules read aloud: a straight loop over the file, without sorting or index.
//!
//! For tests alone. The property tests hold the compiled form to it.

use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;
use rustsocks_proto::{Host, HostName, Protocol};

use super::destination::{Destination, KnownHost};
use super::ports::{Ports, Protocols};
use super::rule::Rule;
use super::rules::{GroupRules, Rules, UserRules};
use super::verdict::{Decision, Judgement, Question, RuleName, Verdict};

/// The rules that apply to a user: the own ones, then those of each group.
fn rules_for<'a>(rules: &'a Rules, user: &str) -> Vec<&'a Rule> {
    let Some(user) = rules.users().iter().find(|candidate| candidate.name == user) else {
        return Vec::new();
    };
    let mut applying: Vec<&Rule> = user.rules.iter().map(|rule| &**rule).collect();
    for name in &user.groups {
        let group = rules.groups().iter().find(|group| &group.name == name).unwrap();
        applying.extend(group.rules.iter().map(|rule| &**rule));
    }
    applying
}

fn decide<'a>(rules: &'a Rules, question: &Question<'_>, host: &KnownHost) -> Option<&'a Rule> {
    let matches = |rule: &&Rule| {
        rule.protocols.contains(question.protocol)
            && rule.ports.contains(question.port)
            && rule.destinations.iter().any(|destination| {
                host.name.as_ref().is_some_and(|name| destination.matches_name(name))
                    || host.address.is_some_and(|address| destination.matches_address(address))
            })
    };
    let matching: Vec<&Rule> =
        rules_for(rules, question.user).into_iter().filter(matches).collect();
    for action in [Decision::Block, Decision::Allow] {
        let mut best: Option<&Rule> = None;
        for rule in matching.iter().filter(|rule| rule.action == action) {
            if best.is_none_or(|best| rule.priority > best.priority) {
                best = Some(rule);
            }
        }
        if best.is_some() {
            return best;
        }
    }
    None
}

fn verdict(rules: &Rules, rule: Option<&Rule>) -> Verdict {
    match rule {
        Some(rule) => Verdict { decision: rule.action, rule: Some(rule.name.clone()) },
        None => {
            let name = RuleName::new(RuleName::DEFAULT_POLICY);
            Verdict { decision: rules.default_policy(), rule: Some(name) }
        }
    }
}

fn judge_resolved(rules: &Rules, question: &Question<'_>, address: IpAddr) -> Verdict {
    verdict(rules, decide(rules, question, &KnownHost::new(question.host, Some(address))))
}

fn judge(rules: &Rules, question: &Question<'_>) -> Judgement {
    let host = KnownHost::new(question.host, None);
    let rule = decide(rules, question, &host);
    let could_resolve = rule.is_none()
        && host.name.is_some()
        && rules_for(rules, question.user).iter().any(|rule| {
            rule.action == Decision::Allow
                && rule.protocols.contains(question.protocol)
                && rule.ports.contains(question.port)
                && rule.destinations.iter().any(|d| matches!(d, Destination::Net(_)))
        });
    let verdict = verdict(rules, rule);
    match verdict.decision {
        Decision::Allow => Judgement::Allow(verdict),
        Decision::Block if could_resolve => Judgement::NeedsAddress,
        Decision::Block => Judgement::Block(verdict),
    }
}

// The worlds below are small on purpose: few names, addresses, ports and priorities, so that
// rules overlap, nest and tie all the time.

fn any_label() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "ab", "com"])
}

fn any_name() -> impl Strategy<Value = String> {
    (prop::collection::vec(any_label(), 1..4), prop::bool::ANY).prop_map(|(labels, upper)| {
        let name = labels.join(".");
        if upper { format!("{}.", name.to_uppercase()) } else { name }
    })
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    let texts = vec![
        "10.0.0.1",
        "10.0.1.1",
        "10.1.0.1",
        "192.0.2.1",
        "::ffff:10.0.0.1",
        "2001:db8::1",
        "2001:db8:1::1",
        "::1",
    ];
    prop::sample::select(texts).prop_map(|text| text.parse().unwrap())
}

fn any_destination() -> impl Strategy<Value = Destination> {
    let nets = vec![
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.0.0.0/16",
        "10.0.0.0/24",
        "10.0.0.1",
        "192.0.2.0/24",
        "::/0",
        "2001:db8::/32",
        "2001:db8:1::/48",
        "::1",
        "::ffff:10.0.0.0/112",
    ];
    let patterns = vec!["*", "a.*.com", "*.b.*", "a*.com", "*.*", "*b"];
    prop_oneof![
        prop::sample::select(nets).prop_map(|text| text.parse().unwrap()),
        prop::sample::select(patterns).prop_map(|text| text.parse().unwrap()),
        any_name().prop_map(|name| name.parse().unwrap()),
        any_name().prop_map(|name| format!("*.{name}").parse().unwrap()),
    ]
}

fn any_decision() -> impl Strategy<Value = Decision> {
    prop_oneof![Just(Decision::Allow), Just(Decision::Block)]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let ports = prop::sample::select(vec!["*", "80", "443", "80,443", "81-442", "1-80"]);
    let protocols = prop::sample::select(vec![Protocols::Tcp, Protocols::Udp, Protocols::Both]);
    let destinations = prop::collection::vec(any_destination(), 1..4);
    (any_decision(), destinations, ports, protocols, 0..3_u32).prop_map(
        |(action, destinations, ports, protocols, priority)| Rule {
            name: RuleName::new(""),
            action,
            destinations,
            ports: Ports::parse(ports).unwrap(),
            protocols,
            priority,
            place: String::new(),
            line: 0,
        },
    )
}

/// Rules that can be told apart by their names.
fn any_rules(owner: &'static str) -> impl Strategy<Value = Vec<Arc<Rule>>> {
    prop::collection::vec(any_rule(), 0..8).prop_map(move |rules| {
        let named = rules.into_iter().enumerate().map(|(index, rule)| {
            let name = RuleName::new(&format!("{owner} {index}"));
            Arc::new(Rule { name, ..rule })
        });
        named.collect()
    })
}

fn any_world() -> impl Strategy<Value = Rules> {
    let memberships = prop::sample::subsequence(vec!["one", "two"], 0..=2).prop_shuffle();
    let owners = (any_rules("own"), any_rules("one"), any_rules("two"));
    (any_decision(), memberships, owners).prop_map(|(default, groups, (own, one, two))| {
        let user = UserRules {
            name: "alice".to_owned(),
            groups: groups.into_iter().map(str::to_owned).collect(),
            rules: own,
        };
        let group = |name: &str, rules| GroupRules { name: name.to_owned(), rules };
        Rules::compile(default, vec![user], vec![group("one", one), group("two", two)])
    })
}

fn any_host() -> impl Strategy<Value = Host> {
    prop_oneof![
        any_name().prop_map(|name| Host::Name(HostName::new(&name).unwrap())),
        any_address().prop_map(Host::Ip),
        any_address().prop_map(|address| Host::Name(HostName::new(&address.to_string()).unwrap())),
    ]
}

fn any_request() -> impl Strategy<Value = (Host, u16, Protocol)> {
    let ports = prop::sample::select(vec![1_u16, 80, 200, 443, 8080]);
    let protocols = prop::sample::select(vec![Protocol::Tcp, Protocol::Udp]);
    (any_host(), ports, protocols)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_compiled_rules_judge_like_a_straight_loop(
        rules in any_world(),
        requests in prop::collection::vec((any_request(), any_address()), 1..20),
        user in prop::sample::select(vec!["alice", "alice", "alice", "nobody"]),
    ) {
        for ((host, port, protocol), address) in &requests {
            let question = Question { user, host, port: *port, protocol: *protocol };
            prop_assert_eq!(rules.judge(&question), judge(&rules, &question));
            let resolved = rules.judge_resolved(&question, *address);
            prop_assert_eq!(&resolved, &judge_resolved(&rules, &question, *address));
            // What an operator is told agrees with what was done.
            let told = rules.explain(&question, Some(*address));
            prop_assert_eq!(told.verdict(), Some(&resolved));
            let decided = told.deciding().map_or(RuleName::DEFAULT_POLICY, |m| m.rule.name.as_str());
            prop_assert_eq!(resolved.rule.as_ref().unwrap().as_str(), decided);
        }
    }

    #[test]
    fn a_request_blocked_by_its_name_stays_blocked_at_every_address(
        rules in any_world(),
        (host, port, protocol) in any_request(),
        address in any_address(),
    ) {
        let question = Question { user: "alice", host: &host, port, protocol };
        let is_name = KnownHost::new(&host, None).name.is_some();
        if is_name && matches!(rules.judge(&question), Judgement::Block(_)) {
            prop_assert!(!rules.judge_resolved(&question, address).is_allow());
        }
    }

    #[test]
    fn an_address_that_is_blocked_by_a_rule_is_blocked_under_every_name(
        rules in any_world(),
        (host, port, protocol) in any_request(),
        address in any_address(),
    ) {
        let direct = Host::Ip(address);
        let by_address = Question { user: "alice", host: &direct, port, protocol };
        let blocking = rules.explain(&by_address, None);
        if blocking.deciding().is_some_and(|matched| matched.rule.action == Decision::Block) {
            let by_name = Question { host: &host, ..by_address };
            prop_assert!(!rules.judge_resolved(&by_name, address).is_allow());
        }
    }
}
