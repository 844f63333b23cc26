//! A complete, checked set of access rules, ready to judge.
//!
//! Immutable: a reload builds a new one. Which one is in force is the business of `live`.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use super::destination::KnownHost;
use super::explain::Explanation;
use super::fault::AclError;
use super::file;
use super::index::RuleSet;
use super::rule::Rule;
use super::verdict::{Decision, Judgement, Question, Resolved, RuleName, Verdict};

/// A user of the access file, as written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRules {
    /// The user's name, matched byte by byte.
    pub name: String,
    /// The groups whose rules apply as well; each of them exists.
    pub groups: Vec<String>,
    /// The user's own rules, in the order of the file.
    pub rules: Vec<Arc<Rule>>,
}

/// A group of the access file, as written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRules {
    /// The group's name.
    pub name: String,
    /// The group's rules, in the order of the file.
    pub rules: Vec<Arc<Rule>>,
}

/// The rules of one access file.
///
/// A user's own rules and those of all of the user's groups apply together. Any block rule that
/// matches comes before any allow rule; among rules of one action the higher priority is named,
/// then the user's own before the groups', then the order of the file. Where no rule matches, and
/// for every user whom the file does not mention, the default policy decides.
pub struct Rules {
    default_policy: Decision,
    default_name: RuleName,
    users: Vec<UserRules>,
    groups: Vec<GroupRules>,
    /// Each user's sets: the own rules, then one shared set per group.
    sets: HashMap<Box<str>, Vec<Arc<RuleSet>>>,
}

impl Rules {
    /// Reads rules from text; `path` is what errors call the file.
    ///
    /// # Errors
    /// [`AclError::Invalid`] names line, key, value and remedy.
    pub fn parse(text: &str, path: &Path) -> Result<Self, AclError> {
        let (default_policy, users, groups) = file::parse(text, path)?;
        Ok(Self::compile(default_policy, users, groups))
    }

    /// Reads rules from a file. Blocks on the disk.
    ///
    /// # Errors
    /// [`AclError::Read`] where the file cannot be read, else as [`Rules::parse`].
    pub fn load(path: &Path) -> Result<Self, AclError> {
        Self::parse(&file::read(path)?, path)
    }

    pub(super) fn compile(
        default_policy: Decision,
        users: Vec<UserRules>,
        groups: Vec<GroupRules>,
    ) -> Self {
        let group_sets: HashMap<&str, Arc<RuleSet>> = groups
            .iter()
            .map(|group| (group.name.as_str(), Arc::new(RuleSet::new(&group.rules))))
            .collect();
        let sets = users
            .iter()
            .map(|user| {
                let own = Arc::new(RuleSet::new(&user.rules));
                let shared = user.groups.iter().filter_map(|name| group_sets.get(name.as_str()));
                let sets = std::iter::once(own).chain(shared.cloned()).collect();
                (user.name.as_str().into(), sets)
            })
            .collect();
        let default_name = RuleName::new(RuleName::DEFAULT_POLICY);
        Self { default_policy, default_name, users, groups, sets }
    }

    /// Judges a request before its name is resolved.
    pub fn judge(&self, question: &Question<'_>) -> Judgement {
        let host = KnownHost::new(question.host, None);
        if let Some(rule) = self.find(question, &host) {
            return match rule.action {
                Decision::Block => Judgement::Block(by_rule(rule)),
                Decision::Allow => Judgement::Allow(by_rule(rule)),
            };
        }
        let could_resolve_into_allowed = || {
            let sets = self.sets_of(question.user);
            sets.iter().any(|set| set.allows_some_address(question.port, question.protocol))
        };
        match self.default_policy {
            Decision::Allow => Judgement::Allow(self.by_default()),
            Decision::Block if host.name.is_some() && could_resolve_into_allowed() => {
                Judgement::NeedsAddress
            }
            Decision::Block => Judgement::Block(self.by_default()),
        }
    }

    /// Judges a request with the address that would really be connected.
    ///
    /// Rules may match by the requested name or by the address, and the usual order holds among
    /// all that match: a name that is allowed stays allowed wherever it points, unless a block
    /// rule speaks of the address; an allowed address may be reached under any name that is not
    /// blocked, since the client could have asked for the address itself. A host that was found
    /// under another name than the one asked for has both.
    pub fn judge_resolved<'a>(
        &self,
        question: &Question<'_>,
        resolved: impl Into<Resolved<'a>>,
    ) -> Verdict {
        let Resolved { address, found_as } = resolved.into();
        let as_asked = self.find(question, &KnownHost::new(question.host, Some(address)));
        let as_found = found_as.and_then(|name| self.find(question, &KnownHost::named(name)));
        let deciding = as_asked.into_iter().chain(as_found).min_by_key(|rule| rule.precedence());
        deciding.map_or_else(|| self.by_default(), by_rule)
    }

    /// Whether a session that already exists may go on under these rules.
    ///
    /// `resolved` is what it is connected to, or `None` while it is still resolving; then
    /// a name on which only the address can decide is not held against it, because the dialler
    /// judges each address by the rules of that moment.
    pub fn permits(&self, question: &Question<'_>, resolved: Option<Resolved<'_>>) -> Verdict {
        match resolved {
            Some(resolved) => self.judge_resolved(question, resolved),
            None => match self.judge(question) {
                Judgement::Allow(verdict) | Judgement::Block(verdict) => verdict,
                Judgement::NeedsAddress => {
                    Verdict { decision: Decision::Allow, ..self.by_default() }
                }
            },
        }
    }

    /// Tells which rules match, in order, and which of them decides. For people: slow and thorough.
    pub fn explain(&self, question: &Question<'_>, resolved: Option<IpAddr>) -> Explanation {
        Explanation::new(self, question, resolved)
    }

    /// What happens where no rule matches.
    pub fn default_policy(&self) -> Decision {
        self.default_policy
    }

    /// The users of the file, in its order.
    pub fn users(&self) -> &[UserRules] {
        &self.users
    }

    /// The groups of the file, in its order.
    pub fn groups(&self) -> &[GroupRules] {
        &self.groups
    }

    /// How many rules the file holds.
    pub fn rule_count(&self) -> usize {
        let own: usize = self.users.iter().map(|user| user.rules.len()).sum();
        own + self.groups.iter().map(|group| group.rules.len()).sum::<usize>()
    }

    pub(super) fn sets_of(&self, user: &str) -> &[Arc<RuleSet>] {
        self.sets.get(user).map_or(&[], Vec::as_slice)
    }

    pub(super) fn by_default(&self) -> Verdict {
        Verdict { decision: self.default_policy, rule: Some(self.default_name.clone()) }
    }

    fn find(&self, question: &Question<'_>, host: &KnownHost) -> Option<&Arc<Rule>> {
        // `min_by_key` keeps the first among equals: the user's own rules come before the groups'.
        self.sets_of(question.user)
            .iter()
            .filter_map(|set| set.find(host, question.port, question.protocol))
            .min_by_key(|rule| rule.precedence())
    }
}

/// Shows the file's content; the index says nothing more.
impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("default_policy", &self.default_policy)
            .field("users", &self.users)
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

fn by_rule(rule: &Arc<Rule>) -> Verdict {
    Verdict { decision: rule.action, rule: Some(rule.name.clone()) }
}
