//! What can be wrong with an access file, told in one line that an operator can act on.

use std::fmt::{self, Write};
use std::io;
use std::path::{Path, PathBuf};

/// Why rules could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum AclError {
    /// The file cannot be read.
    #[error("{}: cannot read the access rules ({source}); check `acl.config_file` and the file's permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file was read, but something in it is wrong.
    #[error(transparent)]
    Invalid(#[from] Box<Fault>),
    /// There is nothing to reload.
    #[error("the access rules are switched off; set `acl.enabled = true` and restart")]
    Off,
}

/// One mistake in an access file. Displays as one line:
/// `file:line: key = value: problem; remedy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// The key's path, such as `users[0].rules[2].ports`; empty where the text is no TOML.
    pub key: String,
    /// The value as written, shortened, or `None` where one is missing.
    pub value: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

/// Values longer than this are cut in messages.
const VALUE_CHARS_MAX: usize = 60;

impl Fault {
    /// Describes a mistake at the byte range `span` of `text`.
    pub(super) fn at(text: &str, path: &Path, span: std::ops::Range<usize>) -> Self {
        let start = floor_boundary(text, span.start);
        let line = text[..start].bytes().filter(|&byte| byte == b'\n').count() + 1;
        let written = text.get(span).unwrap_or_default().lines().next().unwrap_or_default().trim();
        let value = (!written.is_empty()).then(|| shorten(written));
        Self {
            file: path.to_owned(),
            line,
            key: String::new(),
            value,
            problem: String::new(),
            remedy: String::new(),
        }
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

fn shorten(value: &str) -> String {
    match value.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = OneLine(f);
        write!(f, "{}:{}: ", self.file.display(), self.line)?;
        match (self.key.as_str(), &self.value) {
            ("", None) => {}
            ("", Some(value)) => write!(f, "`{value}`: ")?,
            (key, None) => write!(f, "{key}: ")?,
            (key, Some(value)) => write!(f, "{key} = {value}: ")?,
        }
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

/// Escapes line ends and other control characters: quoted keys and strings may hold any, and the
/// line goes to terminals and logs.
struct OneLine<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| match character.is_control() {
            true => write!(self.0, "{}", character.escape_default()),
            false => self.0.write_char(character),
        })
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_stays_on_its_line_whatever_the_file_holds() {
        let text = "[global]\n\"default\\u0007policy\\n\" = 1\n";
        let fault = super::super::Rules::parse(text, Path::new("acl.toml")).unwrap_err();
        let line = fault.to_string();
        assert!(
            line.starts_with("acl.toml:2: global.default\\u{7}policy\\n: unknown key"),
            "{line}"
        );
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}
