//! Statistics of "the last so many hours", always ready.
//!
//! A window that somebody has asked for is kept: its sums per user and per destination, from a
//! whole minute on. Each write of ours changes it by what the write changed in the rollups; as
//! time goes on, the minutes that leave it are taken off. The rows of the minute that left it last
//! are kept beside it, for it leaves by and by: to an answer come those of them that started after
//! the window's very beginning, and the sessions whose newest state the store does not have yet. Of
//! a minute with more rows than are kept, the store sums those for each answer.
//!
//! Everything here speaks of one moment, which the versions of the rollups name: a window is of
//! the store's state after so many writes of this node and so many of others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use rustsocks_sessions::{Record, Session, Table};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::rollup::{
    Booked, ByKind, Changes, FAR, HOUR, Kind, MINUTE, Sums, adjoining_ranges, by_kind, names,
    signed, span_start,
};
use crate::spilled::Spilled;
use crate::verify::Run;

/// Names per kind that a window holds, a quarter more for a while. Beyond that, users with the
/// fewest bytes and others with the fewest sessions are forgotten: the sums of those that stay
/// are exact, and so are the totals. See docs/decisions/0016-statistics.md.
const MOST_NAMES: usize = 50_000;

/// Names by minute that are kept of sessions on disk alone. Beyond that, new destinations among
/// them count in the totals alone, until the store has them.
const MOST_SPILLED: usize = 100_000;

/// Rows of the minute at the edge that are read and kept; of a fuller minute the store gives sums.
const MOST_STARTED: usize = 50_000;

/// Windows that are kept; the one that was asked for longest ago goes first.
const MOST_WINDOWS: usize = 8;

/// A window that nobody has asked for in so long is left as it is until somebody does.
const FOLLOWED: Duration = Duration::from_secs(600);

/// Minutes that are taken off one by one; a window that lies further behind is read anew, and so
/// is one that more names leave than it holds.
const MOST_MINUTES: i64 = 120;

pub(crate) type ByName = HashMap<Arc<str>, Sums>;

/// What a window needs of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The minute of which a part is in the window, where it is wanted.
    pub(crate) edge: Option<WantedEdge>,
    /// Sums over these ranges: span, first start, end, in seconds.
    pub(crate) ranges: Vec<(i64, i64, i64)>,
    /// How many names per kind.
    pub(crate) most: usize,
    /// Whether the total of the ranges is wanted, which is more than that of so many names.
    pub(crate) total: bool,
}

/// The minute at the edge of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WantedEdge {
    /// The second at which it begins.
    pub(crate) minute: i64,
    /// Where the window begins, in milliseconds since 1970.
    pub(crate) from: i64,
    /// How many rows of it are given one by one.
    pub(crate) most: usize,
}

/// What started in the minute at the edge of a window.
#[derive(Debug)]
pub(crate) enum Edge {
    /// Every row of the minute.
    Rows(Vec<Started>),
    /// Sums of the rows within the window, because the minute has too many.
    Sums {
        /// Of all of them.
        total: Sums,
        /// Of the first names of each kind.
        names: Box<ByKind<ByName>>,
    },
}

/// What the store has, all of one moment.
#[derive(Debug)]
pub(crate) struct Found {
    /// How often this node has written.
    pub(crate) own: i64,
    /// How often other nodes have.
    pub(crate) others: i64,
    /// Sessions that other nodes have running.
    pub(crate) elsewhere: u64,
    /// The edge, where it is wanted.
    pub(crate) edge: Option<Edge>,
    /// Sums over the ranges.
    pub(crate) sums: ByKind<ByName>,
    /// The total over the ranges, where it is wanted.
    pub(crate) total: Sums,
}

/// A row, as far as sums need it.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    /// When, in milliseconds since 1970.
    pub(crate) at: i64,
    /// Its name of each kind.
    pub(crate) names: ByKind<Option<Arc<str>>>,
    pub(crate) sums: Sums,
}

impl Started {
    pub(crate) fn of(record: &Record) -> Self {
        let at = record.start_time.as_millisecond();
        Self { at, names: names(record), sums: Sums::of(record) }
    }

    /// Its kinds and names.
    fn named(&self) -> impl Iterator<Item = (Kind, &Arc<str>)> {
        let names = Kind::ALL.into_iter().zip(&self.names);
        names.filter_map(|(kind, name)| Some((kind, name.as_ref()?)))
    }
}

