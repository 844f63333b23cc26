//! Text of others made safe for a terminal.
//!
//! User names, destinations and reasons are chosen by whoever uses the proxy. A terminal obeys
//! control characters, and shows text in another order after some invisible ones; both are
//! written as their code here.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// Text of others in which every character is visible.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Text(String);

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.chars().fold(String::with_capacity(text.len()), |mut safe, char| {
            match is_visible(char) {
                true => safe.push(char),
                false => safe.extend(char.escape_unicode()),
            }
            safe
        }))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::from(text.as_str()))
    }
}

/// Whether a character stands for itself on a terminal.
pub(crate) fn is_visible(char: char) -> bool {
    !char.is_control()
        && !matches!(
            char,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// JSON that means the same, and in which every character is visible.
pub(crate) fn json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for char in json.chars() {
        if is_visible(char) {
            safe.push(char);
        } else if char.is_ascii_whitespace() {
            // Between values; within a string it would not be JSON.
            safe.push(' ');
        } else {
            for unit in char.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    safe
}

/// Makes a flow of text safe piece by piece, whose lines stay lines.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// The beginning of a character, or a carriage return, whose rest comes with the next piece.
    rest: Vec<u8>,
}

impl Flow {
    /// The next piece made safe, as far as it is complete; its lines stay lines.
    pub(crate) fn piece(&mut self, bytes: &[u8]) -> String {
        let text = self.text(bytes);
        let mut safe = String::with_capacity(text.len());
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '\n' => safe.push('\n'),
                '\r' => match chars.peek() {
                    Some('\n') => {}
                    Some(_) => safe.extend(char.escape_unicode()),
                    // Whether it ends a line shows with the next piece.
                    None => self.rest.insert(0, b'\r'),
                },
                char if is_visible(char) => safe.push(char),
                char => safe.extend(char.escape_unicode()),
            }
        }
        safe
    }

    /// The next piece as text, as far as it is complete, and as it is.
    pub(crate) fn text(&mut self, bytes: &[u8]) -> String {
        self.rest.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.rest) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.rest.len(),
        };
        let rest = self.rest.split_off(whole);
        let text = String::from_utf8_lossy(&self.rest).into_owned();
        self.rest = rest;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2J\u{9b}31m\u{7f}\r\n\u{202e}gpj.exe\u{feff}\0é漢\u{e0041}";

    #[test]
    fn no_character_that_a_terminal_obeys_is_left() {
        let text = Text::from(HOSTILE);
        assert!(text.as_str().chars().all(is_visible), "{text}");
        assert!(text.as_str().starts_with("a\\u{1b}[2J\\u{9b}31m"), "{text}");
        assert!(text.as_str().contains("é漢"));
    }

    #[test]
    fn json_keeps_its_meaning() {
        let written = serde_json::to_string(&[HOSTILE]).unwrap();
        let safe = json(&written);
        assert!(safe.chars().all(is_visible), "{safe}");
        let read: Vec<String> = serde_json::from_str(&safe).unwrap();
        assert_eq!(read, [HOSTILE]);
    }

    #[test]
    fn a_flow_is_made_safe_however_it_is_cut() {
        let text = "a,\u{1b}[2J\r\n漢,\r\u{9b}b\r\n\"x\ny\"\r\n";
        let whole = Flow::default().piece(text.as_bytes());
        assert_eq!(whole, "a,\\u{1b}[2J\n漢,\\u{d}\\u{9b}b\n\"x\ny\"\n");
        for cut in 0..text.len() {
            let mut flow = Flow::default();
            let (first, second) = text.as_bytes().split_at(cut);
            let pieces = flow.piece(first) + &flow.piece(second);
            assert_eq!(pieces, whole, "cut at {cut}");
        }
        assert_eq!(Flow::default().piece(b"a\xffb"), "a\u{fffd}b");
    }
}
