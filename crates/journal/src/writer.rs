//! The thread that appends. Making what was appended survive a power loss is another one's work
//! (`sync`), so that a slow disk never holds up this one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustsocks_sessions::{Jotting, Record, Session};
use tokio::time::Instant;
use uuid::Uuid;

use crate::disk::Medium;
use crate::folder::segment_path;
use crate::frame::{self, Counters, Frame, State, VERSION};
use crate::journal::{Inner, JournalNotice, WhenFull, Writing};
use crate::replay;
use crate::segments::Segment;

/// The pause between two groups. A state that comes into a quiet journal is written at once.
const LINGER: Duration = Duration::from_millis(2);

/// How often counters alone are synced.
const SYNC_COUNTERS: Duration = Duration::from_secs(1);

/// How often a failing disk is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A segment is closed at this length, or when it is three times what it began with.
const SEGMENT_BYTES: u64 = 4 << 20;

/// A buffer larger than this is not kept.
const BUFFER_KEPT: usize = 1 << 20;

/// The segment being written.
#[derive(Debug)]
struct Current {
    number: u64,
    medium: Arc<dyn Medium>,
    length: u64,
    close_at: u64,
}

/// The appending thread.
pub(crate) struct Writer {
    inner: Arc<Inner>,
    run: u128,
    next: u64,
    current: Option<Current>,
    buffer: Vec<u8>,
    /// Ended sessions go to disk alone.
    spilling: bool,
    /// Running sessions were not passed on to the store, because it does not keep up.
    held_back: bool,
    retry_at: Option<Instant>,
    synced_counters: Instant,
    warned: bool,
    losing: bool,
}

impl Writer {
    /// Begins the first segment, now or as soon as there is room.
    pub(crate) fn new(inner: Arc<Inner>, next: u64) -> io::Result<Self> {
        let mut writer = Self {
            inner,
            run: Uuid::now_v7().as_u128(),
            next,
            current: None,
            buffer: Vec::new(),
            spilling: false,
            held_back: false,
            retry_at: None,
            synced_counters: Instant::now(),
            warned: false,
            losing: false,
        };
        match writer.begin_segment() {
            // Full of what former runs left, perhaps: that drains.
            Ok(()) | Err(Stop::Full) => Ok(writer),
            Err(Stop::Disk(error)) if is_full(&error) => Ok(writer),
            Err(Stop::Disk(error)) => Err(error),
        }
    }

    pub(crate) fn run(mut self) {
        let inner = Arc::clone(&self.inner);
        let outbox = inner.table.outbox();
        loop {
            let (jottings, alive) = outbox.take_for_journal();
            let is_idle = jottings.is_empty() && !alive;
            inner.set_busy(&inner.writer_busy, true);
            if !is_idle {
                self.group(jottings, alive);
            }
            self.tend();
            inner.set_busy(&inner.writer_busy, false);
            if !is_idle {
                std::thread::sleep(LINGER);
            } else if inner.stop.load(Ordering::SeqCst) {
                break;
            } else {
                outbox.sleep_writer(if self.current.is_some() { RETRY * 60 } else { RETRY });
            }
        }
        self.finish();
    }

    /// Writes one group and passes it on.
    fn group(&mut self, jottings: Vec<Jotting>, alive: bool) {
        let count = jottings.len();
        let finals = self.write(&jottings, alive);
        let over = self.is_over();
        let written = finals.is_some();
        let losing = !written && over && self.inner.options.when_full == WhenFull::Degrade;
        let finals = finals.unwrap_or_default();
        let mut finals = finals.into_iter();
        for jotting in jottings {
            let is_final = match written {
                true => finals.next().unwrap_or(false),
                false => jotting.session.has_ended(),
            };
            self.pass_on(jotting, is_final, losing);
        }
        self.inner.table.outbox().passed(count);
        self.spilling |= written && over;
        if losing && !std::mem::replace(&mut self.losing, losing) {
            (self.inner.notice)(JournalNotice::Losing);
        }
        self.losing = losing;
    }

    /// Whether more ended sessions wait in memory than it keeps.
    fn is_over(&self) -> bool {
        self.inner.table.waiting() > self.inner.options.keep_in_memory
    }