/// The sums of records by name.
pub(crate) fn sums_by_name<'a>(records: impl Iterator<Item = &'a Record>) -> ByKind<ByName> {
    let mut sums = ByKind::<ByName>::default();
    records.for_each(|record| add_record(&mut sums, record, &Sums::of(record)));
    sums
}

/// Adds what a record adds of itself, under each of its names.
fn add_record(to: &mut ByKind<ByName>, record: &Record, sums: &Sums) {
    for ((to, name), sums) in to.iter_mut().zip(names(record)).zip(by_kind(record, sums)) {
        if let Some(name) = name {
            to.entry(name).or_default().add(&sums);
        }
    }
}

/// One window.
#[derive(Debug)]
struct Window {
    hours: u64,
    /// Its first whole minute, in seconds.
    from: i64,
    /// Other nodes' writes that are in it.
    others: i64,
    /// The rows of the minute before it; none where they are to be read, or are too many.
    edge: Option<Vec<Started>>,
    names: ByKind<ByName>,
    /// Beside the names, of which some may be forgotten.
    total: Sums,
    used: Instant,
}

impl Window {
    fn change(&mut self, kind: Kind, name: &Arc<str>, sums: &Sums, times: i64) {
        if kind == Kind::User {
            self.total.add_times(sums, times);
        }
        add(&mut self.names[kind as usize], name, sums, times);
    }

    /// The second at which the minute before it begins.
    fn edge_start(&self) -> i64 {
        self.from - MINUTE
    }

    /// Takes off what left it up to a minute.
    fn advance(&mut self, to: i64, sums: &ByKind<ByName>) {
        for (kind, sums) in Kind::ALL.into_iter().zip(sums) {
            sums.iter().for_each(|(name, sums)| self.change(kind, name, sums, -1));
        }
        self.from = to;
    }

    /// Has it read anew by whoever asks next: none is so far behind.
    fn give_up(&mut self) {
        self.from = -FAR;
    }

    fn trim(&mut self) {
        for (kind, names) in Kind::ALL.into_iter().zip(&mut self.names) {
            if names.len() <= MOST_NAMES * 5 / 4 {
                continue;
            }
            let mut list: Vec<(i64, Arc<str>)> =
                names.iter().map(|(name, sums)| (kind.rank(sums), Arc::clone(name))).collect();
            list.select_nth_unstable(names.len() - MOST_NAMES);
            for (_, name) in &list[..names.len() - MOST_NAMES] {
                names.remove(name);
            }
        }
    }
}

fn add(names: &mut ByName, name: &Arc<str>, sums: &Sums, times: i64) {
    let sum = match names.get_mut(name) {
        Some(sum) => sum,
        // What was forgotten is not taken off either.
        None if times < 0 => return,
        None => names.entry(Arc::clone(name)).or_default(),
    };
    sum.add_times(sums, times);
    if sum.sessions <= 0 {
        names.remove(name);
    }
}

/// The windows of one store.
#[derive(Debug)]
pub(crate) struct Windows {
    state: Mutex<State>,
    /// Rings when a write was taken in.
    taken_in: Notify,
    /// Rows of a minute at the edge that are read one by one.
    most_started: usize,
}

impl Default for Windows {
    fn default() -> Self {
        Self { state: Mutex::default(), taken_in: Notify::default(), most_started: MOST_STARTED }
    }
}

#[derive(Debug, Default)]
struct State {
    /// This node's writes that are taken in; unknown before the first.
    own: Option<i64>,
    /// Whether the last try to save sessions failed: it may have been made all the same, and then
    /// the store has what counts as unsaved here, until a further try is heard of.
    is_unheard: bool,
    windows: Vec<Window>,
    /// What ended sessions that are on disk alone will add.
    spilled: Changes,
    /// Where these lie.
    places: Spilled,
}

/// What ended sessions that are on disk alone will add to the store, while a write is taken in.
#[derive(Debug)]
pub struct OnDisk<'a> {
    spilled: &'a mut Changes,
    places: &'a mut Spilled,
}

impl OnDisk<'_> {
    /// The write brought a state of a session that has left memory since the write began, and lies
    /// in the journal at `place`. Before it, the store had it with `booked` bytes to and from the
    /// destination, or not at all.
    pub fn saved(&mut self, record: &Record, booked: Option<(u64, u64)>, place: (u64, u32)) {
        // Where it is there no more, the store had it from the disk before this write.
        if !self.places.has(place) {
            return;
        }
        // A destination that was left out is not taken off either.
        self.spilled.add(record, &without(record, booked), -1, 0);
        match record.end_time {
            Some(_) => {
                self.places.remove(place);
                forget_sums_of_nothing(self.spilled, self.places);
            }
            None => self.places.note_former(place, record.session_id),
        }
    }
}

