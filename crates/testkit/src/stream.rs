//! Server-sent events, read one by one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::PATIENCE;

/// One event; a comment has neither name nor data.
#[derive(Clone, Debug)]
pub struct Event {
    /// Where to resume behind it.
    pub id: String,
    /// `opened`, `updated`, `ended`, `gap`; empty for a comment.
    pub name: String,
    /// What it carries; null for a comment.
    pub data: Value,
}

/// A reader of a stream of events.
#[derive(Debug)]
pub struct EventStream {
    input: BufReader<TcpStream>,
    /// What came and is no whole event yet.
    text: String,
}

impl EventStream {
    /// Opens a stream. `last` is the id of the last event seen, for one that comes back.
    ///
    /// # Panics
    /// When it is refused.
    pub fn open(api: SocketAddr, path: &str, last: Option<&str>) -> Self {
        Self::over(TcpStream::connect(api).unwrap(), path, last)
    }

    /// Opens a stream over a connection to the API.
    ///
    /// # Panics
    /// When it is refused.
    pub fn over(stream: TcpStream, path: &str, last: Option<&str>) -> Self {
        let api = stream.peer_addr().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let last = last.map_or_else(String::new, |last| format!("Last-Event-ID: {last}\r\n"));
        let head = format!("GET {path} HTTP/1.1\r\nHost: {api}\r\n{last}\r\n");
        (&stream).write_all(head.as_bytes()).unwrap();
        let mut input = BufReader::new(stream);
        let mut status = String::new();
        input.read_line(&mut status).unwrap();
        assert!(status.contains(" 200 "), "{path}: {status}");
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            input.read_line(&mut line).unwrap();
        }
        Self { input, text: String::new() }
    }

    /// The next event or comment; none when the stream has ended.
    pub fn event(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = event.to_owned();
                self.text = rest.to_owned();
                return Some(parse(&event));
            }
            let mut size = String::new();
            self.input.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok().filter(|size| *size > 0)?;
            let mut chunk = vec![0; size + 2];
            self.input.read_exact(&mut chunk).ok()?;
            self.text.push_str(std::str::from_utf8(&chunk[..size]).unwrap());
        }
    }

    /// The next event that is no comment and for which this holds; others are passed over.
    ///
    /// # Panics
    /// When the stream ends before it.
    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.event().unwrap_or_else(|| panic!("the stream ended before {what}"));
            if !event.name.is_empty() && wanted(&event) {
                return event;
            }
        }
    }
}

fn parse(text: &str) -> Event {
    let field = |name: &str| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or("")
    };
    let data = serde_json::from_str(field("data")).unwrap_or(Value::Null);
    Event { id: field("id").to_owned(), name: field("event").to_owned(), data }
}
