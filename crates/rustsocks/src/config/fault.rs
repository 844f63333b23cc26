//! What is wrong with a configuration, in one line: file, line, key, value, problem, remedy.

use std::fmt;
use std::path::{Path, PathBuf};

use super::place::{Place, Source};

/// One mistake. No password is ever part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) file: PathBuf,
    /// Boxed, to keep results small.
    pub(crate) place: Option<Box<Place>>,
    pub(crate) problem: String,
    pub(crate) remedy: String,
}

impl Fault {
    /// A mistake of the whole file.
    pub(crate) fn whole(file: &Path, problem: String, remedy: &str) -> Self {
        Self { file: file.to_owned(), place: None, problem, remedy: remedy.into() }
    }

    /// A mistake that the TOML reader found.
    pub(crate) fn from_toml(text: &str, path: &Path, error: &toml::de::Error) -> Self {
        let source = Source { text, path };
        let is_toml = toml::de::DeTable::parse(text).is_ok();
        let place = error.span().map(|span| match is_toml {
            true => Box::new(source.place_at(span.start)),
            false => Box::new(source.line_at(span.start)),
        });
        let message = error.message().lines().next().unwrap_or_default().trim().to_owned();
        let unknown = unknown_key(&message);
        let is_unknown = unknown.is_some();
        let (problem, remedy) = match unknown {
            Some((written, known)) => {
                let remedy = match nearest(written, &known) {
                    Some(known) => format!("did you mean `{known}`?"),
                    None => format!("known here: {}", known.join(", ")),
                };
                (format!("unknown key `{written}`"), remedy)
            }
            None => wrong_value(&message, place.as_deref().is_none_or(Place::is_hidden)),
        };
        let fault = Self { file: path.to_owned(), place, problem, remedy };
        if is_unknown { fault.without_value() } else { fault }
    }

    /// Without the value, for a key that nobody knows: it may be a misspelt password.
    pub(crate) fn without_value(mut self) -> Self {
        if let Some(place) = &mut self.place {
            place.value = None;
        }
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(place) = &self.place {
            write!(f, ":{}", place.line)?;
            if !place.key.is_empty() {
                write!(f, ": {}", place.key)?;
            }
            if let Some(value) = &place.value {
                write!(f, " = {value}")?;
            }
        }
        write!(f, ": {}; {}", one_line(&self.problem), one_line(&self.remedy))
    }
}

/// Control characters from a file would break the one line, or a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl std::error::Error for Fault {}

/// Problem and remedy of a value that is not what it should be, or of text that is no TOML. Keeps
/// a secret out of serde's sentence, which quotes the value it could not take.
fn wrong_value(message: &str, is_hidden: bool) -> (String, String) {
    match message.rsplit_once(", expected ") {
        Some((problem, expected)) if message.starts_with("invalid ") => {
            let problem = if is_hidden { "wrong type" } else { problem };
            (problem.to_owned(), format!("write {}", in_words(expected)))
        }
        _ => {
            let problem = if is_hidden { "cannot be read" } else { message };
            (problem.to_owned(), "see rustsocks.example.toml for every key and its type".into())
        }
    }
}

/// What serde expects, for somebody who does not program.
fn in_words(expected: &str) -> &str {
    match expected {
        "u16" => "a whole number from 0 to 65535",
        "i64" => "a whole number",
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "a map" => "a section",
        structure if structure.starts_with("struct ") => "a section",
        other => other,
    }
}

/// Takes serde's sentence about an unknown field apart: the field, and the known ones.
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (written, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).collect();
    Some((written, known))
}

/// The known word that is closest to a written one, if any is close.
pub(crate) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(written, known), *known))
        .filter(|(distance, known)| *distance <= written.len().max(known.len()) / 3 + 1)
        .min()
        .map(|(_, known)| known)
}
