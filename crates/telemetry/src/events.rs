//! Short-lived operational events: a bounded ring in memory, equal ones told once with a count.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something is not as it should be, and was coped with.
    Warning,
    /// An operator must act, or data was lost.
    Error,
}

impl Severity {
    /// Every severity, the mildest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Error];

    /// The published name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// The severity with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }
}

/// What it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    /// Pressure on the pool, and failed outgoing connections.
    ConnectionPool,
    /// The store of records.
    Storage,
    /// Authentication.
    Security,
    /// Accepting clients.
    Listener,
    /// Access rules.
    Acl,
}

impl Category {
    /// Every category.
    pub const ALL: [Self; 5] =
        [Self::ConnectionPool, Self::Storage, Self::Security, Self::Listener, Self::Acl];

    /// The published name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConnectionPool => "connection_pool",
            Self::Storage => "storage",
            Self::Security => "security",
            Self::Listener => "listener",
            Self::Acl => "acl",
        }
    }

    /// The category with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.name() == name)
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub category: Category,
    /// What happened, in one sentence.
    pub message: String,
    /// Particulars such as a destination or a limit.
    pub details: Vec<(&'static str, String)>,
}

/// An event in the ring: an occurrence, and how often it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it came first.
    pub first: Timestamp,
    /// When it came last.
    pub last: Timestamp,
    /// How often it came.
    pub count: u64,
    /// What happened.
    pub occurrence: Occurrence,
}

/// Which events to show.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query {
    /// Only those that came last within this time; none shows all.
    pub within: Option<Duration>,
    /// How many at most.
    pub limit: usize,
    /// Only this severity.
    pub severity: Option<Severity>,
    /// Only this category.
    pub category: Option<Category>,
}

/// How events are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many at most; 0 keeps none.
    pub max_events: usize,
    /// How long after they came last.
    pub retention: Duration,
}

/// Equal occurrences that follow one another within this time count as one event, however long
/// it goes on.
const COALESCE_WITHIN: Duration = Duration::from_secs(60);

/// How many of the newest events an occurrence is compared with. In a storm of many different
/// ones, looking for an equal one costs no more than this.
const LOOK_AT: usize = 1024;

/// How often something happened since the start, by category and severity.
#[derive(Debug, Default)]
pub struct Counts([[AtomicU64; Severity::ALL.len()]; Category::ALL.len()]);

impl Counts {
    /// Every pair, with how often it occurred.
    pub fn all(&self) -> impl Iterator<Item = (Category, Severity, u64)> {
        Category::ALL.into_iter().flat_map(move |category| {
            Severity::ALL.into_iter().map(move |severity| {
                (category, severity, self.0[category as usize][severity as usize].load(Relaxed))
            })
        })
    }
}

