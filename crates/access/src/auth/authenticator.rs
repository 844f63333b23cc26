//! Checking a name and a password (RFC 1929), cheaply when they are right and never faster for
//! an unknown name than for a known one.
//!
//! Knows no stream: bytes go in, an outcome comes out.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordVerifier};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::credential::Credential;
use super::table::{Lookup, UserTable};
use super::throttle::{Throttle, ThrottleLimits};
use crate::user::UserName;

/// So many different checks may wait for a core; more are refused as throttled. At 20 ms each the
/// last one in line would wait seconds, by which time its client has given up.
const WAITING_MAX: usize = 256;

/// Why users cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Two users have one name.
    #[error("the user {0} is configured twice; keep one of them")]
    Duplicate(UserName),
    /// The system gave no random key.
    #[error("no randomness from the system")]
    Randomness(#[from] getrandom::Error),
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthOutcome {
    /// The password is right; this is the user's name.
    Granted(UserName),
    /// Name or password is wrong. Which of them is not told, to anybody.
    Denied,
    /// Not checked: too many failures from this source, or too many checks waiting.
    Throttled,
}

/// Checks names and passwords against the configured users. Cheap to clone; clones share users,
/// memory and throttle.
///
/// - A plaintext password, and one verified in the last five minutes, is checked in microseconds
///   on the caller's thread. Others run Argon2id on the blocking pool, at most one per core.
/// - Equal checks at the same time are run once.
/// - As soon as one user has a hash, every refusal costs one hash run, for known and unknown
///   names and for plaintext users alike.
/// - A source with too many failures is not heard at all for a while, not even with the right
///   password: an exception for remembered ones would let it go on guessing.
#[derive(Clone)]
pub struct Authenticator {
    shared: Arc<Shared>,
}

struct Shared {
    table: ArcSwap<UserTable>,
    throttle: Throttle,
    cores: Arc<Semaphore>,
    waiting: AtomicUsize,
    hash_runs: Arc<AtomicU64>,
}

/// A check that was not run.
struct NotRun;

impl Authenticator {
    /// Takes the users, with the default limits on failures.
    ///
    /// # Errors
    /// [`AuthError`] for two users of one name, or without randomness.
    pub fn new(users: Vec<Credential>) -> Result<Self, AuthError> {
        Self::with_limits(users, ThrottleLimits::default())
    }

    /// Takes the users and the limits on failures.
    ///
    /// # Errors
    /// As [`Authenticator::new`].
    pub fn with_limits(users: Vec<Credential>, limits: ThrottleLimits) -> Result<Self, AuthError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shared = Shared {
            table: ArcSwap::from_pointee(UserTable::new(users)?),
            throttle: Throttle::new(limits),
            cores: Arc::new(Semaphore::new(cores)),
            waiting: AtomicUsize::new(0),
            hash_runs: Arc::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Replaces all users at once and forgets every verified password. Failures stay counted.
    ///
    /// # Errors
    /// As [`Authenticator::new`]; the old users stay.
    pub fn replace(&self, users: Vec<Credential>) -> Result<(), AuthError> {
        self.shared.table.store(Arc::new(UserTable::new(users)?));
        Ok(())
    }

    /// Whether some user's password stands in the configuration as it is.
    pub fn has_plaintext(&self) -> bool {
        self.shared.table.load().has_plaintext()
    }

    /// How many users there are.
    pub fn user_count(&self) -> usize {
        self.shared.table.load().len()
    }

    /// How long a source is not heard because of its failures; none where it is heard.
    pub fn retry_after(&self, source: IpAddr) -> Option<Duration> {
        self.shared.throttle.retry_after(source)
    }

    /// Counts a failure of a source that was found elsewhere than in [`Authenticator::check`].
    pub fn count_failure(&self, source: IpAddr) {
        self.shared.throttle.charge(source);
    }

    /// How many Argon2id computations were run since the start.
    pub fn hash_runs(&self) -> u64 {
        self.shared.hash_runs.load(Ordering::Relaxed)
    }

    /// Keeps every core busy, so that no hash can run until the permit is dropped.
    #[cfg(test)]
    pub(super) fn occupy_cores(&self) -> tokio::sync::OwnedSemaphorePermit {
        let free = u32::try_from(self.shared.cores.available_permits()).unwrap();
        Arc::clone(&self.shared.cores).try_acquire_many_owned(free).unwrap()
    }

    #[cfg(test)]
    pub(super) fn checks_in_flight(&self) -> usize {
        self.shared.table.load().checks_in_flight()
    }

    /// Checks a name and a password as they came over the wire, from a client at `source`.
    ///
    /// A name that is not UTF-8 is nobody's and is refused like any unknown one. Cancel safe: a
    /// dropped check leaves nothing behind, and others that share it go on.
    pub async fn check(&self, username: &[u8], password: &[u8], source: IpAddr) -> AuthOutcome {
        let shared = &self.shared;
        if shared.throttle.is_exhausted(source) {
            return AuthOutcome::Throttled;
        }
        // One table for the whole check, even if the users are replaced meanwhile.
        let table = shared.table.load_full();
        let fingerprint = table.fingerprint(username, password);
        let granted = match table.look_up(username, &fingerprint) {
            Lookup::Known(user) => Some(user),
            Lookup::Wrong => None,
            Lookup::Verify { hash, user } => {
                let check = table.join(fingerprint);
                let run = async || {
                    // Asked again: an equal check may have been done since, and been cleared away.
                    match table.is_verified(&fingerprint) {
                        true => Ok(true),
                        false => shared.run_hash(hash, password, source).await,
                    }
                };
                let Ok(&right) = check.cell.get_or_try_init(run).await else {
                    return AuthOutcome::Throttled;
                };
                let granted = user.filter(|_| right);
                if let Some(user) = &granted {
                    // Before the check is cleared away, so that no equal one falls in between.
                    table.remember(fingerprint, user.clone());
                }
                granted
            }
        };
        match granted {
            Some(user) => AuthOutcome::Granted(user),
            None => {
                shared.throttle.charge(source);
                AuthOutcome::Denied
            }
        }
    }
}

impl Shared {
    /// Runs one hash when a core is free.
    async fn run_hash(
        &self,
        hash: Arc<PasswordHash>,
        password: &[u8],
        source: IpAddr,
    ) -> Result<bool, NotRun> {
        let place = WaitingPlace::take(&self.waiting)?;
        // The semaphore is never closed.
        let core = Arc::clone(&self.cores).acquire_owned().await.map_err(|_| NotRun)?;
        drop(place);
        // Asked again: of many guesses sent at once, all but a few were still waiting here while
        // the first ones used up the burst.
        if self.throttle.is_exhausted(source) {
            return Err(NotRun);
        }
        let password = Zeroizing::new(password.to_vec());
        let hash_runs = Arc::clone(&self.hash_runs);
        let run = move || {
            // Held by the computation, not by the caller: a client that hangs up must not free the
            // core before it is free.
            let _core = core;
            hash_runs.fetch_add(1, Ordering::Relaxed);
            Argon2::default().verify_password(&password, &*hash).is_ok()
        };
        // A computation that panics, or that the runtime drops while shutting down, lets nobody in.
        Ok(tokio::task::spawn_blocking(run).await.unwrap_or(false))
    }
}

/// Shows how many users there are, and nothing of them.
impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("users", &self.user_count()).finish_non_exhaustive()
    }
}

/// A place in the line for a core; given back when dropped, also by a client that hangs up.
struct WaitingPlace<'a>(&'a AtomicUsize);

impl<'a> WaitingPlace<'a> {
    fn take(waiting: &'a AtomicUsize) -> Result<Self, NotRun> {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let place = Self(waiting);
        if before < WAITING_MAX { Ok(place) } else { Err(NotRun) }
    }
}

impl Drop for WaitingPlace<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
