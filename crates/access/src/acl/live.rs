//! The access rules in force, behind a handle that everybody shares.
//!
//! Readers never wait: a reload builds the new rules aside and swaps them in whole. What to do
//! about sessions that the new rules refuse is decided by whoever listens to [`Acl::changes`].

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::explain::Explanation;
use super::fault::AclError;
use super::file;
use super::rules::Rules;
use super::verdict::{Decision, Judgement, Question, Resolved, Verdict};
use crate::user::UserName;

/// A handle on the access rules in force. Cheap to clone; all clones see the same rules.
///
/// To leave no session behind a reload: read [`generation`](Self::generation) before judging,
/// enter the session into the live table, and judge again if the generation has changed by then.
/// Sessions already in the table are judged again by whoever awaits [`changes`](Self::changes).
#[derive(Clone)]
pub struct Acl {
    anonymous_user: UserName,
    file: Option<Arc<LiveFile>>,
    generation: Arc<watch::Sender<u64>>,
}

struct LiveFile {
    path: PathBuf,
    rules: ArcSwap<Rules>,
    /// The text the rules came from, so that a reload of the same text revokes nothing. Held
    /// while reloading: two reloads at once must not end with the older file in force.
    loaded_text: Mutex<blake3::Hash>,
}

/// What a reload brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReloadReport {
    /// Whether the file differs from what was in force. If not, nothing was swapped.
    pub changed: bool,
    /// The generation in force now; it grows with each change.
    pub generation: u64,
    /// How many users the file holds.
    pub users: usize,
    /// How many groups the file holds.
    pub groups: usize,
    /// How many rules the file holds.
    pub rules: usize,
}

impl Acl {
    /// Switched off: everything is allowed and nothing is recorded as judged.
    pub fn off(anonymous_user: UserName) -> Self {
        Self { anonymous_user, file: None, generation: Arc::new(watch::Sender::new(0)) }
    }

    /// Switched on, with the rules of a file. Blocks on the disk.
    ///
    /// # Errors
    /// As [`Rules::load`].
    pub fn from_file(path: &Path, anonymous_user: UserName) -> Result<Self, AclError> {
        let text = file::read(path)?;
        let live = LiveFile {
            path: path.to_owned(),
            rules: ArcSwap::from_pointee(Rules::parse(&text, path)?),
            loaded_text: Mutex::new(blake3::hash(text.as_bytes())),
        };
        let generation = Arc::new(watch::Sender::new(0));
        Ok(Self { anonymous_user, file: Some(Arc::new(live)), generation })
    }

    /// Whether rules are in force.
    pub fn is_on(&self) -> bool {
        self.file.is_some()
    }

    /// The file the rules come from, or `None` while switched off.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }

    /// The name of clients that did not authenticate, in rules and records.
    pub fn anonymous_user(&self) -> &UserName {
        &self.anonymous_user
    }

    /// The rules in force, or `None` while switched off. A snapshot: reloads do not touch it.
    pub fn current(&self) -> Option<Arc<Rules>> {
        self.file.as_ref().map(|file| file.rules.load_full())
    }

    /// Judges a request before its name is resolved; see [`Rules::judge`].
    pub fn judge(&self, question: &Question<'_>) -> Judgement {
        match &self.file {
            Some(file) => file.rules.load().judge(question),
            None => Judgement::Allow(OFF),
        }
    }

    /// Judges a request with the address to be connected; see [`Rules::judge_resolved`].
    pub fn judge_resolved<'a>(
        &self,
        question: &Question<'_>,
        resolved: impl Into<Resolved<'a>>,
    ) -> Verdict {
        match &self.file {
            Some(file) => file.rules.load().judge_resolved(question, resolved),
            None => OFF,
        }
    }

    /// Whether an existing session may go on; see [`Rules::permits`].
    pub fn permits(&self, question: &Question<'_>, resolved: Option<Resolved<'_>>) -> Verdict {
        match &self.file {
            Some(file) => file.rules.load().permits(question, resolved),
            None => OFF,
        }
    }

    /// Explains a judgement, or gives `None` while switched off; see [`Rules::explain`].
    pub fn explain(
        &self,
        question: &Question<'_>,
        resolved: Option<IpAddr>,
    ) -> Option<Explanation> {
        self.file.as_ref().map(|file| file.rules.load().explain(question, resolved))
    }

    /// How often the rules in force have changed since the start.
    pub fn generation(&self) -> u64 {
        *self.generation.borrow()
    }

    /// Tells of each change of the rules in force by its generation. Several changes in a row may
    /// be seen as one.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Reads the file again and, if it is sound and differs, puts its rules in force at once and
    /// as a whole. Blocks on the disk; concurrent calls take turns.
    ///
    /// # Errors
    /// The old rules stay in force: [`AclError::Read`] and [`AclError::Invalid`] say what is wrong
    /// with the file; [`AclError::Off`] means there is none.
    pub fn reload(&self) -> Result<ReloadReport, AclError> {
        let file = self.file.as_ref().ok_or(AclError::Off)?;
        // The hash behind the lock is replaced in one step, so a panic cannot leave it half done.
        let mut loaded = file.loaded_text.lock().unwrap_or_else(PoisonError::into_inner);
        let text = file::read(&file.path)?;
        let hash = blake3::hash(text.as_bytes());
        if hash == *loaded {
            return Ok(self.report(&file.rules.load(), Change::Same));
        }
        let rules = Arc::new(Rules::parse(&text, &file.path)?);
        file.rules.store(Arc::clone(&rules));
        *loaded = hash;
        // After the swap, so that whoever sees the new generation also sees the new rules.
        self.generation.send_modify(|generation| *generation += 1);
        Ok(self.report(&rules, Change::New))
    }

    fn report(&self, rules: &Rules, change: Change) -> ReloadReport {
        ReloadReport {
            changed: matches!(change, Change::New),
            generation: self.generation(),
            users: rules.users().len(),
            groups: rules.groups().len(),
            rules: rules.rule_count(),
        }
    }
}

/// Shows where the rules come from, not the rules.
impl fmt::Debug for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acl")
            .field("path", &self.path())
            .field("anonymous_user", &self.anonymous_user)
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}

enum Change {
    New,
    Same,
}

/// The verdict while nothing is judged.
const OFF: Verdict = Verdict { decision: Decision::Allow, rule: None };
