//! The process's running totals: what the published metric families report.
//!
//! Plain atomics, so that counting costs the same with and without the `metrics` feature.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use dashmap::DashMap;

use crate::ending::{CloseReason, Status};
use crate::session::{AclOutcome, UserName};
use crate::traffic::Traffic;

/// The upper bounds of the duration histogram, in seconds.
pub const DURATION_BUCKETS: [f64; 8] = [0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0];

/// The label under which users beyond the cap are counted.
pub const OTHER_USERS: &str = "_other";

/// A total that never goes down, although bytes may be taken off again.
///
/// A published counter that falls looks like a restart to whoever reads it. What is taken off
/// is therefore owed, and paid from what comes next.
#[derive(Debug, Default)]
pub struct Total {
    value: AtomicU64,
    owed: AtomicU64,
}

impl Total {
    /// The total.
    pub fn get(&self) -> u64 {
        self.value.load(Relaxed)
    }

    pub(crate) fn add(&self, count: u64) {
        let mut rest = count;
        if self.owed.load(Relaxed) != 0 {
            let pay = |owed: u64| Some(owed.saturating_sub(count));
            let owed = self.owed.fetch_update(Relaxed, Relaxed, pay).unwrap_or(0);
            rest = count.saturating_sub(owed);
        }
        self.value.fetch_add(rest, Relaxed);
    }

    pub(crate) fn take_off(&self, count: u64) {
        self.owed.fetch_add(count, Relaxed);
    }
}

/// Totals of one user.
#[derive(Debug, Default)]
pub struct UserTally {
    /// Sessions.
    pub sessions: AtomicU64,
    /// Payload bytes, client to destination.
    pub sent: Total,
    /// Payload bytes, destination to client.
    pub received: Total,
}

/// How long sessions lasted.
#[derive(Debug, Default)]
pub struct Durations {
    buckets: [AtomicU64; DURATION_BUCKETS.len() + 1],
    sum_micros: AtomicU64,
}

impl Durations {
    fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = DURATION_BUCKETS.partition_point(|&bound| bound < seconds);
        self.buckets[bucket].fetch_add(1, Relaxed);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum_micros.fetch_add(micros, Relaxed);
    }

    /// Observations per bucket, not cumulated, the last one without bound.
    pub fn counts(&self) -> [u64; DURATION_BUCKETS.len() + 1] {
        std::array::from_fn(|index| self.buckets[index].load(Relaxed))
    }

    /// The sum of all observations, in seconds.
    pub fn sum_seconds(&self) -> f64 {
        Duration::from_micros(self.sum_micros.load(Relaxed)).as_secs_f64()
    }
}

/// How sessions ended.
#[derive(Debug, Default)]
pub struct Endings {
    reasons: [AtomicU64; CloseReason::ALL.len()],
    allowed: AtomicU64,
    blocked: AtomicU64,
}

impl Endings {
    pub(crate) fn note(&self, reason: CloseReason, acl: &AclOutcome) {
        self.reasons[reason as usize].fetch_add(1, Relaxed);
        match acl {
            AclOutcome::Off => {}
            AclOutcome::Allowed(_) => {
                self.allowed.fetch_add(1, Relaxed);
            }
            AclOutcome::Blocked(_) => {
                self.blocked.fetch_add(1, Relaxed);
            }
        }
    }

    /// Every reason with how many sessions ended for it.
    pub fn by_reason(&self) -> impl Iterator<Item = (CloseReason, u64)> {
        CloseReason::ALL.iter().map(|&reason| (reason, self.reasons[reason as usize].load(Relaxed)))
    }

    /// Ended sessions that the access rules allowed, and those that they blocked.
    pub fn verdicts(&self) -> (u64, u64) {
        (self.allowed.load(Relaxed), self.blocked.load(Relaxed))
    }
}

/// Sums of sessions that have ended since the process started, all of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndedSums {
    /// How many.
    pub sessions: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that the access rules refused.
    pub rejected: u64,
    /// Payload bytes, client to destination.
    pub sent: u64,
    /// Payload bytes, destination to client.
    pub received: u64,
}

/// The sums of ended sessions. A lock makes them of one moment, taken once per session.
#[derive(Debug, Default)]
pub struct Ended(Mutex<EndedSums>);

impl Ended {
    fn lock(&self) -> MutexGuard<'_, EndedSums> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The sums of this moment: those of the first so many sessions that ended.
    pub fn sums(&self) -> EndedSums {
        *self.lock()
    }

