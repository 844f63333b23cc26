//! The live table: every session that runs, and every ended one until its record is durable.
//!
//! It owns the sessions; others get a handle on one of them or a copy of its numbers, never
//! the map.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::ending::{CloseReason, Status};
use crate::id::{SessionId, SessionIds};
use crate::outbox::Outbox;
use crate::session::{OpenSession, Opening, Session};
use crate::tally::Tally;

/// How sessions are kept and limited.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whether sessions are recorded and published at all.
    pub accounting: bool,
    /// Publish a session's counters after this many packets.
    pub publish_every: u32,
    /// Queue the state of a running session this often, if it changed.
    pub interim: Duration,
    /// End a session in which nothing moved for so long.
    pub idle: Option<Duration>,
    /// The same, once one direction has ended.
    pub half_closed: Option<Duration>,
    /// Sessions whose final state is not durable yet, beyond which no new one is admitted.
    /// Where there is a journal, it decides before that, and this is the bound of ended sessions in
    /// memory while its disk does not answer.
    pub max_unsaved: usize,
    /// Users with totals of their own; all further ones share.
    pub max_user_labels: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            accounting: true,
            publish_every: 10,
            interim: Duration::from_secs(5),
            idle: Some(Duration::from_secs(600)),
            half_closed: Some(Duration::from_secs(120)),
            max_unsaved: 250_000,
            max_user_labels: 1000,
        }
    }
}

/// What every session needs of its surroundings.
pub(crate) struct Shared {
    pub(crate) rules: Rules,
    pub(crate) node: Arc<str>,
    pub(crate) tally: Tally,
    pub(crate) outbox: Outbox,
    live: DashMap<SessionId, Arc<Session>>,
    spilling: OnceLock<Spilling>,
}

/// Hears of a session that leaves memory for the disk; calls the function that removes it from
/// the table, and gives what that gave.
type Spilling = Box<dyn Fn(&Session, &dyn Fn() -> bool) -> bool + Send + Sync>;

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Shared {
    /// The one door through which every session ends.
    pub(crate) fn close(&self, session: &Arc<Session>, status: Status, after: Duration) {
        self.tally.active.fetch_sub(1, Ordering::Relaxed);
        if !self.rules.accounting {
            self.live.remove(&session.id());
            return;
        }
        session.publish();
        session.settle();
        if status == Status::RejectedByAcl {
            self.tally.rejected.fetch_add(1, Ordering::Relaxed);
        }
        self.tally.lasted(after);
        if let Some(reason) = session.reason() {
            self.tally.endings.note(reason, session.verdict());
        }
        self.outbox.push(session);
    }
}

/// All sessions of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Table {
    shared: Arc<Shared>,
    ids: Arc<SessionIds>,
    first_id: SessionId,
    clock: Clock,
}

impl Table {
    /// An empty table.
    pub fn new(clock: Clock, node: Arc<str>, rules: Rules) -> Self {
        let tally = Tally::new(rules.max_user_labels);
        let outbox = Outbox::default();
        let shared =
            Shared { rules, node, tally, outbox, live: DashMap::new(), spilling: OnceLock::new() };
        let ids = SessionIds::new();
        let first_id = ids.next(clock.now().wall);
        Self { shared: Arc::new(shared), ids: Arc::new(ids), first_id, clock }
    }

    /// Opens a session. It is live from here on and ends when the guard is dropped.
    pub fn open(&self, opening: Opening) -> OpenSession {
        let started = self.clock.now();
        let id = self.ids.next(started.wall);
        let shared = &self.shared;
        let session = Arc::new(Session::new(id, opening, started, Arc::clone(shared)));
        shared.tally.active.fetch_add(1, Ordering::Relaxed);
        shared.live.insert(id, Arc::clone(&session));
        if shared.rules.accounting {
            shared.tally.sessions.fetch_add(1, Ordering::Relaxed);
            session.tallied_user().inspect(|user| {
                user.sessions.fetch_add(1, Ordering::Relaxed);
            });
            shared.outbox.expect_one();
            shared.outbox.push(&session);
        }
        let opening = session.opening();
        tracing::debug!(
            session = %id,
            user = ?opening.identity.name(),
            source = %opening.source,
            destination = ?opening.target.as_ref().map(ToString::to_string),
            "a session opened",
        );
        OpenSession::new(session)
    }

    /// Whether so many records wait that no new session may begin.
    pub fn is_full(&self) -> bool {
        let (outbox, most) = (&self.shared.outbox, self.shared.rules.max_unsaved);
        match outbox.has_journal() {
            true => outbox.is_refusing() || self.waiting() >= most,
            false => outbox.unsaved() >= most,
        }
    }

    /// Ended sessions in memory whose final state the store does not have yet.
    pub fn waiting(&self) -> usize {
        let outbox = &self.shared.outbox;
        outbox.unsaved().saturating_sub(outbox.spilled()).saturating_sub(self.active())
    }

