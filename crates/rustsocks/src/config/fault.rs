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
        let place = error.span().map(|span| Box::new(source.place_at(span.start)));
        let message = error.message().lines().next().unwrap_or_default().trim().to_owned();
        let (problem, remedy) = match unknown_key(&message) {
            Some((written, known)) => {
                let remedy = match nearest(written, &known) {
                    Some(known) => format!("did you mean `{known}`?"),
                    None => format!("known here: {}", known.join(", ")),
                };
                (format!("unknown key `{written}`"), remedy)
            }
            None => (
                without_secret(message, place.as_deref()),
                "see rustsocks.example.toml for every key and its type".into(),
            ),
        };
        Self { file: path.to_owned(), place, problem, remedy }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(place) = &self.place {
            write!(f, ":{}: {}", place.line, place.key)?;
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

/// Keeps a secret out of serde's sentence, which quotes the value it could not take.
fn without_secret(message: String, place: Option<&Place>) -> String {
    if !place.is_some_and(Place::is_hidden) {
        return message;
    }
    match message.split_once(", expected ") {
        Some((_, expected)) => format!("wrong type, expected {expected}"),
        None => "cannot be read".into(),
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
