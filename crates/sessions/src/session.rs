//! One session: the facts it opened with, its counters, and how it ends.
//!
//! [`Session`] is what everybody may read. [`OpenSession`] is the one guard that its own task
//! holds; dropping it is the only way a session ends.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use rustsocks_proto::{Command, Host, HostName, Protocol, Target};
use tokio::time::Instant;

use crate::clock::Moment;
use crate::ending::{CloseReason, Ending, Relayed, Status};
use crate::id::SessionId;
use crate::place::JournalPlace;
use crate::record::Record;
use crate::table::Shared;
use crate::tally::UserTally;
use crate::traffic::Traffic;

/// A user's name. Cheap to clone.
pub type UserName = Arc<str>;

/// Who opened a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A user who proved the name.
    Authenticated(UserName),
    /// Somebody, under the configured anonymous name.
    Anonymous(UserName),
    /// Nobody: the credentials were wrong.
    Refused,
}

impl Identity {
    /// The name that goes into the record; empty where authentication failed.
    pub fn name(&self) -> UserName {
        match self {
            Self::Authenticated(name) | Self::Anonymous(name) => Arc::clone(name),
            Self::Refused => "".into(),
        }
    }
}

/// What the access rules said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AclOutcome {
    /// The rules are off, or were not asked.
    #[default]
    Off,
    /// Allowed, by the rule of this description.
    Allowed(Option<Arc<str>>),
    /// Blocked, by the rule of this description.
    Blocked(Option<Arc<str>>),
}

impl AclOutcome {
    fn decision(&self) -> Option<&'static str> {
        match self {
            Self::Off => None,
            Self::Allowed(_) => Some("allow"),
            Self::Blocked(_) => Some("block"),
        }
    }

    fn rule(&self) -> Option<Arc<str>> {
        match self {
            Self::Off => None,
            Self::Allowed(rule) | Self::Blocked(rule) => rule.clone(),
        }
    }
}

/// The facts a session opens with.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Who asks.
    pub identity: Identity,
    /// Where the client's connection comes from.
    pub source: SocketAddr,
    /// What is asked for; none where no request was read.
    pub target: Option<Target>,
    /// The command; none where no request was read.
    pub command: Option<Command>,
    /// What the access rules say of the request as it was written.
    pub acl: AclOutcome,
}

/// The outgoing side, once it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// The address really connected: the target's, BIND's peer, or a datagram's destination.
    pub dest: SocketAddr,
    /// The name a datagram was addressed to, where the request itself named none.
    pub host: Option<HostName>,
    /// Our own side of it.
    pub egress: SocketAddr,
    /// How long resolving and connecting took; none where nothing was connected.
    pub connect: Option<Duration>,
}

#[derive(Debug)]
struct Ended {
    ending: Ending,
    status: Status,
    after: Duration,
    /// Its place among all that ended, from 1 on.
    nth: u64,
}

/// A session as everybody may see it.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    opening: Opening,
    started: Moment,
    shared: Arc<Shared>,
    user: Option<Arc<UserTally>>,
    traffic: Traffic,
    wire: OnceLock<Wire>,
    judged: OnceLock<AclOutcome>,
    ended: OnceLock<Box<Ended>>,
    stop: Stop,
    relaying: AtomicBool,
    half_closed: AtomicBool,
    /// The lanes of the outbox in which it waits; see [`crate::place::lanes`].
    lanes: AtomicU8,
    /// Where the journal has it; see [`JournalPlace`].
    journal: JournalPlace,
    /// Packets since the last publishing.
    unpublished: AtomicU32,
    published_sent: AtomicU64,
    published_received: AtomicU64,
    /// What the last sweep saw, and when that last changed, in milliseconds since the start.
    seen: AtomicU64,
    seen_at: AtomicU64,
    /// What the last state that was queued had moved, and when that was, in milliseconds since the
    /// start.
    noted: AtomicU64,
    noted_at: AtomicU64,
    booking: Booking,
    /// What those who watch were told of it: a [`Told`].
    told: AtomicU8,
}

/// What those who watch were told of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    /// Nothing.
    Nothing,
    /// That it runs.
    Runs,
    /// That it has ended.
    Ended,
}

/// What the store has of a session, as far as this process knows.
#[derive(Debug, Default)]
struct Booking {
    /// Whether it was ever given to the store.
    tried: AtomicBool,
    /// Whether the store has it, and with how many bytes.
    booked: AtomicBool,
    sent: AtomicU64,
    received: AtomicU64,
}

