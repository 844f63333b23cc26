//! Why a question gets the answer it gets, for people.
//!
//! Goes through every rule of the user in order of precedence, without the index.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rustsocks_proto::{Host, Protocol, Target};

use super::destination::{Destination, KnownHost};
use super::rule::{MatchedBy, Rule};
use super::rules::Rules;
use super::verdict::{Decision, Judgement, Question, RuleName, Verdict};

/// A rule that matches, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// The rule.
    pub rule: Arc<Rule>,
    /// The entry of its `destinations` that fits.
    pub destination: Destination,
    /// Whether it fits the name or the address.
    pub by: MatchedBy,
}

/// A judgement with its reasons. Displays as a short text of a few lines.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The user who was asked about.
    pub user: String,
    /// Whether the file mentions the user at all.
    pub user_known: bool,
    /// The user's groups.
    pub groups: Vec<String>,
    /// The host and port asked for.
    pub target: Target,
    /// The address it resolved to, where one was given.
    pub resolved: Option<IpAddr>,
    /// The transport asked for.
    pub protocol: Protocol,
    /// What happens where no rule matches.
    pub default_policy: Decision,
    /// Every rule that matches, in order of precedence. The first one decides.
    pub matches: Vec<Matched>,
    /// The outcome; [`Judgement::NeedsAddress`] only where no address was given.
    pub judgement: Judgement,
}

impl Explanation {
    pub(super) fn new(rules: &Rules, question: &Question<'_>, resolved: Option<IpAddr>) -> Self {
        let user = rules.users().iter().find(|user| user.name == question.user);
        let host = KnownHost::new(question.host, resolved);
        let mut matches: Vec<Matched> = rules
            .sets_of(question.user)
            .iter()
            .flat_map(|set| set.in_order())
            .filter(|rule| rule.covers(question.port, question.protocol))
            .filter_map(|rule| {
                let (destination, by) = rule.destination_for(&host)?;
                Some(Matched { rule: rule.clone(), destination: destination.clone(), by })
            })
            .collect();
        matches.sort_by_key(|matched| matched.rule.precedence());
        let judgement = match resolved {
            None => rules.judge(question),
            Some(address) => settled(rules.judge_resolved(question, address)),
        };
        Self {
            user: question.user.to_owned(),
            user_known: user.is_some(),
            groups: user.map(|user| user.groups.clone()).unwrap_or_default(),
            target: Target { host: question.host.clone(), port: question.port },
            resolved,
            protocol: question.protocol,
            default_policy: rules.default_policy(),
            matches,
            judgement,
        }
    }

    /// The rule that decides, or `None` where the default policy does.
    pub fn deciding(&self) -> Option<&Matched> {
        self.matches.first()
    }

    /// The verdict, or `None` where it needs the address that the name resolves to.
    pub fn verdict(&self) -> Option<&Verdict> {
        match &self.judgement {
            Judgement::Allow(verdict) | Judgement::Block(verdict) => Some(verdict),
            Judgement::NeedsAddress => None,
        }
    }
}

fn settled(verdict: Verdict) -> Judgement {
    match verdict.decision {
        Decision::Allow => Judgement::Allow(verdict),
        Decision::Block => Judgement::Block(verdict),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.verdict() {
            Some(verdict) => write!(f, "{}", verdict.decision)?,
            None => f.write_str("undecided")?,
        }
        write!(f, ": {} to {} over {}", self.user, self.target, self.protocol.name())?;
        if let Some(address) = self.resolved {
            write!(f, " at {address}")?;
        }
        f.write_str("\n")?;
        match (self.user_known, self.groups.as_slice()) {
            (false, _) => writeln!(f, "  the rules do not mention this user")?,
            (true, []) => writeln!(f, "  in no group")?,
            (true, groups) => writeln!(f, "  in {}", groups.join(", "))?,
        }
        for (index, matched) in self.matches.iter().enumerate() {
            let part = if index == 0 { "decides" } else { "also matches" };
            writeln!(f, "  {part}: {matched}")?;
        }
        match (&self.judgement, self.matches.is_empty()) {
            (Judgement::NeedsAddress, _) => {
                f.write_str("  no rule speaks of the name; the address it resolves to decides\n")?
            }
            (_, true) => {
                writeln!(f, "  decides: {} ({})", RuleName::DEFAULT_POLICY, self.default_policy)?;
            }
            (_, false) => {}
        }
        let awaits_address = matches!(
            (&self.target.host, self.resolved, &self.judgement),
            (Host::Name(_), None, Judgement::Allow(_))
        );
        if awaits_address {
            f.write_str("  each address it resolves to must still pass the block rules\n")?;
        }
        Ok(())
    }
}

impl fmt::Display for Matched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = &self.rule;
        write!(
            f,
            "{} \"{}\" (line {}, priority {}): {} matches the {}, ports {}, {}",
            rule.action,
            rule.name,
            rule.line,
            rule.priority,
            self.destination,
            self.by.name(),
            rule.ports,
            rule.protocols,
        )
    }
}
