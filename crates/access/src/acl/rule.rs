//! One access rule, and the order among rules.
//!
//! A rule is what the file says, checked; it does not know whose it is.

use std::cmp::Reverse;
use std::net::IpAddr;

use rustsocks_proto::Protocol;

use super::destination::{CanonicalName, Destination, KnownHost};
use super::ports::{Ports, Protocols};
use super::verdict::{Decision, RuleName};

/// One rule of the access file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it is called in records: its description, or its place where it has none.
    pub name: RuleName,
    /// What happens to the sessions it matches.
    pub action: Decision,
    /// The hosts it speaks of; one of them suffices.
    pub destinations: Vec<Destination>,
    /// The ports it speaks of.
    pub ports: Ports,
    /// The transports it speaks of.
    pub protocols: Protocols,
    /// Among rules of the same action, the higher one is named.
    pub priority: u32,
    /// Where it stands in the file, counted from 0, such as `groups[1].rules[0]`.
    pub place: String,
    /// The line of the file where it begins, counted from 1.
    pub line: usize,
}

/// How a rule came to match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchedBy {
    /// By the name that was asked for.
    Name,
    /// By the address, requested or resolved.
    Address,
}

impl MatchedBy {
    /// The name as it is shown: `name` or `address`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Address => "address",
        }
    }
}

/// Where a rule stands among others that match as well: smaller decides.
///
/// Every block rule comes before every allow rule, so that a priority can never open what
/// somebody closed; then the higher priority.
pub(super) type Precedence = (u8, Reverse<u32>);

impl Rule {
    pub(super) fn precedence(&self) -> Precedence {
        let action = match self.action {
            Decision::Block => 0,
            Decision::Allow => 1,
        };
        (action, Reverse(self.priority))
    }

    /// Whether the rule speaks of this port and transport at all.
    pub(super) fn covers(&self, port: u16, protocol: Protocol) -> bool {
        self.protocols.contains(protocol) && self.ports.contains(port)
    }

    /// The first destination that matches what is known of the host.
    pub(super) fn destination_for(&self, host: &KnownHost) -> Option<(&Destination, MatchedBy)> {
        self.destinations.iter().find_map(|destination| {
            let by_name = |name: &CanonicalName| destination.matches_name(name);
            let by_address = |address: IpAddr| destination.matches_address(address);
            if host.name.as_ref().is_some_and(by_name) {
                return Some((destination, MatchedBy::Name));
            }
            host.address.is_some_and(by_address).then_some((destination, MatchedBy::Address))
        })
    }
}