/// Somebody else's wish that the session should end.
#[derive(Debug, Default)]
struct Stop {
    /// 0, [`Stop::CLAIMED`], or 1 + the reason's place in the vocabulary.
    reason: AtomicU8,
    detail: OnceLock<Box<str>>,
    waker: AtomicWaker,
}

impl Stop {
    /// Somebody is about to give the reason; it is none yet.
    const CLAIMED: u8 = u8::MAX;
}

impl Session {
    pub(crate) fn new(
        id: SessionId,
        opening: Opening,
        started: Moment,
        shared: Arc<Shared>,
    ) -> Self {
        let user = match &opening.identity {
            Identity::Authenticated(name) => Some(shared.tally.user(name)),
            Identity::Anonymous(_) | Identity::Refused => None,
        };
        Self {
            id,
            opening,
            started,
            shared,
            user,
            traffic: Traffic::default(),
            wire: OnceLock::new(),
            judged: OnceLock::new(),
            ended: OnceLock::new(),
            stop: Stop::default(),
            relaying: AtomicBool::new(false),
            half_closed: AtomicBool::new(false),
            lanes: AtomicU8::new(0),
            journal: JournalPlace::default(),
            unpublished: AtomicU32::new(0),
            published_sent: AtomicU64::new(0),
            published_received: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            seen_at: AtomicU64::new(0),
            noted: AtomicU64::new(0),
            noted_at: AtomicU64::new(0),
            booking: Booking::default(),
            told: AtomicU8::new(Told::Nothing as u8),
        }
    }

    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The facts it opened with.
    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// Its counters.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The outgoing side, if it came that far.
    pub fn wire(&self) -> Option<&Wire> {
        self.wire.get()
    }

    /// Whether its final numbers are set.
    pub fn has_ended(&self) -> bool {
        self.ended.get().is_some()
    }

    /// Why it ended, once it has.
    pub fn reason(&self) -> Option<CloseReason> {
        self.ended.get().map(|ended| ended.ending.reason)
    }

    /// Its place among the sessions that have ended, from 1 on, once it has; see
    /// [`crate::tally::Ended`].
    pub fn nth_ended(&self) -> Option<u64> {
        self.ended.get().map(|ended| ended.nth)
    }

    /// What the access rules said last.
    pub(crate) fn verdict(&self) -> &AclOutcome {
        self.judged.get().unwrap_or(&self.opening.acl)
    }

    /// When it started.
    pub fn started(&self) -> Moment {
        self.started
    }