    /// Gives a session to the store, or keeps it on disk alone while the store does not keep up.
    fn pass_on(&mut self, Jotting { session, for_store }: Jotting, is_final: bool, losing: bool) {
        let table = &self.inner.table;
        match (is_final, losing) {
            (true, _) if session.journal().is_settled() => {}
            (true, true) if session.journal().finished_in().is_none() => table.lose(&session),
            (false, true) => self.held_back |= for_store,
            (true, false) if self.spilling && self.is_current(session.journal().finished_in()) => {
                self.spill(&session);
            }
            (false, false) if self.spilling => self.held_back |= for_store,
            _ if is_final || for_store => table.outbox().pass_on(session),
            _ => {}
        }
    }

    /// Whether this is the segment being written. Only what ended there leaves memory: what has
    /// left it for an older one may have been read and saved already.
    fn is_current(&self, segment: Option<u64>) -> bool {
        segment.is_some() && segment == self.current.as_ref().map(|current| current.number)
    }

    fn spill(&self, session: &Arc<Session>) {
        let Some(number) = session.journal().finished_in() else { return };
        // The segments are not held while it leaves: whoever hears of that has locks of its own,
        // and asks for the segments behind them. Until it is counted anew, it waits.
        self.inner.table.spill(session, || {
            if let Some(segment) = self.inner.segments().get(number) {
                segment.waiting = segment.waiting.saturating_sub(1);
                segment.spilled += 1;
            }
        });
    }

    /// Appends the newest states. Gives which of them are final; none when the disk refuses.
    fn write(&mut self, jottings: &[Jotting], alive: bool) -> Option<Vec<bool>> {
        if self.current.as_ref().is_some_and(|current| current.length >= current.close_at) {
            self.turn();
        }
        let (number, begin) = self.current.as_ref().map(|now| (now.number, now.length))?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut whole = false;
        let finals: Vec<bool> = jottings
            .iter()
            .map(|jotting| {
                let place = jotting.session.journal();
                // It may end while its start is being written, and come by once more.
                if place.is_settled() || place.finished_in().is_some() {
                    return true;
                }
                let at = replay::place(begin as usize + buffer.len());
                let (record, is_whole) = put_state(&mut buffer, &self.inner, number, jotting);
                whole |= is_whole;
                let is_final = record.end_time.is_some();
                if is_final {
                    place.set_final_at(at);
                }
                is_final
            })
            .collect();
        if alive {
            put_alive(&mut buffer, &self.inner);
        }
        let written = self.append(&buffer, whole);
        self.keep(buffer);
        if let Err(stop) = written {
            self.fail(stop);
            return None;
        }
        let ended = jottings.iter().zip(&finals).filter(|(_, is_final)| **is_final);
        self.note_finals(number, ended.map(|(jotting, _)| &jotting.session));
        Some(finals)
    }

    fn keep(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        if buffer.capacity() <= BUFFER_KEPT {
            self.buffer = buffer;
        }
    }

