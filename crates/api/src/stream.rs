//! The live stream of sessions: one gatherer, one bounded ring, as many readers as may be.
//!
//! A reader holds no more than its place in the ring. One that falls behind is told how much it
//! missed and goes on from the oldest event that is there.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use rustsocks_sessions::{Record, Session, Status, Table, Told};
use rustsocks_storage::Filter;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Api;
use crate::params::{FilterParams, Params};
use crate::problem::Problem;
use crate::shapes::SessionView;

/// How often changes are gathered.
const ROUND: Duration = Duration::from_millis(200);

/// Events that are kept for readers behind, and for those who come back.
const KEPT_EVENTS: usize = 8192;

/// Further ones are kept for so long, as every session that runs may move at once.
const KEPT_FOR: Duration = Duration::from_secs(2);

/// No more than these are kept, which bounds what the ring costs: an event takes about 1.3 KB.
const MOST_EVENTS: usize = 1 << 16;

/// Changes that are added at a time; readers come in between.
const MOST_ADDED: usize = 1024;

/// How long changes are gathered after the last reader went: it may come back.
const LINGER: Duration = Duration::from_secs(60);

/// A quiet stream says so this often.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Readers at once; further ones are turned away, so that connections are left for others.
const MOST_READERS: usize = 1536;

/// Events per piece that is handed to a connection, and bytes beyond which none is added. A reader
/// that does not read costs its connection two pieces.
const MOST_AT_ONCE: usize = 64;
const PIECE_BYTES: usize = 8 << 10;

/// What happened to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Opened,
    Updated,
    Ended,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Ended => "ended",
        }
    }
}

#[derive(Debug)]
struct Event {
    number: u64,
    added: Instant,
    record: Arc<Record>,
    /// As it goes over the wire.
    text: Bytes,
}

/// The events of one process.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    table: Table,
    /// Tells this process's events from those of others.
    run: String,
    ring: Mutex<Ring>,
    /// The number of the newest event.
    newest: watch::Sender<u64>,
    /// Owns the gathering task, which ends with `stop`.
    gatherer: TaskTracker,
    stop: CancellationToken,
    /// Cancelled when nothing more will come.
    done: CancellationToken,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    /// The number of the newest event.
    newest: u64,
    /// The number of the newest event when gathering began: what came before it is unknown.
    oldest: u64,
    readers: usize,
    left: Option<Instant>,
    gathers: bool,
}

impl Ring {
    /// Forgets the oldest events.
    fn forget(&mut self, now: Instant) {
        while let Some(oldest) = self.events.front() {
            let is_due = self.events.len() > KEPT_EVENTS && now - oldest.added >= KEPT_FOR;
            if !is_due && self.events.len() <= MOST_EVENTS {
                break;
            }
            self.events.pop_front();
        }
    }
}

/// Where a reader is.
struct Reader {
    hub: Hub,
    filter: Filter,
    /// The number of the last event it has seen or skipped.
    seen: u64,
    newest: watch::Receiver<u64>,
    greeting: Option<Bytes>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut ring = self.hub.lock();
        ring.readers -= 1;
        ring.left = Some(Instant::now());
    }
}