    /// Asks the session's task to end it. The first reason stays; later calls change nothing.
    ///
    /// Returns whether this call was the first and the session was still running.
    pub fn stop(&self, reason: CloseReason, detail: Option<Box<str>>) -> bool {
        if self.has_ended() {
            return false;
        }
        let claim = self.stop.reason.compare_exchange(
            0,
            Stop::CLAIMED,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if claim.is_err() {
            return false;
        }
        if let Some(detail) = detail {
            // Whoever claimed it alone comes here.
            let _first = self.stop.detail.set(detail);
        }
        // Whoever sees the reason sees the detail.
        self.stop.reason.store(reason as u8 + 1, Ordering::Release);
        self.stop.waker.wake();
        true
    }

    /// Adds the session's counters that nobody has seen yet to the totals.
    ///
    /// May run in two tasks at once: each byte is added once.
    pub(crate) fn publish(&self) {
        self.unpublished.store(0, Ordering::Relaxed);
        let sent = fresh(&self.published_sent, self.traffic.sent.bytes());
        let received = fresh(&self.published_received, self.traffic.received.bytes());
        if sent == 0 && received == 0 {
            return;
        }
        let tally = &self.shared.tally;
        tally.sent.add(sent);
        tally.received.add(received);
        if let Some(user) = &self.user {
            user.sent.add(sent);
            user.received.add(received);
        }
    }

    /// Takes off the totals what was published and later undone; for the session's end.
    pub(crate) fn settle(&self) {
        let tally = &self.shared.tally;
        let sent = surplus(&self.published_sent, self.traffic.sent.bytes());
        let received = surplus(&self.published_received, self.traffic.received.bytes());
        tally.sent.take_off(sent);
        tally.received.take_off(received);
        if let Some(user) = &self.user {
            user.sent.take_off(sent);
            user.received.take_off(received);
        }
    }

    /// One round of the sweep: publishes, notes an interim state, applies the idle limits.
    pub(crate) fn sweep(self: &Arc<Self>, now: Instant) {
        if self.has_ended() {
            return;
        }
        let rules = &self.shared.rules;
        let elapsed = now.saturating_duration_since(self.started.mono);
        let at = crate::clock::millis(elapsed);
        let moved = self.traffic.moved();
        if rules.accounting && self.unpublished.load(Ordering::Relaxed) != 0 {
            self.publish();
        }
        if moved != self.seen.swap(moved, Ordering::Relaxed) {
            self.seen_at.store(at, Ordering::Relaxed);
            self.shared.outbox.show(self);
        } else if self.relaying.load(Ordering::Relaxed) {
            let quiet = Duration::from_millis(at - self.seen_at.load(Ordering::Relaxed).min(at));
            let half_closed = self.half_closed.load(Ordering::Relaxed);
            let (limit, reason) = if half_closed {
                (rules.half_closed, CloseReason::HalfClosedTimeout)
            } else {
                (rules.idle, CloseReason::IdleTimeout)
            };
            if limit.is_some_and(|limit| quiet >= limit) {
                self.stop(reason, None);
            }
        }
        let noted_at = self.noted_at.load(Ordering::Relaxed);
        if rules.accounting
            && moved != self.noted.load(Ordering::Relaxed)
            && Duration::from_millis(at.saturating_sub(noted_at)) >= rules.interim
        {
            self.noted.store(moved, Ordering::Relaxed);
            self.noted_at.store(at, Ordering::Relaxed);
            self.shared.outbox.push(self);
        } else if rules.accounting && self.shared.outbox.has_journal() && self.outgrew_journal() {
            self.shared.outbox.push_for_journal(self);
        }
    }

    pub(crate) fn tallied_user(&self) -> Option<&UserTally> {
        self.user.as_deref()
    }

    /// Notes that it waits in these lanes; returns in which it waited already.
    pub(crate) fn enter_lanes(&self, flags: u8) -> u8 {
        self.lanes.fetch_or(flags, Ordering::AcqRel)
    }

    /// Notes that it was taken from these lanes; returns in which it waited.
    pub(crate) fn leave_lanes(&self, flags: u8) -> u8 {
        // Acquire pairs with `enter_lanes`: the snapshot that follows sees what led to it.
        self.lanes.fetch_and(!flags, Ordering::AcqRel)
    }

    /// Notes what those who watch are told of it; gives what they were told before.
    pub fn tell(&self, now: Told) -> Told {
        match self.told.fetch_max(now as u8, Ordering::Relaxed) {
            0 => Told::Nothing,
            1 => Told::Runs,
            _ => Told::Ended,
        }
    }

    /// Notes that it is given to the store; tells whether it was before.
    pub fn offer(&self) -> bool {
        self.booking.tried.swap(true, Ordering::AcqRel)
    }

    /// Notes that the store has it with so many bytes to and from the destination.
    pub fn book(&self, sent: u64, received: u64) {
        self.booking.sent.store(sent, Ordering::Relaxed);
        self.booking.received.store(received, Ordering::Relaxed);
        self.booking.booked.store(true, Ordering::Release);
    }

    /// The bytes to and from the destination that the store has; none where it has no record.
    ///
    /// Consistent only while nobody calls [`Session::book`].
    pub fn booked(&self) -> Option<(u64, u64)> {
        self.booking.booked.load(Ordering::Acquire).then(|| {
            (
                self.booking.sent.load(Ordering::Relaxed),
                self.booking.received.load(Ordering::Relaxed),
            )
        })
    }

    /// Where the journal has it.
    pub fn journal(&self) -> &JournalPlace {
        &self.journal
    }

    /// Notes that the store has its final state; gives the journal's segment that has it too.
    pub(crate) fn settle_in_journal(&self) -> Option<u64> {
        self.journal.settle()
    }

    /// Whether its counters or its outgoing side are newer than the journal's, as far as the
    /// sweep knows.
    fn outgrew_journal(&self) -> bool {
        let bytes = self.traffic.sent.bytes() + self.traffic.received.bytes();
        self.journal.was_outgrown(bytes, self.wire.get().is_some())
    }

    /// The session's state now, as its record.
    ///
    /// Final once [`Session::has_ended`] was true before the call.
    pub fn snapshot(&self) -> Record {
        let ended = self.ended.get();
        let opening = &self.opening;
        let wire = self.wire.get();
        let acl = self.verdict();
        let (requested, dest_port) = match &opening.target {
            Some(target) => (Some(&target.host), target.port),
            None => (None, 0),
        };
        let dest_host = match requested {
            Some(Host::Name(name)) => Some(name),
            _ => wire.and_then(|wire| wire.host.as_ref()),
        };
        let dest_ip = match (wire, requested) {
            (Some(wire), _) => wire.dest.ip().to_string(),
            (None, Some(host)) => host.to_string(),
            (None, None) => String::new(),
        };
        let mono = ended.map_or_else(Instant::now, |ended| self.started.mono + ended.after);
        let updated_at = self.started.wall_at(mono);
        Record {
            session_id: self.id,
            user: opening.identity.name(),
            start_time: self.started.wall,
            end_time: ended.map(|_| updated_at),
            duration: ended.map(|ended| ended.after),
            source_ip: opening.source.ip(),
            source_port: opening.source.port(),
            dest_ip: dest_ip.into(),
            dest_port: wire.map_or(dest_port, |wire| wire.dest.port()),
            dest_host: dest_host.map(|name| name.as_str().into()),
            protocol: opening.command.map_or(Protocol::Tcp, Command::protocol),
            command: opening.command,
            bytes_sent: self.traffic.sent.bytes(),
            bytes_received: self.traffic.received.bytes(),
            packets_sent: self.traffic.sent.packets(),
            packets_received: self.traffic.received.packets(),
            status: ended.map_or(Status::Active, |ended| ended.status),
            close_reason: ended.map(|ended| ended.ending.reason),
            close_detail: ended.and_then(|ended| ended.ending.detail.clone()),
            acl_rule_matched: acl.rule(),
            acl_decision: acl.decision(),
            egress_ip: wire.map(|wire| wire.egress.ip()),
            egress_port: wire.map(|wire| wire.egress.port()),
            connect: wire.and_then(|wire| wire.connect),
            node_id: Arc::clone(&self.shared.node),
            updated_at,
        }
    }
}

/// Raises `published` to `total` and returns by how much; two callers share the difference.
fn fresh(published: &AtomicU64, total: u64) -> u64 {
    total.saturating_sub(published.fetch_max(total, Ordering::Relaxed))
}

/// Watches one session for being stopped, from a task that polls often.
///
/// Registering a waker costs two locked instructions, too much for each packet. A task's waker
/// stays the same for as long as the task lives, so this registers once.
#[derive(Debug, Default)]
pub struct StopWatch {
    registered: Option<Waker>,
}

impl StopWatch {
    /// As [`OpenSession::poll_stopped`], for the one session that this watches.
    pub fn poll(&mut self, session: &OpenSession, cx: &mut Context<'_>) -> Poll<Ending> {
        if self.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return session.stop_reason().map_or(Poll::Pending, Poll::Ready);
        }
        self.registered = Some(cx.waker().clone());
        session.poll_stopped(cx)
    }
}