    fn note_finals<'a>(&self, number: u64, ended: impl Iterator<Item = &'a Arc<Session>>) {
        let mut segments = self.inner.segments();
        let Some(segment) = segments.get(number) else { return };
        for session in ended {
            // Counted under the lock that whoever settles it takes next.
            if session.journal().finish(number) {
                segment.waiting += 1;
                segment.finals += 1;
            }
        }
    }

    /// Has the next segment begin with what ended in this one and is in memory still: after a
    /// failed sync nobody knows what of it the disk has.
    fn forget_finals(&self, number: u64) {
        let ended = self.inner.table.unsaved();
        let mut segments = self.inner.segments();
        let Some(segment) = segments.get(number) else { return };
        segment.in_vain = !segment.complete;
        for session in ended {
            if session.journal().unfinish(number) {
                segment.waiting = segment.waiting.saturating_sub(1);
            }
        }
    }

    fn append(&mut self, bytes: &[u8], whole: bool) -> Result<(), Stop> {
        let Some(current) = &mut self.current else { return Err(Stop::Full) };
        room_for(&self.inner, bytes, 0)?;
        if let Err(error) = current.medium.append(bytes) {
            // Part of a frame may be there: harmless, the reader skips it. Cut for the space.
            let _stays = current.medium.cut(current.length);
            return Err(Stop::Disk(error));
        }
        let length = bytes.len() as u64;
        current.length += length;
        if let Some(segment) = self.inner.segments().get(current.number) {
            segment.bytes += length;
        }
        self.inner.bytes.fetch_add(length, Ordering::Relaxed);
        self.inner.written.fetch_add(length, Ordering::Relaxed);
        if self.inner.options.sync && (whole || self.synced_counters.elapsed() >= SYNC_COUNTERS) {
            self.synced_counters = Instant::now();
            self.inner.syncer.ask(current.number, &current.medium);
        }
        Ok(())
    }

    /// Begins a new segment; a disk that refuses ends writing for now.
    fn turn(&mut self) {
        if let Err(stop) = self.begin_segment() {
            self.fail(stop);
        }
    }

    /// Begins a segment with a state of every session that is open, or ended and in memory
    /// alone.
    fn begin_segment(&mut self) -> Result<(), Stop> {
        let number = self.next;
        let table = &self.inner.table;
        let mut buffer = std::mem::take(&mut self.buffer);
        let head = Frame::Head { version: VERSION, run: self.run, node: table.node() };
        frame::put(&mut buffer, &head);
        for session in table.running() {
            let jotting = Jotting { session, for_store: true };
            put_state(&mut buffer, &self.inner, number, &jotting);
        }
        let ended: Vec<Arc<Session>> = table
            .unsaved()
            .into_iter()
            .filter(|session| session.journal().finished_in().is_none())
            .collect();
        for session in &ended {
            session.journal().set_final_at(replay::place(buffer.len()));
            frame::put(&mut buffer, &Frame::State(State::of(&session.snapshot())));
        }
        put_alive(&mut buffer, &self.inner);
        frame::put(&mut buffer, &Frame::Complete);
        let begun = self.put_segment(number, &buffer);
        self.keep(buffer);
        begun?;
        self.note_finals(number, ended.iter());
        self.resume();
        Ok(())
    }

    fn put_segment(&mut self, number: u64, bytes: &[u8]) -> Result<(), Stop> {
        // What goes once this one is there need not fit beside it. What former runs left stays.
        let going = self.inner.segments().going();
        room_for(&self.inner, bytes, going)?;
        let options = &self.inner.options;
        let path = segment_path(&options.folder, number);
        self.next = number + 1;
        let medium = options.disk.create(&path).map_err(Stop::Disk)?;
        if let Err(error) = medium.append(bytes) {
            // An empty or torn segment is no harm, it only takes a name.
            let _stays = options.disk.remove(&path);
            return Err(Stop::Disk(error));
        }
        let length = bytes.len() as u64;
        let segment = Segment {
            number,
            path,
            bytes: length,
            finals: 0,
            waiting: 0,
            spilled: 0,
            complete: !options.sync,
            in_vain: false,
            read_again_at: None,
        };
        let mut segments = self.inner.segments();
        segments.list.push_back(segment);
        segments.current = Some(number);
        let in_vain = segments.take_in_vain();
        drop(segments);
        self.remove(&in_vain);
        self.inner.bytes.fetch_add(length, Ordering::Relaxed);
        self.inner.written.fetch_add(length, Ordering::Relaxed);
        if options.sync {
            self.inner.syncer.ask(number, &medium);
        }
        let bound = SEGMENT_BYTES.min(options.max_bytes / 16);
        self.current = Some(Current { number, medium, length, close_at: bound + 3 * length });
        Ok(())
    }

    fn fail(&mut self, stop: Stop) {
        self.current = None;
        // What ends from here on is nowhere on disk.
        self.spilling = false;
        self.inner.segments().current = None;
        self.retry_at = Some(Instant::now() + RETRY);
        self.inner.failures.fetch_add(1, Ordering::Relaxed);
        let writing = match stop {
            Stop::Full => Writing::Full,
            Stop::Disk(error) => Writing::Failed(error.to_string()),
        };
        if self.inner.set_writing(writing.clone()) == Writing::Ok {
            (self.inner.notice)(JournalNotice::Stopped(writing));
        }
        let refuse = self.inner.options.when_full == WhenFull::Refuse;
        self.inner.table.outbox().refuse(refuse);
    }

    fn resume(&mut self) {
        self.retry_at = None;
        if self.inner.set_writing(Writing::Ok) != Writing::Ok {
            (self.inner.notice)(JournalNotice::Resumed);
        }
        self.inner.table.outbox().refuse(false);
    }

    /// What is to be done between groups.
    fn tend(&mut self) {
        self.prune();
        let failed = self.inner.syncer.take_failed();
        failed.iter().for_each(|number| self.forget_finals(*number));
        if !failed.is_empty() && self.current.is_some() {
            self.fail(Stop::Disk(io::Error::other("the disk did not sync")));
        }
        if self.current.is_none() && self.retry_at.is_none_or(|at| Instant::now() >= at) {
            self.turn();
        }
        let over = self.is_over();
        if self.inner.turn.swap(false, Ordering::SeqCst) {
            // As long as memory holds too much, it gets no more.
            self.spilling &= over;
            self.turn();
            self.inner.turned.notify_waiters();
        }
        if self.held_back && !self.spilling && !over {
            self.held_back = false;
            for session in self.inner.table.running() {
                self.inner.table.outbox().pass_on(session);
            }
        }
        self.warn();
    }

    fn warn(&mut self) {
        let (bytes, max_bytes) =
            (self.inner.bytes.load(Ordering::Relaxed), self.inner.options.max_bytes);
        if bytes > max_bytes / 5 * 4 {
            if !std::mem::replace(&mut self.warned, true) {
                (self.inner.notice)(JournalNotice::Filling { bytes, max_bytes });
            }
        } else if bytes < max_bytes / 5 * 3 {
            self.warned = false;
        }
    }

    /// Deletes segments that nobody needs.
    fn prune(&mut self) {
        let done = self.inner.segments().take_prunable();
        self.remove(&done);
    }

    fn remove(&self, done: &[Segment]) {
        for segment in done {
            if let Err(error) = self.inner.options.disk.remove(&segment.path) {
                // The next start replays it, which changes nothing.
                tracing::warn!(path = %segment.path.display(), %error, "cannot be removed");
            }
            self.inner.bytes.fetch_sub(segment.bytes, Ordering::Relaxed);
        }
    }

    /// The end: nothing stays where the store has everything; else what stays is synced.
    fn finish(&mut self) {
        self.prune();
        let mut segments = self.inner.segments();
        if segments.are_settled() && self.inner.table.outbox().unsaved() == 0 {
            let done: Vec<Segment> = segments.list.drain(..).collect();
            drop(segments);
            self.remove(&done);
            return;
        }
        drop(segments);
        if self.current.is_none() {
            // The disk may take it by now, and nobody tries later.
            self.turn();
        }
        let synced = match self.current.take() {
            Some(current) => current.medium.sync(),
            None => Ok(()),
        };
        if let Err(error) = synced {
            self.fail(Stop::Disk(error));
        }
    }
}

