//! The written form of the access rules: the TOML format of RustSocks 0.9.
//!
//! Turns text into checked [`Rule`]s or one [`Fault`] with its line; judges nothing.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_path_to_error::{Path as KeyPath, Segment};
use toml::Spanned;

use super::destination::Destination;
use super::entry::{Entry, OneOrMany, Priority};
use super::fault::{AclError, Fault};
use super::ports::{Ports, Protocols};
use super::rule::Rule;
use super::rules::{GroupRules, UserRules};
use super::verdict::{Decision, RuleName};

/// Far above any real rule file; keeps a mistyped path such as `/dev/zero` from filling memory.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AclFile {
    #[serde(default)]
    global: Global,
    #[serde(default)]
    users: Vec<FileUser>,
    #[serde(default)]
    groups: Vec<FileGroup>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Global {
    default_policy: Option<Entry<Decision>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileUser {
    username: Spanned<String>,
    #[serde(default)]
    groups: Vec<Spanned<String>>,
    #[serde(default)]
    rules: Vec<Spanned<FileRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileGroup {
    name: Spanned<String>,
    #[serde(default)]
    rules: Vec<Spanned<FileRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRule {
    action: Entry<Decision>,
    #[serde(default)]
    description: String,
    destinations: OneOrMany<Destination>,
    ports: OneOrMany<Ports>,
    protocols: Option<OneOrMany<Protocols>>,
    priority: Option<Entry<Priority>>,
}

/// Reads the whole file, within a bound.
pub(super) fn read(path: &Path) -> Result<String, AclError> {
    let read = || {
        let mut text = String::new();
        let read = File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        if read as u64 > FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 16 MiB"));
        }
        Ok(text)
    };
    read().map_err(|source| AclError::Read { path: path.to_owned(), source })
}

type Parsed = (Decision, Vec<UserRules>, Vec<GroupRules>);

/// Reads and checks a file's text.
pub(super) fn parse(text: &str, path: &Path) -> Result<Parsed, AclError> {
    // Some editors put a byte order mark in front, which is no TOML.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        // It would be valid and block everybody. What it really is, is a file that is just being
        // written, or an accident.
        let problem = "the file is empty".to_owned();
        let remedy = "write at least [global] with default_policy".to_owned();
        let fault = Fault { problem, remedy, ..Fault::at(text, path, 0..0) };
        return Err(Box::new(fault).into());
    }
    let file = deserialize(text, path)?;
    let reader = Reader::new(text, path);
    let groups = file
        .groups
        .iter()
        .enumerate()
        .map(|(index, group)| GroupRules {
            name: group.name.get_ref().clone(),
            rules: reader.rules(&group.rules, &format!("groups[{index}]")),
        })
        .collect();
    let users = file
        .users
        .iter()
        .enumerate()
        .map(|(index, user)| UserRules {
            name: user.username.get_ref().clone(),
            groups: user.groups.iter().map(|group| group.get_ref().clone()).collect(),
            rules: reader.rules(&user.rules, &format!("users[{index}]")),
        })
        .collect();
    reader.check_names(&file)?;
    let default_policy = file.global.default_policy.map_or(Decision::Block, |entry| entry.0);
    Ok((default_policy, users, groups))
}

fn deserialize(text: &str, path: &Path) -> Result<AclFile, AclError> {
    let describe = |error: &toml::de::Error, key: String| {
        let fault = Fault::at(text, path, error.span().unwrap_or(0..0));
        AclError::from(Box::new(fault.with_message(key, error.message())))
    };
    let deserializer =
        toml::Deserializer::parse(text).map_err(|error| describe(&error, String::new()))?;
    serde_path_to_error::deserialize(deserializer)
        .map_err(|error| describe(error.inner(), key_of(error.path())))
}

/// The path as a person would write it. Positions of lists in brackets, as in `users[0].rules[2]`.
fn key_of(path: &KeyPath) -> String {
    let mut key = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => key.push_str(&format!("[{index}]")),
            // `Spanned` smuggles its span through a field of this name; it is not in the file.
            Segment::Map { key: name } if !name.starts_with("$__serde_spanned") => {
                if !key.is_empty() {
                    key.push('.');
                }
                key.push_str(name);
            }
            Segment::Map { .. } | Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    key
}

/// What the checks need in order to say where a mistake is.
struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
    /// Where each line begins: counting from the top for each rule would be quadratic.
    line_starts: Vec<usize>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, path: &'a Path) -> Self {
        let breaks = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        let line_starts = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        Self { text, path, line_starts }
    }

    /// The line of a byte of the text, counted from 1.
    fn line_at(&self, byte: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= byte)
    }

    fn rules(&self, written: &[Spanned<FileRule>], owner: &str) -> Vec<Arc<Rule>> {
        let rules = written.iter().enumerate();
        rules.map(|(index, rule)| self.rule(rule, format!("{owner}.rules[{index}]"))).collect()
    }

    fn rule(&self, written: &Spanned<FileRule>, place: String) -> Arc<Rule> {
        let rule = written.get_ref();
        let description = rule.description.trim();
        let protocols = rule.protocols.as_ref().map(|protocols| protocols.0.iter().copied());
        Arc::new(Rule {
            name: RuleName::new(if description.is_empty() { &place } else { description }),
            action: rule.action.0,
            destinations: rule.destinations.0.clone(),
            ports: Ports::union(rule.ports.0.iter().cloned()),
            protocols: protocols
                .and_then(|all| all.reduce(Protocols::union))
                .unwrap_or(Protocols::Both),
            priority: rule.priority.as_ref().map_or(Priority::DEFAULT, |priority| priority.0).0,
            line: self.line_at(written.span().start),
            place,
        })
    }

    /// Names must be there, be unique, and refer to something: a typing mistake in a group's name
    /// would otherwise silently take that group's block rules away.
    fn check_names(&self, file: &AclFile) -> Result<(), AclError> {
        let groups: Vec<&Spanned<String>> = file.groups.iter().map(|group| &group.name).collect();
        let users: Vec<&Spanned<String>> = file.users.iter().map(|user| &user.username).collect();
        self.check_unique(&groups, "groups", "name")?;
        self.check_unique(&users, "users", "username")?;
        let known: HashSet<&str> = groups.iter().map(|group| group.get_ref().as_str()).collect();
        for (index, user) in file.users.iter().enumerate() {
            for (position, name) in user.groups.iter().enumerate() {
                if known.contains(name.get_ref().as_str()) {
                    continue;
                }
                let key = format!("users[{index}].groups[{position}]");
                let remedy = match nearest(name.get_ref(), known.iter().copied()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("add a [[groups]] with name = \"{}\"", name.get_ref()),
                };
                return Err(self.fault(name, key, "no such group".to_owned(), remedy));
            }
        }
        Ok(())
    }

    fn check_unique(
        &self,
        names: &[&Spanned<String>],
        table: &str,
        field: &str,
    ) -> Result<(), AclError> {
        let mut seen = HashMap::new();
        for (index, name) in names.iter().enumerate() {
            let key = format!("{table}[{index}].{field}");
            if name.get_ref().is_empty() {
                let problem = "an empty name means nobody".to_owned();
                return Err(self.fault(name, key, problem, "write a name".to_owned()));
            }
            if let Some(first) = seen.insert(name.get_ref().as_str(), index) {
                let problem = format!("already used by {table}[{first}]");
                let remedy = "put all of its rules under one heading".to_owned();
                return Err(self.fault(name, key, problem, remedy));
            }
        }
        Ok(())
    }

    fn fault(
        &self,
        at: &Spanned<String>,
        key: String,
        problem: String,
        remedy: String,
    ) -> AclError {
        let fault = Fault::at(self.text, self.path, at.span());
        Box::new(Fault { key, problem, remedy, ..fault }).into()
    }
}