/// By how much `published` exceeds the final total.
fn surplus(published: &AtomicU64, total: u64) -> u64 {
    published.load(Ordering::Relaxed).saturating_sub(total)
}

/// The guard of a running session. Dropping it ends the session and queues its final record.
///
/// Dropped without [`OpenSession::finish`], the reason is the one given to [`Session::stop`],
/// or `server_shutdown`, because a task is cancelled for no other cause; after a panic it is
/// `relay_error`.
#[derive(Debug)]
pub struct OpenSession {
    session: Arc<Session>,
    ending: Option<Ending>,
}

impl std::ops::Deref for OpenSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl OpenSession {
    pub(crate) fn new(session: Arc<Session>) -> Self {
        Self { session, ending: None }
    }

    /// Notes the outgoing side. The first one stays.
    pub fn wired(&self, wire: Wire) {
        let _first = self.session.wire.set(wire);
    }

    /// Notes what the access rules said after resolving, or of the peer that connected.
    pub fn judged(&self, acl: AclOutcome) {
        let _first = self.session.judged.set(acl);
    }

    /// Notes that the client was told of success: from here on bytes can flow.
    pub fn relaying(&self) {
        let quiet_from = crate::clock::millis(self.session.started.mono.elapsed());
        self.session.seen_at.store(quiet_from, Ordering::Relaxed);
        self.session.relaying.store(true, Ordering::Relaxed);
    }