/// What became of the sessions that started within a window.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Sessions that run now.
    pub active: u64,
    /// All together.
    pub total: Sums,
    /// The users with the most bytes.
    pub users: Vec<(Arc<str>, Sums)>,
    /// The destinations with the most sessions.
    pub dests: Vec<(Arc<str>, Sums)>,
}

/// What failed or was refused of the sessions that started within a window.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    /// All sessions of the window together.
    pub total: Sums,
    /// The most frequent reasons.
    pub reasons: Vec<(Arc<str>, Sums)>,
    /// The rules that refused the most, named by their first 255 characters.
    pub rules: Vec<(Arc<str>, Sums)>,
    /// The users of whose sessions the most failed or were refused.
    pub users: Vec<(Arc<str>, Sums)>,
    /// The destinations of which the same is true.
    pub dests: Vec<(Arc<str>, Sums)>,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct WindowQuery {
    /// How long the window is.
    pub hours: u64,
    /// How many users and destinations.
    pub top: usize,
    /// Where it ends.
    pub now: Timestamp,
}

impl WindowQuery {
    fn from(&self) -> Timestamp {
        let hours = i64::try_from(self.hours).unwrap_or(i64::MAX);
        let span = jiff::SignedDuration::from_secs(hours.saturating_mul(HOUR));
        self.now.checked_sub(span).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// The first whole minute, in seconds.
    fn first_minute(&self) -> i64 {
        let millis = self.from().as_millisecond();
        span_start(millis + MINUTE * 1000 - 1, MINUTE)
    }
}

/// What to do with what the store gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Read the window anew.
    Build,
    /// Take off what leaves it; it began at this second, and had so many writes of others.
    Advance { from: i64, others: i64 },
}

