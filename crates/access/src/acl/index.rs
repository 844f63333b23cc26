//! The rules of one user or one group, indexed by destination.
//!
//! Finds the same rule as a straight loop over the list would (a property test holds it to that),
//! but looks only at rules whose destination fits: one walk down a prefix trie, one hash look-up
//! per label of the name, and a list for the few patterns left over.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use rustsocks_proto::Protocol;

use super::destination::{Destination, KnownHost, Pattern};
use super::rule::Rule;
use super::verdict::Decision;

/// Indices into the sorted rules, ascending: the first that covers the port decides.
type Candidates = Vec<u32>;

/// The rules of one owner in order of precedence, with an index by destination.
pub(super) struct RuleSet {
    rules: Vec<Arc<Rule>>,
    any: Candidates,
    v4: PrefixMap<Ipv4Net, Candidates>,
    v6: PrefixMap<Ipv6Net, Candidates>,
    names: HashMap<Box<[u8]>, NameCandidates>,
    patterns: Vec<(Pattern, u32)>,
    /// Allow rules with at least one address block: what a name may still resolve into.
    allowed_nets: Candidates,
}

#[derive(Default)]
struct NameCandidates {
    exact: Candidates,
    below: Candidates,
}

impl RuleSet {
    /// Sorts and indexes rules given in the order of the file.
    pub(super) fn new(rules: &[Arc<Rule>]) -> Self {
        let mut rules = rules.to_vec();
        // The sort is stable: among equals the order of the file remains.
        rules.sort_by_key(|rule| rule.precedence());
        let mut set = Self {
            rules: Vec::new(),
            any: Vec::new(),
            v4: PrefixMap::new(),
            v6: PrefixMap::new(),
            names: HashMap::new(),
            patterns: Vec::new(),
            allowed_nets: Vec::new(),
        };
        for (index, rule) in (0..).zip(&rules) {
            for destination in &rule.destinations {
                set.add(destination, index);
            }
            let has_net = rule.destinations.iter().any(|d| matches!(d, Destination::Net(_)));
            if rule.action == Decision::Allow && has_net {
                set.allowed_nets.push(index);
            }
        }
        set.rules = rules;
        set
    }

    fn add(&mut self, destination: &Destination, index: u32) {
        let candidates = match destination {
            Destination::Any => &mut self.any,
            Destination::Net(IpNet::V4(net)) => self.v4.entry(*net).or_default(),
            Destination::Net(IpNet::V6(net)) => self.v6.entry(*net).or_default(),
            Destination::Name(name) => &mut self.names.entry(key(name)).or_default().exact,
            Destination::Below(parent) => &mut self.names.entry(key(parent)).or_default().below,
            Destination::Pattern(pattern) => return self.patterns.push((pattern.clone(), index)),
        };
        candidates.push(index);
    }

    /// The rule that decides about this host, if one matches.
    pub(super) fn find(
        &self,
        host: &KnownHost,
        port: u16,
        protocol: Protocol,
    ) -> Option<&Arc<Rule>> {
        let mut search = Search { rules: &self.rules, port, protocol, best: self.rules.len() };
        search.consider(&self.any);
        if let Some(address) = host.address {
            self.search_address(&mut search, address);
        }
        if let Some(name) = &host.name {
            self.search_name(&mut search, name.as_bytes());
        }
        self.rules.get(search.best)
    }

    fn search_address(&self, search: &mut Search<'_>, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => {
                self.v4.cover_values(&Ipv4Net::from(v4)).for_each(|found| search.consider(found));
            }
            IpAddr::V6(v6) => {
                self.v6.cover_values(&Ipv6Net::from(v6)).for_each(|found| search.consider(found));
            }
        }
    }

    fn search_name(&self, search: &mut Search<'_>, name: &[u8]) {
        if !self.names.is_empty() {
            if let Some(found) = self.names.get(name) {
                search.consider(&found.exact);
            }
            // Every parent of `a.b.c`: `b.c`, then `c`. A dot in front has no label below it.
            let dots = name.iter().enumerate().skip(1).filter(|&(_, &byte)| byte == b'.');
            for (dot, _) in dots {
                if let Some(found) = self.names.get(&name[dot + 1..]) {
                    search.consider(&found.below);
                }
            }
        }
        for (pattern, index) in &self.patterns {
            if pattern.matches(name) {
                search.consider(&[*index]);
            }
        }
    }

    /// Whether some allow rule for addresses covers this port, so that a name of which no rule
    /// speaks may still be allowed once it is resolved.
    pub(super) fn allows_some_address(&self, port: u16, protocol: Protocol) -> bool {
        self.allowed_nets.iter().any(|&index| self.rules[index as usize].covers(port, protocol))
    }

    /// The rules, in order of precedence.
    pub(super) fn in_order(&self) -> &[Arc<Rule>] {
        &self.rules
    }
}

fn key(name: &str) -> Box<[u8]> {
    name.as_bytes().into()
}

/// The best rule so far, as its place in the order of precedence.
struct Search<'a> {
    rules: &'a [Arc<Rule>],
    port: u16,
    protocol: Protocol,
    best: usize,
}

impl Search<'_> {
    fn consider(&mut self, candidates: &[u32]) {
        let better = candidates
            .iter()
            .map(|&index| index as usize)
            .take_while(|&index| index < self.best)
            .find(|&index| self.rules[index].covers(self.port, self.protocol));
        self.best = better.unwrap_or(self.best);
    }
}
