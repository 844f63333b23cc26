//! Where in a file something stands: line, key and value, as the TOML reader sees them.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

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
    /// Section and key, such as `sessions.batch_size`; empty where there is none to tell.
    pub(crate) key: String,
    /// The value as written, hidden where it may be a secret; none for sections.
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

/// Words in the names of keys that hold a secret, also where they are misspelt.
const SECRET_WORDS: [&str; 7] = ["pass", "pwd", "secret", "token", "hash", "credential", "key"];

/// Sections in which secrets stand: something else in their place may be one.
const SECRET_SECTIONS: [&str; 6] = ["auth", "dashboard_auth", "users", "tls", "pam", "gssapi"];

/// A section whose name has such a word, while not all in it is secret.
const TOKENS: &str = "api_tokens";

/// What a text holds that is more than its key asks for.
const SECRET_TEXTS: [&str; 5] = ["password", "passwd", "pwd=", "secret", "rst_"];

/// A key of the file and what it holds.
struct Entry<'a> {
    /// Without the positions in lists.
    path: Vec<&'a str>,
    /// How often its section has come before, where that is in a list.
    nth: usize,
    key: Range<usize>,
    value: &'a Spanned<DeValue<'a>>,
}

impl Source<'_> {
    /// The place of the key or value at a byte offset of a file that is TOML.
    pub(crate) fn place_at(&self, offset: usize) -> Place {
        let (table, _faults) = DeTable::parse_recoverable(self.text);
        let covers = |span: &Range<usize>| span.contains(&offset) || span.start == offset;
        let found = entries(table.get_ref())
            .into_iter()
            .filter(|entry| covers(&entry.key) || covers(&entry.value.span()))
            .max_by_key(|entry| entry.path.len());
        match found {
            Some(entry) => Place { line: self.line(offset), ..self.place(&entry) },
            None => Place { line: self.line(offset), key: String::new(), value: None },
        }
    }

    /// The place of a key: `section.key`, in the `nth` table of that name (counted from 0).
    pub(crate) fn place_of(&self, section: &str, key: &str, nth: usize) -> Option<Place> {
        let (table, _faults) = DeTable::parse_recoverable(self.text);
        let path: Vec<&str> = section.split('.').chain([key]).collect();
        let found =
            entries(table.get_ref()).into_iter().find(|it| it.path == path && it.nth == nth);
        found.map(|entry| self.place(&entry))
    }

    /// The place at a byte offset of a text that is no TOML: nothing but the line and the key that
    /// it seems to be about, for the rest may be of a secret.
    pub(crate) fn line_at(&self, offset: usize) -> Place {
        let line = self.line(offset);
        let text = self.text.lines().nth(line - 1).unwrap_or_default();
        let key = text.split_once('=').map_or("", |(key, _)| key.trim());
        let is_bare = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        // Within a text of several lines nothing is a key.
        let several = ["\"\"\"", "'''"].iter().any(|mark| self.text.contains(mark));
        let key = if several || !key.chars().all(is_bare) { "" } else { key };
        Place { line, key: cut(key), value: None }
    }

    fn place(&self, entry: &Entry<'_>) -> Place {
        let value = match entry.value.get_ref() {
            DeValue::Table(_) => None,
            DeValue::Array(list) if has_tables(list) => None,
            _ if is_secret(&entry.path) => Some(HIDDEN.to_owned()),
            value if is_server(&entry.path, value) => Some(HIDDEN.to_owned()),
            _ => Some(match self.text.get(entry.value.span()).map(str::trim) {
                Some(text) if may_be_shown(text) => cut(text),
                _ => HIDDEN.to_owned(),
            }),
        };
        Place { line: self.line(entry.key.start), key: cut(&entry.path.join(".")), value }
    }

    /// The line of a byte offset, counted from 1.
    fn line(&self, offset: usize) -> usize {
        let before = self.text.bytes().take(offset);
        before.filter(|byte| *byte == b'\n').count() + 1
    }
}

/// Every key of a table and of those in it, a table before what it holds.
fn entries<'a>(table: &'a DeTable<'a>) -> Vec<Entry<'a>> {
    let mut found = Vec::new();
    put_entries(table, &[], 0, &mut found);
    found
}

fn put_entries<'a>(
    table: &'a DeTable<'a>,
    section: &[&'a str],
    nth: usize,
    found: &mut Vec<Entry<'a>>,
) {
    for (key, value) in table {
        let path: Vec<&str> = section.iter().copied().chain([key.get_ref().as_ref()]).collect();
        found.push(Entry { path: path.clone(), nth, key: key.span(), value });
        match value.get_ref() {
            DeValue::Table(inner) => put_entries(inner, &path, nth, found),
            DeValue::Array(list) => {
                for (nth, item) in list.iter().enumerate() {
                    found.push(Entry { path: path.clone(), nth, key: item.span(), value: item });
                    if let DeValue::Table(inner) = item.get_ref() {
                        put_entries(inner, &path, nth, found);
                    }
                }
            }
            _ => {}
        }
    }
}

fn has_tables(list: &DeArray<'_>) -> bool {
    list.iter().any(|item| matches!(item.get_ref(), DeValue::Table(_)))
}

/// Whether what stands at a path may be a secret.
fn is_secret(path: &[&str]) -> bool {
    let has_word = |name: &&str| {
        let name = name.to_lowercase();
        SECRET_WORDS.iter().any(|word| name.contains(word))
    };
    let Some((last, sections)) = path.split_last() else { return true };
    has_word(last)
        || SECRET_SECTIONS.contains(last)
        || sections.iter().any(|name| *name != TOKENS && has_word(name))
}

/// Whether a value is the URL of a database that is no file; where it is written wrongly, its
/// password may be anywhere.
fn is_server(path: &[&str], value: &DeValue<'_>) -> bool {
    path.last() == Some(&"database_url")
        && !value.as_str().is_some_and(|url| url.starts_with("sqlite:"))
}

/// Whether a text is neither a secret nor a URL that may hold one.
pub(crate) fn may_be_shown(text: &str) -> bool {
    let text = text.to_lowercase();
    let is_file = text.trim_start_matches(['"', '\'']).starts_with("sqlite:");
    (is_file || !text.contains(':') || !text.contains("//"))
        && !text.contains(['@', '?'])
        && !SECRET_TEXTS.iter().any(|word| text.contains(word))
}

/// In one line, and not too long.
fn cut(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