/// The ring. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    ring: Arc<Mutex<VecDeque<Event>>>,
    counts: Arc<Counts>,
    limits: Limits,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Events {
    /// An empty ring; `now` tells the wall clock's time.
    pub fn new(limits: Limits, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { ring: Arc::default(), counts: Arc::default(), limits, now: Arc::new(now) }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.ring.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// How often something happened since the start; counted even where no event is kept.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Adds an occurrence. One that equals an event that came within the last minute raises its
    /// count.
    ///
    /// Returns whether it is a new event, also where none are kept for readers.
    pub fn raise(&self, occurrence: Occurrence) -> bool {
        let (category, severity) = (occurrence.category as usize, occurrence.severity as usize);
        self.counts.0[category][severity].fetch_add(1, Relaxed);
        let now = (self.now)();
        let mut ring = self.lock();
        expire(&mut ring, now, self.limits.retention);
        let mut newest = ring.iter().enumerate().rev().take(LOOK_AT);
        let equal = newest.find(|(_, event)| {
            event.occurrence == occurrence && is_within(event.last, now, COALESCE_WITHIN)
        });
        if let Some((place, _)) = equal {
            // Moved to the end: the ring stays in order of the last time.
            if let Some(mut event) = ring.remove(place) {
                event.last = now;
                event.count += 1;
                ring.push_back(event);
            }
            return false;
        }
        // Where none are kept for readers, as many as equals are looked for among.
        let most = match self.limits.max_events {
            0 => LOOK_AT,
            most => most,
        };
        if ring.len() >= most {
            make_room(&mut ring);
        }
        ring.push_back(Event { first: now, last: now, count: 1, occurrence });
        true
    }

    /// Events, the newest first.
    pub fn recent(&self, query: Query) -> Vec<Event> {
        if self.limits.max_events == 0 {
            return Vec::new();
        }
        let now = (self.now)();
        let mut ring = self.lock();
        expire(&mut ring, now, self.limits.retention);
        ring.iter()
            .rev()
            .filter(|event| {
                let occurrence = &event.occurrence;
                is_within(event.last, now, self.limits.retention)
                    && query.within.is_none_or(|within| is_within(event.last, now, within))
                    && query.severity.is_none_or(|severity| occurrence.severity == severity)
                    && query.category.is_none_or(|category| occurrence.category == category)
            })
            .take(query.limit)
            .cloned()
            .collect()
    }
}

fn is_within(time: Timestamp, now: Timestamp, span: Duration) -> bool {
    now.duration_since(time).unsigned_abs() <= span
}

/// Forgets events that came last too long ago. They stand in that order, but for a clock that was
/// stepped, so whoever reads looks at the time again.
fn expire(ring: &mut VecDeque<Event>, now: Timestamp, retention: Duration) {
    while ring.front().is_some_and(|event| !is_within(event.last, now, retention)) {
        ring.pop_front();
    }
}

/// Forgets the oldest of the mildest events, so that a storm of warnings leaves what an operator
/// must act on.
fn make_room(ring: &mut VecDeque<Event>) {
    let severity = |event: &Event| event.occurrence.severity;
    let mildest = ring.iter().enumerate().min_by_key(|(_, event)| severity(event));
    if let Some(place) = mildest.map(|(place, _)| place) {
        ring.remove(place);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

    use super::*;

    fn events(max_events: usize) -> (Events, Arc<AtomicI64>) {
        let seconds = Arc::new(AtomicI64::new(1_000_000));
        let clock = Arc::clone(&seconds);
        let limits = Limits { max_events, retention: Duration::from_secs(3600) };
        let now = move || Timestamp::from_second(clock.load(Relaxed)).unwrap();
        (Events::new(limits, now), seconds)
    }

    fn refused(destination: &str) -> Occurrence {
        Occurrence {
            severity: Severity::Warning,
            category: Category::ConnectionPool,
            message: "refused".into(),
            details: vec![("destination", destination.into())],
        }
    }

    fn all() -> Query {
        Query { limit: 1000, ..Query::default() }
    }

    #[test]
    fn equal_occurrences_within_a_minute_are_one_event_with_a_count() {
        let (events, seconds) = events(10);
        events.raise(refused("a"));
        events.raise(refused("b"));
        seconds.fetch_add(30, Relaxed);
        events.raise(refused("a"));
        let found = events.recent(all());
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].count, found[1].count), (2, 1));
        seconds.fetch_add(61, Relaxed);
        events.raise(refused("a"));
        assert_eq!(events.recent(all()).len(), 3);
    }

    #[test]
    fn a_storm_of_hours_is_one_event_from_its_first_to_its_last_occurrence() {
        let (events, seconds) = events(10);
        for _ in 0..2 * 3600 {
            events.raise(refused("a"));
            seconds.fetch_add(1, Relaxed);
        }
        let found = events.recent(all());
        assert_eq!((found.len(), found[0].count), (1, 7200));
        assert_eq!(found[0].last.as_second() - found[0].first.as_second(), 7199);
        let (.., count) = events.counts().all().find(|(_, _, count)| *count > 0).unwrap();
        assert_eq!(count, 7200);
    }

    #[test]
    fn a_storm_of_warnings_leaves_the_errors() {
        let (events, _) = events(4);
        let with = |severity, text: &str| Occurrence { severity, ..refused(text) };
        events.raise(with(Severity::Error, "bad"));
        events.raise(with(Severity::Info, "mild"));
        for number in 0..100 {
            events.raise(refused(&number.to_string()));
        }
        let details = events.recent(all());
        let details: Vec<_> = details.iter().map(|e| e.occurrence.details[0].1.as_str()).collect();
        assert_eq!(details, ["99", "98", "97", "bad"]);
        for number in 0..10 {
            events.raise(with(Severity::Error, &number.to_string()));
        }
        assert_eq!(events.recent(all()).len(), 4);
    }

    #[test]
    fn the_ring_is_bounded_by_number_and_age() {
        let (events, seconds) = events(3);
        for number in 0..10 {
            events.raise(refused(&number.to_string()));
        }
        let found = events.recent(all());
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].occurrence.details[0].1, "9");
        seconds.fetch_add(3601, Relaxed);
        assert!(events.recent(all()).is_empty());
    }

    #[test]
    fn a_query_narrows_by_time_severity_category_and_number() {
        let (events, seconds) = events(10);
        events.raise(refused("old"));
        seconds.fetch_add(600, Relaxed);
        events.raise(refused("new"));
        events.raise(Occurrence { severity: Severity::Error, ..refused("bad") });
        let count = |query: Query| events.recent(query).len();
        assert_eq!(count(Query { within: Some(Duration::from_secs(300)), ..all() }), 2);
        assert_eq!(count(Query { severity: Some(Severity::Error), ..all() }), 1);
        assert_eq!(count(Query { category: Some(Category::Acl), ..all() }), 0);
        assert_eq!(count(Query { limit: 1, ..all() }), 1);
    }

    #[test]
    fn a_clock_that_is_stepped_back_panics_nobody() {
        let (events, seconds) = events(10);
        events.raise(refused("a"));
        seconds.fetch_sub(50, Relaxed);
        events.raise(refused("a"));
        assert_eq!(events.recent(all())[0].count, 2);
    }
}