impl Windows {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes sessions that were saved in; `meanwhile` runs at the same moment, as far as answers are
    /// concerned.
    pub(crate) fn take_in(&self, booked: &Booked, meanwhile: impl FnOnce(&mut OnDisk<'_>)) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.is_unheard = false;
        state.take_in(booked);
        meanwhile(&mut OnDisk { spilled: &mut state.spilled, places: &mut state.places });
        drop(guard);
        self.taken_in.notify_waiters();
    }

    /// Takes a write in that changed nothing but the store.
    pub(crate) fn take_in_change(&self, booked: &Booked) {
        self.lock().take_in(booked);
        self.taken_in.notify_waiters();
    }

    /// Notes that nobody heard whether sessions were saved.
    pub(crate) fn note_unheard(&self) {
        self.lock().is_unheard = true;
    }

    /// Counts an ended session that leaves memory for the disk, if `remove` says that it did.
    pub(crate) fn spill(&self, session: &Session, remove: &dyn Fn() -> bool) -> bool {
        let record = session.snapshot();
        let mut state = self.lock();
        let here = remove();
        if here {
            state.spilled.add(&record, &unsaved(session, &record), 1, MOST_SPILLED);
            if let Some(place) = session.journal().final_place() {
                state.places.add(place, &record);
                if session.booked().is_some() {
                    state.places.note_former(place, record.session_id);
                }
            }
        }
        here
    }

    /// Takes a write in that brought ended sessions from the disk into the store: those of a
    /// segment that begin at a byte or before it.
    pub(crate) fn take_in_spilled(&self, booked: &Booked, segment: u64, up_to: u32) {
        let mut state = self.lock();
        state.is_unheard = false;
        state.take_in(booked);
        state.spilled.take_off(&booked.changes);
        state.forget_spilled(segment, up_to);
        drop(state);
        self.taken_in.notify_waiters();
    }

    /// The hours of the windows that are asked for now and then.
    pub(crate) fn followed(&self) -> Vec<u64> {
        let state = self.lock();
        let followed = state.windows.iter().filter(|window| window.used.elapsed() < FOLLOWED);
        followed.map(|window| window.hours).collect()
    }

    /// Has no more rows of a minute read one by one than this, for tests.
    pub(crate) fn bound_edges(&mut self, most: usize) {
        self.most_started = most;
    }

    /// How many names are held in all.
    pub(crate) fn names(&self) -> usize {
        let state = self.lock();
        let held = |window: &Window| window.names.iter().map(HashMap::len).sum::<usize>();
        state.windows.iter().map(held).sum::<usize>() + state.spilled.minutes().count()
    }

    /// Whether it is known how often this node has written.
    pub(crate) fn is_begun(&self) -> bool {
        self.lock().own.is_some()
    }

    /// Begins after so many writes of this node.
    pub(crate) fn begin(&self, own: i64) {
        self.lock().own.get_or_insert(own);
    }

    /// Forgets how often this node has written, to begin again with what the store says. As long
    /// as a try to save sessions is unheard, that would count them twice: nothing is certain then
    /// but what was known before.
    pub(crate) fn forget_writes(&self) {
        let mut state = self.lock();
        if !state.is_unheard {
            state.own = None;
        }
        state.windows.clear();
    }

    /// What to ask the store for.
    pub(crate) fn plan(&self, query: &WindowQuery) -> (Plan, Wanted) {
        let first = query.first_minute();
        let from = query.from().as_millisecond();
        let edge = WantedEdge { minute: first - MINUTE, from, most: self.most_started };
        let state = self.lock();
        let window = state.windows.iter().find(|window| window.hours == query.hours);
        match window {
            Some(window) if (0..=MOST_MINUTES * MINUTE).contains(&(first - window.from)) => {
                let is_known = first == window.from && window.edge.is_some();
                let ranges = match window.from < first {
                    true => vec![(MINUTE, window.from, first)],
                    false => vec![],
                };
                let edge = (!is_known).then_some(edge);
                let plan = Plan::Advance { from: window.from, others: window.others };
                // One more than are taken off, to know of them.
                (plan, Wanted { edge, ranges, most: MOST_NAMES + 1, total: false })
            }
            _ => {
                let ranges = adjoining_ranges(first, FAR);
                (Plan::Build, Wanted { edge: Some(edge), ranges, most: MOST_NAMES, total: true })
            }
        }
    }

    /// Tells `tell` the whole of a window as the store's state and `table` have it; none where
    /// that state is not of the moment that is known here. `is_asked` is whether somebody wants to
    /// know, or the window is brought up to date alone.
    pub(crate) fn answer<T>(
        &self,
        query: &WindowQuery,
        plan: Plan,
        found: Found,
        table: &Table,
        is_asked: bool,
        tell: impl FnOnce(&Whole<'_>) -> T,
    ) -> Option<T> {
        let first = query.first_minute();
        let mut state = self.lock();
        let Found { own, others: now, elsewhere, edge, sums, total } = found;
        if state.own != Some(own) {
            return None;
        }
        let place = state.windows.iter().position(|window| window.hours == query.hours);
        let mut edge = match (plan, place) {
            (Plan::Build, place) => {
                let former = place.map(|place| state.windows.remove(place).used);
                state.build(Window {
                    hours: query.hours,
                    from: first,
                    others: now,
                    edge: None,
                    names: sums,
                    total,
                    used: former.filter(|_| !is_asked).unwrap_or_else(Instant::now),
                });
                edge?
            }
            (Plan::Advance { from, others }, Some(place)) => {
                let window = &mut state.windows[place];
                if window.from != from || window.others != others {
                    return None;
                }
                if others != now || sums.iter().any(|names| names.len() > MOST_NAMES) {
                    window.give_up();
                    return None;
                }
                if is_asked {
                    window.used = Instant::now();
                }
                match window.edge.take() {
                    Some(known) if from == first => Edge::Rows(known),
                    // Where a write has changed what was known when this was planned, it was not
                    // asked for.
                    _ => {
                        let edge = edge?;
                        window.advance(first, &sums);
                        edge
                    }
                }
            }
            (Plan::Advance { .. }, None) => return None,
        };
        let place = state.windows.iter().position(|window| window.hours == query.hours)?;
        let window = &state.windows[place];
        let told = tell(&state.complete(window, query, &mut edge, elsewhere, table));
        state.windows[place].edge = match edge {
            Edge::Rows(rows) => Some(rows),
            Edge::Sums { .. } => None,
        };
        Some(told)
    }

    /// How often this node has written, what `look` sees at that moment, and which sessions are on
    /// disk alone then.
    pub(crate) fn look<T>(&self, look: impl FnOnce() -> T) -> (Option<i64>, T, Spilled) {
        let state = self.lock();
        (state.own, look(), state.places.clone())
    }

    /// Forgets where ended sessions lie in a segment.
    pub(crate) fn forget_spilled(&self, segment: u64) {
        self.lock().forget_spilled(segment, u32::MAX);
    }

    /// Which sessions are on disk alone.
    pub(crate) fn spilled(&self) -> Spilled {
        self.lock().places.clone()
    }

    /// What this process has counted since its start, without what the store lacks of it at the
    /// moment that is known here.
    pub(crate) fn counted(&self, table: &Table) -> Run {
        // No write is taken in while the lock is held: what the store lacks stays in the table,
        // or among the spilled.
        let state = self.lock();
        let ended = table.tally().ended.sums();
        let mut sums = Sums::from(ended);
        for session in table.all() {
            if let Some((sent, received)) = session.booked() {
                let (sent, received) = (signed(sent), signed(received));
                sums.add(&Sums { sessions: 1, sent, received, ..Sums::default() });
            }
            // Whoever ended later than the sums were read is not in them.
            if session.nth_ended().is_some_and(|nth| nth <= ended.sessions) {
                sums.add_times(&Sums::of(&session.snapshot()), -1);
            }
        }
        let spilled = state.spilled.minutes().filter(|(key, _)| key.kind == Kind::User);
        spilled.for_each(|(_, unsaved)| sums.add_times(unsaved, -1));
        Run { writes: state.own.unwrap_or(0), sums }
    }

    /// Bytes to and from destinations that the store does not have after so many writes of ours, of
    /// one user or of all, whether they are in `table` or on disk alone; none where it is another
    /// moment that is known here.
    pub(crate) fn unsaved_bytes(
        &self,
        own: i64,
        user: Option<&str>,
        table: &Table,
    ) -> Option<(i64, i64)> {
        let state = self.lock();
        if state.own != Some(own) {
            return None;
        }
        let is_meant = |name: &str| user.is_none_or(|user| user == name);
        let mut total = Sums::default();
        for session in table.all() {
            let record = session.snapshot();
            if is_meant(&record.user) {
                total.add(&unsaved(&session, &record));
            }
        }
        for (key, sums) in state.spilled.minutes() {
            if key.kind == Kind::User && is_meant(&key.name) {
                total.add(sums);
            }
        }
        Some((total.sent, total.received))
    }

    /// Waits a moment for our own write to be taken in, or for another node's.
    pub(crate) async fn wait(&self) {
        let taken_in = self.taken_in.notified();
        let _in_time = tokio::time::timeout(Duration::from_millis(5), taken_in).await;
    }
}

impl State {
    fn take_in(&mut self, booked: &Booked) {
        if self.own.is_some_and(|own| own + 1 != booked.version) {
            // A write whose end we did not hear of; what it did is in the store alone.
            self.windows.clear();
            if self.is_unheard {
                return;
            }
        }
        self.own = Some(booked.version);
        for window in &mut self.windows {
            let (from, edge) = (window.from, window.edge_start());
            for (key, sums) in booked.changes.minutes().filter(|(key, _)| key.start >= edge) {
                match key.start >= from {
                    true => window.change(key.kind, &key.name, sums, 1),
                    // Its rows are not what they were.
                    false => window.edge = None,
                }
            }
            window.trim();
        }
    }

    fn forget_spilled(&mut self, segment: u64, up_to: u32) {
        self.places.remove_up_to(segment, up_to);
        forget_sums_of_nothing(&mut self.spilled, &self.places);
    }

    fn build(&mut self, window: Window) {
        if self.windows.len() >= MOST_WINDOWS
            && let Some(oldest) =
                (0..self.windows.len()).min_by_key(|place| self.windows[*place].used)
        {
            self.windows.remove(oldest);
        }
        self.windows.push(window);
    }

    /// Adds to a window's sums what is not in them: the edge, of which rows stay and sums do not, and
    /// what the store has not yet.
    fn complete<'a>(
        &self,
        window: &'a Window,
        query: &WindowQuery,
        edge: &mut Edge,
        elsewhere: u64,
        table: &Table,
    ) -> Whole<'a> {
        let mut total = window.total;
        let mut more = ByKind::<ByName>::default();
        let from = query.from().as_millisecond();
        match edge {
            Edge::Rows(rows) => {
                for row in rows.iter().filter(|row| row.at >= from) {
                    total.add(&row.sums);
                    for (kind, name) in row.named() {
                        more[kind as usize].entry(Arc::clone(name)).or_default().add(&row.sums);
                    }
                }
            }
            Edge::Sums { total: sums, names } => {
                total.add(sums);
                more = std::mem::take(&mut **names);
            }
        }
        let mut active = elsewhere;
        for session in table.all() {
            active += u64::from(!session.has_ended());
            if session.started().wall.as_millisecond() < from {
                continue;
            }
            let record = session.snapshot();
            let sums = unsaved(&session, &record);
            add_record(&mut more, &record, &sums);
            total.add(&sums);
        }
        // To the minute: when a spilled session started more exactly is on disk alone.
        for (key, sums) in self.spilled.minutes().filter(|(key, _)| key.start * 1000 >= from) {
            more[key.kind as usize].entry(Arc::clone(&key.name)).or_default().add(sums);
            if key.kind == Kind::User {
                total.add(sums);
            }
        }
        Whole { names: &window.names, more, total, active, top: query.top }
    }
}