    /// Notes that one direction has ended, so the half-closed limit applies.
    pub fn half_closed(&self) {
        let now = crate::clock::millis(self.session.started.mono.elapsed());
        self.session.seen_at.store(now, Ordering::Relaxed);
        self.session.half_closed.store(true, Ordering::Relaxed);
    }

    /// Counts one packet of this many bytes from the client that the destination's socket took.
    pub fn count_sent(&self, bytes: u64) {
        self.count_sent_part(bytes, 1);
    }

    /// Counts one packet of this many bytes from the destination that the client's socket took.
    pub fn count_received(&self, bytes: u64) {
        self.count_received_part(bytes, 1);
    }

    /// Counts bytes to the destination of which `packets` packets began.
    pub fn count_sent_part(&self, bytes: u64, packets: u64) {
        self.session.traffic.sent.record(bytes, packets);
        self.pace(packets);
    }

    /// Counts bytes to the client of which `packets` packets began.
    pub fn count_received_part(&self, bytes: u64, packets: u64) {
        self.session.traffic.received.record(bytes, packets);
        self.pace(packets);
    }

    /// Takes bytes to the destination off the count again: a reset threw them away.
    pub fn undo_sent(&self, bytes: u64) {
        self.session.traffic.sent.undo(bytes);
    }

    /// Takes bytes to the client off the count again: a reset threw them away.
    pub fn undo_received(&self, bytes: u64) {
        self.session.traffic.received.undo(bytes);
    }

    /// Publishes after every so many packets; the sweep publishes what stays below.
    fn pace(&self, packets: u64) {
        let session = &*self.session;
        let step = u32::try_from(packets).unwrap_or(u32::MAX).max(1);
        // Only this task adds, so load and store do; the sweep's reset may be lost, and the
        // next packets then publish a little early.
        let count = session.unpublished.load(Ordering::Relaxed).saturating_add(step);
        session.unpublished.store(count, Ordering::Relaxed);
        if count >= session.shared.rules.publish_every && session.shared.rules.accounting {
            session.publish();
        }
    }

    /// Whether somebody asked the session to end, and why. Wakes the calling task when that
    /// happens later; one task at a time may poll.
    pub fn poll_stopped(&self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.session.stop.waker.register(cx.waker());
        match self.stop_reason() {
            Some(ending) => Poll::Ready(ending),
            None => Poll::Pending,
        }
    }

    /// Waits until somebody asks the session to end. Cancel safe.
    pub async fn stopped(&self) -> Ending {
        std::future::poll_fn(|cx| self.poll_stopped(cx)).await
    }

    fn stop_reason(&self) -> Option<Ending> {
        let stop = &self.session.stop;
        let code = stop.reason.load(Ordering::Acquire).checked_sub(1)?;
        let reason = *CloseReason::ALL.get(usize::from(code))?;
        Some(Ending { reason, detail: stop.detail.get().cloned() })
    }

    /// Ends the session for this reason.
    pub fn finish(mut self, reason: CloseReason, detail: Option<Box<str>>) {
        self.ending = Some(Ending { reason, detail });
    }

    /// Ends the session this way.
    pub fn end(mut self, ending: Ending) {
        self.ending = Some(ending);
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        let ending = self.ending.take().or_else(|| self.stop_reason()).unwrap_or_else(|| {
            if std::thread::panicking() {
                Ending::detailed(CloseReason::RelayError, "the session's task panicked")
            } else {
                Ending::plain(CloseReason::ServerShutdown)
            }
        });
        let session = &self.session;
        let relayed = match session.relaying.load(Ordering::Relaxed) {
            true => Relayed::Yes,
            false => Relayed::Never,
        };
        let status = ending.reason.status(relayed);
        let after = session.started.mono.elapsed();
        tracing::debug!(
            session = %session.id,
            status = status.name(),
            reason = ending.reason.name(),
            sent = session.traffic.sent.bytes(),
            received = session.traffic.received.bytes(),
            milliseconds = crate::clock::millis(after),
            "a session ended",
        );
        session.shared.tally.ended.add(status, &session.traffic, |nth| {
            let ended = Box::new(Ended { ending, status, after, nth });
            let _only_here = session.ended.set(ended);
        });
        session.shared.close(session, status, after);
    }
}
