//! The running sessions as the screen knows them, with their rates.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::console::answers::Session;
use crate::console::list::lasted;
use crate::console::safe::Text;

/// A rate is that of this time.
const WINDOW: Duration = Duration::from_secs(3);

/// Rates over less than this would jump about.
const SHORTEST: Duration = Duration::from_millis(200);

/// Samples per session: the server tells twice a second at most.
const MOST_SAMPLES: usize = 16;

/// By what sessions are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Rate,
    Bytes,
    Age,
    User,
    Destination,
}

impl Order {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Bytes => "bytes",
            Self::Age => "age",
            Self::User => "user",
            Self::Destination => "destination",
        }
    }

    /// The one behind this.
    pub(super) fn next(self) -> Self {
        match self {
            Self::Rate => Self::Bytes,
            Self::Bytes => Self::Age,
            Self::Age => Self::User,
            Self::User => Self::Destination,
            Self::Destination => Self::Rate,
        }
    }
}

/// Counters at a moment of this program's clock.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    sent: u64,
    received: u64,
}

#[derive(Debug)]
struct Entry {
    session: Session,
    /// When it was told of last.
    told: Instant,
    samples: VecDeque<Sample>,
}

/// A session with what is reckoned from its samples.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    pub(super) session: &'a Session,
    /// Bytes per second, client to destination.
    pub(super) sent: f64,
    /// Bytes per second, destination to client.
    pub(super) received: f64,
    pub(super) age: Duration,
}

/// The running sessions.
#[derive(Debug, Default)]
pub(super) struct Board {
    entries: HashMap<Text, Entry>,
}

impl Board {
    /// Takes the list of everything that runs.
    pub(super) fn replace(&mut self, sessions: Vec<Session>, now: Instant) {
        let mut before = std::mem::take(&mut self.entries);
        for session in sessions {
            if let Some(entry) = before.remove(&session.session_id) {
                self.entries.insert(session.session_id.clone(), entry);
            }
            self.put(session, now);
        }
    }

    /// Takes what is new of a session; what is older than what is known changes nothing.
    pub(super) fn put(&mut self, session: Session, now: Instant) {
        let (sent, received) = (session.bytes_sent, session.bytes_received);
        let sample = Sample { at: now, sent, received };
        let entry = self.entries.entry(session.session_id.clone()).or_insert_with(|| Entry {
            session: session.clone(),
            told: now,
            samples: VecDeque::new(),
        });
        // The times have one width, so that text order is time order.
        if session.updated_at < entry.session.updated_at {
            return;
        }
        (entry.session, entry.told) = (session, now);
        if entry.samples.len() == MOST_SAMPLES {
            entry.samples.pop_front();
        }
        entry.samples.push_back(sample);
    }

    /// A session is over.
    pub(super) fn remove(&mut self, session: &Session) {
        self.entries.remove(&session.session_id);
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes per second of all sessions together: to their destinations, from them.
    pub(super) fn rates(&self, now: Instant) -> (f64, f64) {
        self.entries
            .values()
            .map(|entry| entry.rates(now))
            .fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    pub(super) fn get(&self, id: &Text) -> Option<&Session> {
        self.entries.get(id).map(|entry| &entry.session)
    }

    /// The sessions that hold `filter` in a name or address, in order; the largest, longest or
    /// first in the alphabet first, unless `reverse`.
    pub(super) fn rows(
        &self,
        filter: &str,
        (order, reverse): (Order, bool),
        now: Instant,
    ) -> Vec<Row<'_>> {
        let filter = filter.to_lowercase();
        let mut rows: Vec<Row<'_>> = self
            .entries
            .values()
            .filter(|entry| filter.is_empty() || matches(&entry.session, &filter))
            .map(|entry| entry.row(now))
            .collect();
        rows.sort_unstable_by(|left, right| {
            let (one, other) = (left.session, right.session);
            let by = match order {
                Order::Rate => right.rate().total_cmp(&left.rate()),
                Order::Bytes => total(other).cmp(&total(one)),
                Order::Age => one.start_time.cmp(&other.start_time),
                Order::User => one.user.cmp(&other.user),
                Order::Destination => one.destination().cmp(&other.destination()),
            };
            let by = if reverse { by.reverse() } else { by };
            // The newest first among equals, so that no row moves without a reason.
            by.then_with(|| other.session_id.cmp(&one.session_id))
        });
        rows
    }
}

fn total(session: &Session) -> u64 {
    session.bytes_sent.saturating_add(session.bytes_received)
}

fn matches(session: &Session, filter: &str) -> bool {
    [session.user.as_str(), &session.client(), &session.destination(), session.dest_ip.as_str()]
        .iter()
        .any(|text| text.to_lowercase().contains(filter))
}

impl Row<'_> {
    /// Bytes per second of both directions.
    pub(super) fn rate(&self) -> f64 {
        self.sent + self.received
    }
}