    /// Adds a session; `end` makes it an ended one, the so many-th, at the same moment.
    pub(crate) fn add(&self, status: Status, traffic: &Traffic, end: impl FnOnce(u64)) {
        let mut sums = self.lock();
        sums.sessions += 1;
        sums.failed += u64::from(status == Status::Failed);
        sums.rejected += u64::from(status == Status::RejectedByAcl);
        sums.sent += traffic.sent.bytes();
        sums.received += traffic.received.bytes();
        end(sums.sessions);
    }
}

/// Running totals since the process started.
#[derive(Debug)]
pub struct Tally {
    /// Sessions that are running.
    pub active: AtomicI64,
    /// Session records of every kind.
    pub sessions: AtomicU64,
    /// Sessions that the access rules refused.
    pub rejected: AtomicU64,
    /// Payload bytes, client to destination.
    pub sent: Total,
    /// Payload bytes, destination to client.
    pub received: Total,
    /// How long sessions lasted.
    pub durations: Durations,
    /// Why they ended.
    pub endings: Endings,
    /// What the ended ones come to.
    pub ended: Ended,
    users: DashMap<UserName, Arc<UserTally>>,
    others: Arc<UserTally>,
    max_users: usize,
}

impl Tally {
    pub(crate) fn new(max_users: usize) -> Self {
        Self {
            active: AtomicI64::new(0),
            sessions: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            sent: Total::default(),
            received: Total::default(),
            durations: Durations::default(),
            endings: Endings::default(),
            ended: Ended::default(),
            users: DashMap::new(),
            others: Arc::default(),
            max_users,
        }
    }

    /// The totals of a user; beyond the cap, those that all further users share.
    pub(crate) fn user(&self, name: &UserName) -> Arc<UserTally> {
        if let Some(tally) = self.users.get(name) {
            return Arc::clone(&tally);
        }
        // Two newcomers may pass the cap together: it bounds memory, it is no exact quota.
        if self.users.len() >= self.max_users {
            return Arc::clone(&self.others);
        }
        Arc::clone(&self.users.entry(Arc::clone(name)).or_default())
    }

    /// Every user with its totals, and at the end the shared ones if anybody fell into them.
    pub fn users(&self) -> Vec<(UserName, Arc<UserTally>)> {
        let mut users: Vec<_> =
            self.users.iter().map(|entry| (entry.key().clone(), Arc::clone(&entry))).collect();
        users.sort_by(|left, right| left.0.cmp(&right.0));
        if self.others.sessions.load(Relaxed) > 0 {
            users.push((OTHER_USERS.into(), Arc::clone(&self.others)));
        }
        users
    }

    pub(crate) fn lasted(&self, duration: Duration) {
        self.durations.observe(duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_beyond_the_cap_are_counted_together() {
        let tally = Tally::new(2);
        for name in ["a", "b", "c", "d"] {
            tally.user(&name.into()).sessions.fetch_add(1, Relaxed);
        }
        let users: Vec<_> = tally
            .users()
            .into_iter()
            .map(|(name, user)| (name.to_string(), user.sessions.load(Relaxed)))
            .collect();
        assert_eq!(users, [("a".into(), 1), ("b".into(), 1), ("_other".into(), 2)]);
    }

    #[test]
    fn a_total_never_falls_and_pays_what_was_taken_off() {
        let total = Total::default();
        total.add(10);
        total.take_off(4);
        assert_eq!(total.get(), 10);
        total.add(3);
        assert_eq!(total.get(), 10);
        total.add(5);
        assert_eq!(total.get(), 14);
    }

    #[test]
    fn every_reason_has_a_count_of_its_own() {
        let endings = Endings::default();
        for (nth, reason) in CloseReason::ALL.iter().enumerate() {
            (0..=nth).for_each(|_| endings.note(*reason, &AclOutcome::Allowed(None)));
        }
        endings.note(CloseReason::RejectedByAcl, &AclOutcome::Blocked(None));
        let counts: Vec<u64> = endings.by_reason().map(|(_, count)| count).collect();
        let sum: u64 = counts.iter().sum();
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        assert_eq!(endings.verdicts(), (sum - 1, 1));
    }

    #[test]
    fn a_duration_on_a_bound_falls_into_that_bucket() {
        let durations = Durations::default();
        durations.observe(Duration::from_millis(100));
        durations.observe(Duration::from_millis(101));
        durations.observe(Duration::from_secs(301));
        assert_eq!(durations.counts(), [1, 1, 0, 0, 0, 0, 0, 0, 1]);
    }
}