impl Hub {
    pub(crate) fn new(table: Table, stop: CancellationToken) -> Self {
        let run = table.clock().now().wall.as_microsecond().to_string();
        let ring = Mutex::default();
        let (newest, gatherer) = (watch::Sender::new(0), TaskTracker::new());
        let done = CancellationToken::new();
        Self { inner: Arc::new(Inner { table, run, ring, newest, gatherer, stop, done }) }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.inner.ring.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A new reader; `last` is the id of the last event it has seen, if it comes back. None where
    /// there are too many, or the process stops.
    fn reader(&self, filter: Filter, last: Option<&str>) -> Option<Reader> {
        let mut ring = self.lock();
        if ring.readers >= MOST_READERS || self.inner.stop.is_cancelled() {
            return None;
        }
        ring.readers += 1;
        if !ring.gathers {
            ring.gathers = true;
            // A number that no event has: whoever saw the one before has missed what came since.
            ring.newest += 1;
            ring.oldest = ring.newest;
            // Before anything is watched: what opens from here on is new.
            let began = Instant::now();
            self.inner.table.outbox().watch(true);
            self.inner.gatherer.spawn(self.clone().gather(began));
        }
        let known = last.and_then(|last| {
            let (run, number) = last.split_once('.')?;
            let number: u64 = number.parse().ok()?;
            let is_known = (ring.oldest..=ring.newest).contains(&number);
            (run == self.inner.run && is_known).then_some(number)
        });
        let seen = known.unwrap_or(ring.newest);
        drop(ring);
        // Whoever comes back from another run, or from nowhere, has missed something unknown.
        let greeting = match last.is_some() && known.is_none() {
            true => self.gap(seen, None),
            false => self.comment(seen, "rustsocks"),
        };
        let newest = self.inner.newest.subscribe();
        Some(Reader { hub: self.clone(), filter, seen, newest, greeting: Some(greeting) })
    }

    /// What a client takes no notice of but for the number, from which it resumes.
    fn comment(&self, number: u64, text: &str) -> Bytes {
        format!("id: {}.{number}\n: {text}\n\n", self.inner.run).into()
    }

    fn gap(&self, number: u64, missed: Option<u64>) -> Bytes {
        let missed = missed.map_or_else(|| "null".to_owned(), |missed| missed.to_string());
        let run = &self.inner.run;
        format!("id: {run}.{number}\nevent: gap\ndata: {{\"missed\":{missed}}}\n\n").into()
    }

    /// Gathers changes for as long as anybody reads, and a while longer.
    async fn gather(self, began: Instant) {
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let outbox = self.inner.table.outbox();
        loop {
            let stopped = self.inner.stop.run_until_cancelled(rounds.tick()).await.is_none();
            let changed = outbox.take_watched();
            let mut lonely = changed.is_empty() && !self.add(Vec::new());
            for sessions in changed.chunks(MOST_ADDED) {
                let mut events = Vec::new();
                for session in sessions {
                    changes(session, began, |what, record| events.push((what, record)));
                }
                lonely = !self.add(events);
                if lonely {
                    break;
                }
                tokio::task::yield_now().await;
            }
            if stopped {
                outbox.watch(false);
                self.inner.done.cancel();
            }
            if stopped || lonely {
                break;
            }
        }
    }

    /// Adds events; false when nobody has read for long.
    fn add(&self, events: Vec<(What, Record)>) -> bool {
        let added = Instant::now();
        let mut ring = self.lock();
        for (what, record) in events {
            ring.newest += 1;
            let number = ring.newest;
            let json = serde_json::to_string(&SessionView::from(&record)).unwrap_or_default();
            let (run, name) = (&self.inner.run, what.name());
            let text = format!("id: {run}.{number}\nevent: {name}\ndata: {json}\n\n").into();
            ring.events.push_back(Arc::new(Event {
                number,
                added,
                record: Arc::new(record),
                text,
            }));
        }
        ring.forget(added);
        let lonely = ring.readers == 0 && ring.left.is_none_or(|left| left.elapsed() >= LINGER);
        if lonely {
            ring.gathers = false;
            ring.events.clear();
            self.inner.table.outbox().watch(false);
        }
        let newest = ring.newest;
        drop(ring);
        self.inner.newest.send_if_modified(|known| std::mem::replace(known, newest) != newest);
        !lonely
    }
}

/// What happened to a session since it was told of last.
fn changes(session: &Session, began: Instant, mut tell: impl FnMut(What, Record)) {
    let record = session.snapshot();
    let ended = record.end_time.is_some();
    let told = session.tell(if ended { Told::Ended } else { Told::Runs });
    let new = told == Told::Nothing && session.started().mono >= began;
    if new && ended {
        tell(What::Opened, opened(&record));
    }
    match (told, ended) {
        // Seen moving when it had ended already: it was queued once more.
        (Told::Ended, _) => {}
        (_, true) => tell(What::Ended, record),
        (_, false) if new => tell(What::Opened, record),
        (_, false) => tell(What::Updated, record),
    }
}

/// The session as it opened.
fn opened(record: &Record) -> Record {
    Record {
        end_time: None,
        duration: None,
        status: Status::Active,
        close_reason: None,
        close_detail: None,
        bytes_sent: 0,
        bytes_received: 0,
        packets_sent: 0,
        packets_received: 0,
        updated_at: record.start_time,
        ..record.clone()
    }
}

impl Reader {
    /// What comes next, as it goes over the wire; none when the process stops.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        let quiet = tokio::time::sleep(HEARTBEAT);
        tokio::pin!(quiet);
        let done = self.hub.inner.done.clone();
        loop {
            self.newest.borrow_and_update();
            if let Some(text) = self.read() {
                return Some(text);
            }
            tokio::select! {
                changed = self.newest.changed() => changed.ok()?,
                () = &mut quiet => return Some(self.hub.comment(self.seen, "quiet")),
                // What came last may have come since the look above.
                () = done.cancelled() => return self.read(),
            }
        }
    }

    /// The next events that suit, if there are any.
    fn read(&mut self) -> Option<Bytes> {
        let hub = self.hub.clone();
        loop {
            let events: Vec<Arc<Event>> = {
                let ring = hub.lock();
                let first = ring.events.front().map_or(ring.newest + 1, |event| event.number);
                if self.seen + 1 < first {
                    let missed = first - 1 - self.seen;
                    self.seen = first - 1;
                    return Some(hub.gap(self.seen, Some(missed)));
                }
                let skip = usize::try_from(self.seen + 1 - first).unwrap_or(usize::MAX);
                ring.events.iter().skip(skip).take(MOST_AT_ONCE).cloned().collect()
            };
            let mut piece = Vec::new();
            self.seen = events.last()?.number;
            for event in events.iter().filter(|event| self.filter.suits(&event.record)) {
                piece.extend_from_slice(&event.text);
                if piece.len() >= PIECE_BYTES {
                    self.seen = event.number;
                    break;
                }
            }
            if !piece.is_empty() {
                return Some(piece.into());
            }
        }
    }
}

