//! What is asked of the access rules, and what they answer.
//!
//! Values only: the judging is done by [`Rules`](super::Rules).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rustsocks_proto::{Host, HostName, Protocol};

/// One question to the rules: may this user reach this target?
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The authenticated name, or the configured anonymous one.
    pub user: &'a str,
    /// The host as the client asked for it. A name that spells an address is judged as the address.
    pub host: &'a Host,
    /// The target's port.
    pub port: u16,
    /// The transport that would carry the bytes.
    pub protocol: Protocol,
}

/// What a host turned out to be.
#[derive(Clone, Copy, Debug)]
pub struct Resolved<'a> {
    /// The address that would be connected.
    pub address: IpAddr,
    /// The whole name under which it was found, where that is not the one that was asked for: a
    /// search list completes short names.
    pub found_as: Option<&'a HostName>,
}

impl From<IpAddr> for Resolved<'_> {
    fn from(address: IpAddr) -> Self {
        Self { address, found_as: None }
    }
}

/// Allow or block: the action of a rule, the default policy, and the outcome of a judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// The session may go on.
    Allow,
    /// The session is refused.
    Block,
}

impl Decision {
    /// The name as it is stored and shown: `allow` or `block`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a rule is called in records and explanations: its description. Cheap to clone.
///
/// A rule without a description is called by its place in the file, such as
/// `users[2].rules[0]`; where no rule matched, the name is [`RuleName::DEFAULT_POLICY`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleName(Arc<str>);

impl RuleName {
    /// The name that stands for "no rule matched".
    pub const DEFAULT_POLICY: &'static str = "default policy";

    pub(super) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The name of a rule that no file holds.
    pub fn built_in(text: &'static str) -> Self {
        Self::new(text)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The answer to a [`Question`] whose target is fully known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the session may go on.
    pub decision: Decision,
    /// The rule that decided, or the default policy's name. `None` only while the access rules
    /// are switched off: then nothing was judged, and both columns of the record stay null.
    pub rule: Option<RuleName>,
}

impl Verdict {
    /// Whether the session may go on.
    pub fn is_allow(&self) -> bool {
        self.decision == Decision::Allow
    }

    /// The pair that a session's record holds (`acl_decision`, `acl_rule_matched`), or `None`
    /// while the access rules are switched off.
    pub fn record(&self) -> Option<(Decision, RuleName)> {
        self.rule.clone().map(|rule| (self.decision, rule))
    }
}

/// The answer to a [`Question`] before its name was resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Refused, whatever the name resolves to. It need not be resolved at all.
    Block(Verdict),
    /// Allowed as far as can be known. Final for an address; for a name, each address that it
    /// resolves to must still pass [`judge_resolved`](super::Rules::judge_resolved).
    Allow(Verdict),
    /// No rule speaks of the name and the default is to block, but some rule allows addresses on
    /// this port: resolve, then ask [`judge_resolved`](super::Rules::judge_resolved).
    NeedsAddress,
}
