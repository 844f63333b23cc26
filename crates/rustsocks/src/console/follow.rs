//! The live stream of sessions: read, and taken up again where it was lost.

use std::time::Duration;

use crate::console::answers::Gap;
use crate::console::fault::Fault;
use crate::console::filter::Query;
use crate::console::http::{Http, Pieces, Question};

/// What a follower learns.
#[derive(Debug)]
pub(crate) enum News {
    /// The stream is there, at first or again.
    Connected,
    /// Something happened to a session: `opened`, `updated` or `ended`, and the session in JSON.
    Session { what: What, json: String },
    /// So many events were missed; none where that is unknown.
    Gap(Option<u64>),
    /// The stream was lost; it is sought again.
    Lost(Fault),
}

/// What happened to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Opened,
    Updated,
    Ended,
}

impl What {
    /// The published name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Ended => "ended",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Opened, Self::Updated, Self::Ended].into_iter().find(|what| what.name() == name)
    }
}

/// Pauses between tries to come back; the last one repeats.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// One who follows the stream.
#[derive(Debug)]
pub(crate) struct Follower<'a> {
    http: &'a Http,
    query: Query,
    /// The id of the last event seen.
    last: Option<String>,
    stream: Option<Pieces>,
    parser: Parser,
    /// Tries that failed since the stream was there.
    tries: usize,
}

impl<'a> Follower<'a> {
    pub(crate) fn new(http: &'a Http, query: Query) -> Self {
        Self { http, query, last: None, stream: None, parser: Parser::default(), tries: 0 }
    }

    /// What comes next. Not to be dropped half-way: what was read would be lost.
    ///
    /// # Errors
    /// What does not pass by waiting, such as a refusal.
    pub(crate) async fn next(&mut self) -> Result<News, Fault> {
        loop {
            let Some(stream) = &mut self.stream else { return self.connect().await };
            if let Some(event) = self.parser.next() {
                if let Some(id) = event.id {
                    self.last = Some(id);
                }
                match news(&event.name, event.data) {
                    Some(news) => return Ok(news),
                    // A kind of event that is not known yet.
                    None => continue,
                }
            }
            let lost = match stream.next().await {
                Ok(Some(piece)) if self.parser.add(&piece) => continue,
                Ok(Some(_)) => self.http.broken(&"an event has no end"),
                Ok(None) => self.http.broken(&"the server ended it"),
                Err(fault) => fault,
            };
            self.stream = None;
            return Ok(News::Lost(lost));
        }
    }

    /// Gives the stream up, to begin anew after a pause.
    #[cfg(feature = "tui")]
    pub(crate) fn abandon(&mut self) {
        (self.stream, self.tries) = (None, 1);
    }

    async fn connect(&mut self) -> Result<News, Fault> {
        if let Some(last_pause) = self.tries.checked_sub(1) {
            let pause = PAUSES.get(last_pause).or(PAUSES.last()).copied().unwrap_or_default();
            tokio::time::sleep(pause).await;
        }
        self.tries += 1;
        let ask = Question {
            path: "/api/sessions/stream",
            query: self.query.clone(),
            last_event: self.last.as_deref(),
            ..Question::default()
        };
        match self.http.open(ask).await {
            Ok(stream) => {
                (self.stream, self.parser, self.tries) = (Some(stream), Parser::default(), 0);
                Ok(News::Connected)
            }
            Err(fault) if fault.may_pass() => Ok(News::Lost(fault)),
            Err(fault) => Err(fault),
        }
    }
}

fn news(name: &str, data: String) -> Option<News> {
    if name == "gap" {
        let gap: Gap = serde_json::from_str(&data).unwrap_or_default();
        return Some(News::Gap(gap.missed));
    }
    What::from_name(name).map(|what| News::Session { what, json: data })
}

/// Server-sent events, taken apart as their standard says.
#[derive(Debug, Default)]
struct Parser {
    bytes: Vec<u8>,
    /// Bytes of these that are done with.
    read: usize,
    event: Event,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    id: Option<String>,
    name: String,
    data: String,
}

/// No event is nearly as large.
const LARGEST_EVENT: usize = 1 << 20;

impl Parser {
    /// Takes more bytes; false when an event has no end.
    fn add(&mut self, bytes: &[u8]) -> bool {
        self.bytes.drain(..self.read);
        self.read = 0;
        self.bytes.extend_from_slice(bytes);
        self.bytes.len() + self.event.data.len() <= LARGEST_EVENT
    }

    /// The next event that is complete.
    fn next(&mut self) -> Option<Event> {
        loop {
            let rest = self.bytes.get(self.read..)?;
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let line = rest.get(..end).unwrap_or_default();
            let line =
                String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
            self.read += end + 1;
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if event != Event::default() {
                    return Some(event);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => self.event.id = Some(value.to_owned()),
                "event" => value.clone_into(&mut self.event.name),
                "data" => {
                    if !self.event.data.is_empty() {
                        self.event.data.push('\n');
                    }
                    self.event.data.push_str(value);
                }
                // A comment, or a field that is not known.
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = b": hello\n\nid: 7.1\nevent: opened\ndata: {\"user\":\"\xc3\xa9: x\"}\n\n\
                     : quiet\n\nid: 7.2\r\nevent: gap\r\ndata: {\"missed\":3}\r\n\r\nevent: ended\nda";
        let event = |id: &str, name: &str, data: &str| Event {
            id: Some(id.into()),
            name: name.into(),
            data: data.into(),
        };
        let wanted =
            [event("7.1", "opened", "{\"user\":\"é: x\"}"), event("7.2", "gap", "{\"missed\":3}")];
        for cut in 0..text.len() {
            let (first, second) = text.split_at(cut);
            let (mut parser, mut events) = (Parser::default(), Vec::new());
            for piece in [first, second] {
                assert!(parser.add(piece));
                events.extend(std::iter::from_fn(|| parser.next()));
            }
            assert_eq!(events, wanted, "cut at {cut}");
        }
    }

    #[test]
    fn an_event_without_end_is_not_gathered_for_ever() {
        let mut parser = Parser::default();
        let piece = [b'x'; 1 << 16];
        let taken = (0..1000).take_while(|_| parser.add(&piece)).count();
        assert!(taken <= LARGEST_EVENT / piece.len());
    }
}