/// Why writing stops for now.
#[derive(Debug)]
enum Stop {
    Full,
    Disk(io::Error),
}

/// Whether a disk refuses for want of room.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether these bytes fit, once so many others have gone.
fn room_for(inner: &Inner, bytes: &[u8], going: u64) -> Result<(), Stop> {
    let staying = inner.bytes.load(Ordering::Relaxed).saturating_sub(going);
    let total = staying + bytes.len() as u64;
    if total > inner.options.max_bytes { Err(Stop::Full) } else { Ok(()) }
}

/// Puts a session's newest state, or only its counters where the segment has the rest. Tells
/// whether it was the whole.
fn put_state(
    buffer: &mut Vec<u8>,
    inner: &Inner,
    number: u64,
    jotting: &Jotting,
) -> (Record, bool) {
    let Jotting { session, for_store } = jotting;
    let wired = session.wire().is_some();
    let record = session.snapshot();
    let place = session.journal();
    let whole = *for_store || record.end_time.is_some() || !place.is_whole_in(number, wired);
    if whole {
        let state = State::of(&record);
        let frame = match record.end_time {
            Some(_) => Frame::State(state),
            None => Frame::Running { state, started: inner.since_begun(session.started().mono) },
        };
        frame::put(buffer, &frame);
        place.set_whole_in(number, wired);
    } else {
        frame::put(buffer, &Frame::Counters(Counters::of(&record)));
    }
    (record, whole)
}

fn put_alive(buffer: &mut Vec<u8>, inner: &Inner) {
    let now = inner.table.clock().now();
    let (after, wall) = (inner.since_begun(now.mono), now.wall.as_microsecond());
    frame::put(buffer, &Frame::Lived { after, wall });
}