impl Entry {
    fn row(&self, now: Instant) -> Row<'_> {
        let (sent, received) = self.rates(now);
        let age = lasted(&self.session) + now.saturating_duration_since(self.told);
        Row { session: &self.session, sent, received, age }
    }

    /// Bytes per second over the window: to the destination, from it.
    fn rates(&self, now: Instant) -> (f64, f64) {
        let since = |sample: &Sample| now.saturating_duration_since(sample.at);
        let old = self.samples.iter().rev().find(|sample| since(sample) >= WINDOW);
        match old.or_else(|| self.samples.front()) {
            Some(from) if since(from) >= SHORTEST => {
                let seconds = since(from).as_secs_f64();
                let per_second = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
                (
                    per_second(self.session.bytes_sent, from.sent),
                    per_second(self.session.bytes_received, from.received),
                )
            }
            _ => (0.0, 0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, user: &str, sent: u64, millis: u64) -> Session {
        Session {
            session_id: id.into(),
            user: user.into(),
            dest_ip: "192.0.2.1".into(),
            bytes_sent: sent,
            start_time: "2026-01-02T03:04:05.000+00:00".into(),
            updated_at: format!("2026-01-02T03:04:05.{millis:03}+00:00").as_str().into(),
            ..Session::default()
        }
    }

    const BY_RATE: (Order, bool) = (Order::Rate, false);

    fn users(board: &Board, filter: &str, order: (Order, bool), now: Instant) -> Vec<String> {
        let rows = board.rows(filter, order, now);
        rows.iter().map(|row| row.session.user.to_string()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_that_of_the_last_seconds_and_falls_to_nothing() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut board = Board::default();
        board.put(session("a", "alice", 0, 0), at(0));
        board.put(session("a", "alice", 1000, 500), at(500));
        board.put(session("a", "alice", 2000, 999), at(1000));
        let rate = |board: &Board, millis| board.rows("", BY_RATE, at(millis))[0].sent;
        assert!((rate(&board, 1000) - 2000.0).abs() < 1.0);
        assert!(rate(&board, 3500) < 1000.0);
        assert!(rate(&board, 4000).abs() < f64::EPSILON);
        assert!((board.rates(at(1000)).0 - 2000.0).abs() < 1.0);
        let age = board.rows("", BY_RATE, at(5000))[0].age;
        assert_eq!(age, Duration::from_millis(999 + 4000));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_older_than_what_is_known_changes_nothing() {
        let now = Instant::now();
        let mut board = Board::default();
        board.replace(vec![session("a", "alice", 500, 900), session("b", "bob", 1, 0)], now);
        board.put(session("a", "alice", 100, 100), now);
        assert_eq!(board.get(&"a".into()).unwrap().bytes_sent, 500);
        board.replace(vec![session("a", "alice", 600, 950)], now);
        assert_eq!((board.len(), board.get(&"a".into()).unwrap().bytes_sent), (1, 600));
        board.remove(&session("a", "alice", 0, 0));
        assert_eq!(board.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn rows_are_ordered_and_filtered() {
        let now = Instant::now();
        let mut board = Board::default();
        for (id, user, sent) in [("1", "bob", 5), ("2", "alice", 9), ("3", "Carol", 1)] {
            board.put(session(id, user, sent, 0), now);
        }
        assert_eq!(users(&board, "", (Order::Bytes, false), now), ["alice", "bob", "Carol"]);
        assert_eq!(users(&board, "", (Order::Bytes, true), now), ["Carol", "bob", "alice"]);
        assert_eq!(users(&board, "", BY_RATE, now), ["Carol", "alice", "bob"]);
        assert_eq!(users(&board, "cAR", BY_RATE, now), ["Carol"]);
        assert_eq!(users(&board, "192.0.2.1:0", BY_RATE, now).len(), 3);
        assert!(users(&board, "nobody", BY_RATE, now).is_empty());
    }
}