/// The sessions of this node as they open, change and end, as server-sent events.
///
/// Events `opened`, `updated` and `ended` carry the session; `gap` carries how many events a
/// slow reader missed, or null where that is unknown. `Last-Event-ID` resumes. Counters of a
/// running session are told twice a second at most.
#[utoipa::path(
    get, path = "/api/sessions/stream", tag = "sessions",
    params(
        FilterParams,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event seen"),
    ),
    responses(
        (status = 200, description = "Events until either side ends it", body = String, content_type = "text/event-stream"),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 503, description = "There are too many readers, or the server is stopping", body = Problem),
    )
)]
pub(crate) async fn stream(
    State(api): State<Api>,
    Extension(hub): Extension<Hub>,
    headers: HeaderMap,
    Params(wanted): Params<FilterParams>,
) -> Result<Response, Problem> {
    let request = wanted.check(api.table.clock().now().wall)?;
    if let Some(name) = request.abroad(api.table.node()) {
        let detail = format!("{name}: the stream is that of this node alone");
        return Err(Problem::bad_request(detail));
    }
    let last = headers.get("last-event-id").map(HeaderValue::to_str);
    let last = last.transpose().map_err(|_| Problem::bad_request("Last-Event-ID: not text"))?;
    let Some(reader) = hub.reader(request.filter, last) else {
        let detail = format!("more than {MOST_READERS} read the stream, or the server is stopping");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    };
    let texts = stream::unfold(reader, async |mut reader| {
        let text = reader.next().await?;
        Some((Ok::<_, Infallible>(text), reader))
    });
    let mut response = Response::new(Body::from_stream(texts));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use rustsocks_sessions::{AclOutcome, Clock, CloseReason, Identity, Opening, Rules};

    use super::*;

    fn hub() -> Hub {
        let table = Table::new(Clock::system(), "node".into(), Rules::default());
        Hub::new(table, CancellationToken::new())
    }

    async fn greeting(hub: &Hub, last: Option<&str>) -> String {
        let mut reader = hub.reader(Filter::default(), last).unwrap();
        String::from_utf8(reader.next().await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_back_after_nothing_was_gathered_is_told_of_a_gap() {
        let hub = hub();
        let first = greeting(&hub, None).await;
        let id = first.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
        let again = greeting(&hub, Some(id)).await;
        assert_eq!(again, first, "nothing was missed");
        tokio::time::sleep(LINGER + ROUND * 2).await;
        let late = greeting(&hub, Some(id)).await;
        assert!(late.contains("event: gap\ndata: {\"missed\":null}"), "{late}");
        let other_run = greeting(&hub, Some("1.0")).await;
        assert!(other_run.contains("event: gap"), "{other_run}");
    }

    /// Counts the events of the next changes that `reader` gets, and panics on a gap.
    async fn read_all(reader: &mut Reader, name: &str, wanted: usize) {
        let mut seen = 0;
        while seen < wanted {
            let piece = reader.next().await.unwrap();
            let text = std::str::from_utf8(&piece).unwrap();
            assert!(!text.contains("event: gap"), "after {seen} {name}: {text}");
            seen += text.matches(&format!("event: {name}\n")).count();
        }
        assert_eq!(seen, wanted, "{name}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_reads_at_once_misses_nothing_when_all_of_many_sessions_move() {
        let many = KEPT_EVENTS + 2000;
        let hub = hub();
        let table = hub.inner.table.clone();
        let mut reader = hub.reader(Filter::default(), None).unwrap();
        let open = || {
            table.open(Opening {
                identity: Identity::Anonymous("anonymous".into()),
                source: (std::net::Ipv4Addr::LOCALHOST, 4000).into(),
                target: None,
                command: None,
                acl: AclOutcome::Off,
            })
        };
        let sessions: Vec<_> = (0..many).map(|_| open()).collect();
        read_all(&mut reader, "opened", many).await;
        for session in &sessions {
            session.count_sent(1);
        }
        table.sweep(Instant::now());
        read_all(&mut reader, "updated", many).await;
        for session in sessions {
            session.finish(CloseReason::ClientClosed, None);
        }
        read_all(&mut reader, "ended", many).await;

        tokio::time::sleep(KEPT_FOR + ROUND * 2).await;
        let mut ring = hub.lock();
        assert_eq!(ring.events.len(), KEPT_EVENTS, "no more are kept for long");
        let mut newest = Arc::into_inner(ring.events.pop_back().unwrap()).unwrap();
        newest.added = Instant::now();
        let newest = Arc::new(newest);
        ring.events.extend(std::iter::repeat_n(newest, MOST_EVENTS + 1));
        ring.forget(Instant::now());
        assert_eq!(ring.events.len(), MOST_EVENTS, "however many come at once");
    }
}