    /// Sessions that run.
    pub fn active(&self) -> usize {
        usize::try_from(self.shared.tally.active.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// A session that runs, or has ended and is not durable yet.
    pub fn get(&self, id: SessionId) -> Option<Arc<Session>> {
        self.shared.live.get(&id).map(|entry| Arc::clone(&entry))
    }

    /// Every session that runs, in no order.
    pub fn running(&self) -> Vec<Arc<Session>> {
        self.collect(|session| !session.has_ended())
    }

    /// The sessions that run, and the ended ones whose final state the store does not have.
    pub fn all(&self) -> Vec<Arc<Session>> {
        self.collect(|_| true)
    }

    /// Every session that has ended and is not durable yet, in no order.
    pub fn unsaved(&self) -> Vec<Arc<Session>> {
        self.collect(|session| session.has_ended())
    }

    fn collect(&self, keep: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        self.shared
            .live
            .iter()
            .filter(|entry| keep(entry.value()))
            .map(|entry| Arc::clone(&entry))
            .collect()
    }

    /// Asks every running session for which `judge` gives a detail to end for this reason;
    /// returns how many were asked.
    pub fn stop_where(
        &self,
        reason: CloseReason,
        judge: impl Fn(&Session) -> Option<Option<Box<str>>>,
    ) -> usize {
        let asked = self
            .running()
            .into_iter()
            .filter_map(|session| judge(&session).map(|detail| session.stop(reason, detail)));
        asked.filter(|first| *first).count()
    }

    /// One round over all running sessions: publishes counters, queues interim states, applies
    /// the idle limits. Meant to run twice a second.
    pub fn sweep(&self, now: Instant) {
        for entry in &self.shared.live {
            entry.value().sweep(now);
        }
        if self.shared.outbox.has_journal() && self.active() > 0 {
            self.shared.outbox.note_alive();
        }
    }

    /// Forgets sessions whose final state the store has. The recorder calls this after a commit
    /// with the sessions whose final snapshot was in it; `journaled` hears of each journal
    /// segment that has one of them too.
    pub fn saved<'a>(
        &self,
        sessions: impl IntoIterator<Item = &'a Arc<Session>>,
        mut journaled: impl FnMut(u64),
    ) {
        for session in sessions {
            // Whoever takes it out of the map settles it, so it is settled once.
            if self.shared.live.remove(&session.id()).is_some() {
                if let Some(segment) = session.settle_in_journal() {
                    journaled(segment);
                }
                self.shared.outbox.settle_one();
            }
        }
    }

    /// Where in the journal a session lies of which the store has a state now, if it is on disk
    /// alone. Where that state is the final one, this is told once.
    pub fn saved_spilled(&self, session: &Session, is_final: bool) -> Option<(u64, u32)> {
        let place = session.journal().final_place();
        let spilled = place.filter(|_| !self.shared.live.contains_key(&session.id()))?;
        if is_final {
            session.settle_in_journal();
        }
        Some(spilled)
    }

    /// Forgets an ended session whose final state is in the journal, unless the store has it;
    /// `spilled` hears of it then, before the recorder does.
    pub fn spill(&self, session: &Arc<Session>, spilled: impl FnOnce()) {
        let remove = || self.shared.live.remove(&session.id()).is_some();
        let here = match self.shared.spilling.get() {
            Some(spilling) => spilling(session, &remove),
            None => remove(),
        };
        if here {
            // From here on the store may have it from the disk, also where it waits to be given.
            session.offer();
            self.shared.outbox.spill_one(spilled);
        }
    }

    /// Sets who hears of sessions that leave memory for the disk. It is called with the session
    /// and a function that removes it from the table, and gives what that gave. The first call
    /// counts.
    pub fn on_spill(
        &self,
        spilling: impl Fn(&Session, &dyn Fn() -> bool) -> bool + Send + Sync + 'static,
    ) {
        let _first = self.shared.spilling.set(Box::new(spilling));
    }

    /// Gives up an ended session that neither the journal nor the store took.
    pub fn lose(&self, session: &Arc<Session>) {
        if self.shared.live.remove(&session.id()).is_some() {
            self.shared.outbox.lose_one();
        }
    }

    /// The sessions whose newest state waits for the store.
    pub fn outbox(&self) -> &Outbox {
        &self.shared.outbox
    }

    /// The running totals.
    pub fn tally(&self) -> &Tally {
        &self.shared.tally
    }

    /// An id before those of all sessions of this table, and behind those of earlier runs unless
    /// the wall clock was set back in between.
    pub fn first_id(&self) -> SessionId {
        self.first_id
    }

    /// The clock that sessions start by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The node's name in the records.
    pub fn node(&self) -> &Arc<str> {
        &self.shared.node
    }

    /// How sessions are kept and limited.
    pub fn rules(&self) -> &Rules {
        &self.shared.rules
    }
}

#[cfg(test)]
mod tests;
