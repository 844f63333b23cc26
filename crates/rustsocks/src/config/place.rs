//! Where in a file something stands: line, key and value, found in the text itself.

use std::path::Path;

/// A configuration file's text and name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    pub(crate) path: &'a Path,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Counted from 1.
    pub(crate) line: usize,
    /// Section and key, such as `sessions.batch_size`.
    pub(crate) key: String,
    /// The value as written, hidden where it may be a secret.
    pub(crate) value: Option<String>,
}

impl Place {
    /// Whether its value may be a secret.
    pub(crate) fn is_hidden(&self) -> bool {
        self.value.as_deref() == Some(HIDDEN)
    }
}

/// What stands in place of a secret.
const HIDDEN: &str = "(hidden)";

/// Values longer than this are cut in messages.
const VALUE_CHARS_MAX: usize = 60;

impl Source<'_> {
    /// The place at a byte offset.
    pub(crate) fn place_at(&self, offset: usize) -> Place {
        let mut section = String::new();
        let mut start = 0;
        let mut last = (1, "");
        for (index, line) in self.text.split_inclusive('\n').enumerate() {
            if let Some(header) = header(line) {
                section = header.to_owned();
            }
            last = (index + 1, line);
            start += line.len();
            if offset < start {
                break;
            }
        }
        place(last.0, &section, last.1)
    }

    /// The place of a key: `section.key`, in the `nth` table of that name (counted from 0).
    pub(crate) fn place_of(&self, section: &str, key: &str, nth: usize) -> Option<Place> {
        let mut seen = 0;
        let mut inside = false;
        for (index, line) in self.text.lines().enumerate() {
            if let Some(header) = header(line) {
                inside = header == section && {
                    seen += 1;
                    seen == nth + 1
                };
            } else if inside && assignment(line).is_some_and(|(name, _)| name == key) {
                return Some(place(index + 1, section, line));
            }
        }
        None
    }
}

/// The name in a `[section]` or `[[section]]` line.
fn header(line: &str) -> Option<&str> {
    let inner = line.trim_start().strip_prefix('[')?;
    let inner = inner.strip_prefix('[').unwrap_or(inner);
    inner.split(']').next().map(str::trim)
}

/// Key and value of a `key = value` line.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    Some((key.trim().trim_matches('"'), value.trim()))
}

fn place(line: usize, section: &str, text: &str) -> Place {
    let (key, value) = match assignment(text) {
        Some((key, value)) if section.is_empty() => (key.to_owned(), Some(shown(key, value))),
        Some((key, value)) => (format!("{section}.{key}"), Some(shown(key, value))),
        None => (section.to_owned(), None),
    };
    // A line that is no TOML may hold anything.
    let key: String = key.chars().filter(|c| !c.is_control()).take(VALUE_CHARS_MAX).collect();
    Place { line, key, value }
}

/// A value as it may be shown.
fn shown(key: &str, value: &str) -> String {
    let secret = ["password", "secret", "token", "url"].iter().any(|word| key.contains(word));
    // A database URL may carry a password; without an @ it cannot.
    if secret && (!key.contains("url") || value.contains('@')) {
        return HIDDEN.into();
    }
    let value: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match value.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value,
    }
}