impl Fault {
    /// Turns the parser's message into a problem and its remedy.
    ///
    /// Our own entries write `problem; remedy`. The other messages are serde's, whose wording is
    /// pinned by the tests below.
    fn with_message(mut self, key: String, message: &str) -> Self {
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        self.key = key;
        let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        let wrong_type =
            message.starts_with("invalid ").then(|| message.rsplit_once(", expected "));
        (self.problem, self.remedy) = if let (true, [unknown, known @ ..]) =
            (message.starts_with("unknown field"), quoted.as_slice())
        {
            // The span is that of the key, which the path already names.
            self.value = None;
            (format!("unknown key `{unknown}`"), suggestion(unknown, known))
        } else if let (true, [missing]) = (message.starts_with("missing field"), quoted.as_slice())
        {
            self.value = None;
            (format!("`{missing}` is missing"), remedy_for_missing(missing).to_owned())
        } else if let (false, Some(Some((problem, expected)))) = (self.key.is_empty(), wrong_type) {
            // serde's word for what a file calls a list.
            let expected = if expected == "a sequence" { "a list" } else { expected };
            (problem.to_owned(), format!("write {expected}"))
        } else if let (false, Some((problem, remedy))) =
            (self.key.is_empty(), message.split_once("; "))
        {
            (problem.to_owned(), remedy.to_owned())
        } else {
            (message, "correct the TOML in this line".to_owned())
        };
        self
    }
}

fn suggestion(unknown: &str, known: &[&str]) -> String {
    match nearest(unknown, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// The known name that a slip of the finger could have turned into `written`.
fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|&(distance, name)| distance <= (name.chars().count() / 3).max(1))
        .min()
        .map(|(_, name)| name)
}

fn remedy_for_missing(field: &str) -> &'static str {
    match field {
        "action" => "write action = \"allow\" or \"block\"",
        // RustSocks 0.9 let these pass and never matched such a rule, which nobody can have meant.
        "destinations" => {
            "a rule without them matches nothing; write destinations = [\"*\"] for all"
        }
        "ports" => "a rule without them matches nothing; write ports = [\"*\"] for all",
        "username" => "write username = \"...\", the name whose rules follow",
        "name" => "write name = \"...\", as users refer to it in `groups`",
        _ => "add it",
    }
}