/// A window of one moment, with what the store does not have of it yet.
#[derive(Debug)]
pub(crate) struct Whole<'a> {
    names: &'a ByKind<ByName>,
    /// What to add to the sums of names.
    more: ByKind<ByName>,
    total: Sums,
    active: u64,
    top: usize,
}

impl Whole<'_> {
    /// How many sessions, how many bytes, whose and where.
    pub(crate) fn statistics(&self) -> Statistics {
        Statistics {
            active: self.active,
            total: self.total,
            users: self.top(Kind::User, |sums| Kind::User.rank(sums)),
            dests: self.top(Kind::Dest, |sums| Kind::Dest.rank(sums)),
        }
    }

    /// What failed or was refused, why, whose and where.
    pub(crate) fn failures(&self) -> Failures {
        let unsuccessful = |kind| {
            let mut list = self.top(kind, Sums::unsuccessful);
            list.retain(|(_, sums)| sums.unsuccessful() > 0);
            list
        };
        Failures {
            total: self.total,
            reasons: unsuccessful(Kind::Reason),
            rules: unsuccessful(Kind::Rule),
            users: unsuccessful(Kind::User),
            dests: unsuccessful(Kind::Dest),
        }
    }

    fn top(&self, kind: Kind, by: impl Fn(&Sums) -> i64) -> Vec<(Arc<str>, Sums)> {
        let (names, more) = (&self.names[kind as usize], &self.more[kind as usize]);
        top(names, more, self.top, |name| is_somebody(kind, name), by)
    }
}

/// Whether a name is one: sessions whose login failed have no user, those without a request no
/// destination. They count in the totals.
fn is_somebody(kind: Kind, name: &str) -> bool {
    match kind {
        Kind::User => !name.is_empty(),
        Kind::Dest => !name.starts_with(':'),
        Kind::Reason | Kind::Rule => true,
    }
}

/// Where nothing is on disk alone, nothing comes from there: what is left in the sums are
/// destinations of which more was taken off than was ever added, and writes whose end was not
/// heard of.
fn forget_sums_of_nothing(spilled: &mut Changes, places: &Spilled) {
    if places.is_empty() {
        *spilled = Changes::default();
    }
}

/// What a session will add to what the store has of it.
fn unsaved(session: &Session, record: &Record) -> Sums {
    without(record, session.booked())
}

/// What a record adds to a running state of it with so many bytes, or to none.
fn without(record: &Record, booked: Option<(u64, u64)>) -> Sums {
    let mut sums = Sums::of(record);
    if let Some((sent, received)) = booked {
        sums.sessions -= 1;
        sums.sent -= signed(sent);
        sums.received -= signed(received);
    }
    sums
}

/// The first names by a measure; ties by name.
fn top(
    names: &ByName,
    more: &ByName,
    count: usize,
    shown: impl Fn(&str) -> bool,
    by: impl Fn(&Sums) -> i64,
) -> Vec<(Arc<str>, Sums)> {
    let known = names.iter().map(|(name, sums)| {
        let mut sums = *sums;
        more.get(name).iter().for_each(|more| sums.add(more));
        (name, sums)
    });
    let new = more
        .iter()
        .filter(|(name, _)| !names.contains_key(*name))
        .map(|(name, sums)| (name, *sums));
    let mut list: Vec<(&Arc<str>, Sums)> =
        known.chain(new).filter(|(name, sums)| sums.sessions > 0 && shown(name)).collect();
    let order = |left: &(&Arc<str>, Sums), right: &(&Arc<str>, Sums)| {
        by(&right.1).cmp(&by(&left.1)).then_with(|| left.0.cmp(right.0))
    };
    if list.len() > count {
        if count > 0 {
            list.select_nth_unstable_by(count - 1, order);
        }
        list.truncate(count);
    }
    list.sort_unstable_by(order);
    list.into_iter().map(|(name, sums)| (Arc::clone(name), sums)).collect()
}
