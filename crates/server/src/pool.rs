//! Warm spare connections, opened ahead for destinations in steady use.
//!
//! A spare has never carried a byte of anybody: it is handed out once, checked for life before,
//! and belongs to that session from then on. Spares are no sessions and are never recorded.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::task::TaskTracker;

use crate::dial;
use crate::notice::Notice;
use crate::server::NoticeSink;

/// Use is counted over periods of this length.
const PERIOD: Duration = Duration::from_secs(1);

/// Steady use: connections in each of this many periods in a row.
const STEADY_PERIODS: u32 = 3;

/// Destinations whose use is counted; a scan of more is no steady use of any.
const MOST_DESTINATIONS: usize = 4096;

/// The published `[server.pool]` settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// Spares per destination at most.
    pub max_idle_per_dest: usize,
    /// Spares in all at most.
    pub max_total_idle: usize,
    /// How long a spare is kept.
    pub idle_timeout: Duration,
    /// How long opening one may take.
    pub connect_timeout: Duration,
}

/// Counts of the pool.
#[derive(Debug, Default)]
pub struct PoolFigures {
    /// Spares that sessions took.
    pub reused: AtomicU64,
    /// Spares opened.
    pub opened: AtomicU64,
    /// Spares found dead, or kept for too long.
    pub expired: AtomicU64,
    /// Spares wished for beyond the destination's cap.
    pub dropped: AtomicU64,
    /// Spares closed to make room for another destination's.
    pub evicted: AtomicU64,
}

#[derive(Debug)]
struct Spare {
    stream: TcpStream,
    since: Instant,
}

#[derive(Debug, Default)]
struct Destination {
    spares: VecDeque<Spare>,
    /// Connections in the current period, and in the one before.
    used: usize,
    used_before: usize,
    /// Periods in a row with use.
    steady: u32,
    /// Spares being opened.
    opening: usize,
}

#[derive(Debug, Default)]
struct Shelves {
    destinations: HashMap<SocketAddr, Destination>,
    idle: usize,
}

/// The pool. Cheap to clone.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    settings: PoolSettings,
    egress: Option<IpAddr>,
    notices: NoticeSink,
    /// Owns the tasks that open spares.
    tasks: TaskTracker,
    shelves: Mutex<Shelves>,
    figures: PoolFigures,
    closed: AtomicBool,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(
        settings: PoolSettings,
        egress: Option<IpAddr>,
        notices: NoticeSink,
        tasks: TaskTracker,
    ) -> Self {
        let inner = Inner {
            settings,
            egress,
            notices,
            tasks,
            shelves: Mutex::default(),
            figures: PoolFigures::default(),
            closed: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The counts.
    pub fn figures(&self) -> &PoolFigures {
        &self.inner.figures
    }

    /// Spares that wait, in all.
    pub fn idle(&self) -> usize {
        self.lock().idle
    }

    /// The destinations that have spares, with how many; the most first, equal ones by address.
    pub fn shelves(&self) -> Vec<(SocketAddr, usize)> {
        let shelves = self.lock();
        let filled = shelves.destinations.iter().filter(|(_, shelf)| !shelf.spares.is_empty());
        let mut counts: Vec<_> = filled.map(|(&to, shelf)| (to, shelf.spares.len())).collect();
        drop(shelves);
        counts.sort_by_key(|&(to, count)| (std::cmp::Reverse(count), to));
        counts
    }

    /// How the pool is set.
    pub fn settings(&self) -> &PoolSettings {
        &self.inner.settings
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.inner.shelves.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes a living spare for a destination, and notes the use either way.
    pub(crate) fn take(&self, to: SocketAddr) -> Option<TcpStream> {
        let mut shelves = self.lock();
        let shelves = &mut *shelves;
        if shelves.destinations.len() >= MOST_DESTINATIONS
            && !shelves.destinations.contains_key(&to)
        {
            return None;
        }
        let destination = shelves.destinations.entry(to).or_default();
        destination.used += 1;
        while let Some(spare) = destination.spares.pop_front() {
            shelves.idle -= 1;
            if is_alive(&spare.stream) {
                self.inner.figures.reused.fetch_add(1, Relaxed);
                return Some(spare.stream);
            }
            self.inner.figures.expired.fetch_add(1, Relaxed);
        }
        None
    }

    /// Opens and closes spares as use goes up and down. Never ends.
    pub(crate) async fn maintain(&self) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for (to, count) in self.review() {
                for _ in 0..count {
                    let pool = self.clone();
                    self.inner.tasks.spawn(async move { pool.open(to).await });
                }
            }
        }
    }

    /// Closes every spare and opens no more.
    pub(crate) fn close(&self) {
        self.inner.closed.store(true, Relaxed);
        *self.lock() = Shelves::default();
    }

    /// Ends a period: drops what is dead or old, and says how many spares to open where.
    fn review(&self) -> Vec<(SocketAddr, usize)> {
        if self.inner.closed.load(Relaxed) {
            return Vec::new();
        }
        let settings = &self.inner.settings;
        let mut wishes = Vec::new();
        let mut over = Vec::new();
        let mut shelves = self.lock();
        let mut idle = 0;
        shelves.destinations.retain(|&to, destination| {
            let before = destination.spares.len();
            destination.spares.retain(|spare| {
                spare.since.elapsed() < settings.idle_timeout && is_alive(&spare.stream)
            });
            let expired = before - destination.spares.len();
            self.inner.figures.expired.fetch_add(expired as u64, Relaxed);
            idle += destination.spares.len();
            destination.steady = if destination.used > 0 { destination.steady + 1 } else { 0 };
            // One period's use ahead; the larger of two, so that a short lull closes nothing.
            let wish = destination.used.max(destination.used_before);
            (destination.used_before, destination.used) = (destination.used, 0);
            if destination.steady >= STEADY_PERIODS {
                if wish > settings.max_idle_per_dest {
                    over.push((to, wish - settings.max_idle_per_dest));
                }
                let have = destination.spares.len() + destination.opening;
                let open = wish.min(settings.max_idle_per_dest).saturating_sub(have);
                if open > 0 {
                    destination.opening += open;
                    wishes.push((to, open));
                }
            }
            !destination.spares.is_empty()
                || destination.opening > 0
                || destination.steady > 0
                || destination.used_before > 0
        });
        shelves.idle = idle;
        drop(shelves);
        for (destination, count) in over {
            self.inner.figures.dropped.fetch_add(count as u64, Relaxed);
            let limit = settings.max_idle_per_dest;
            (self.inner.notices)(Notice::PoolDrop { destination, limit });
        }
        wishes
    }

    async fn open(&self, to: SocketAddr) {
        let connecting = dial::connect(to, self.inner.egress);
        let opened = tokio::time::timeout(self.inner.settings.connect_timeout, connecting).await;
        let evicted = self.shelve(to, opened.ok().and_then(Result::ok));
        if let Some(destination) = evicted {
            self.inner.figures.evicted.fetch_add(1, Relaxed);
            let limit = self.inner.settings.max_total_idle;
            (self.inner.notices)(Notice::PoolEviction { destination, limit });
        }
    }

    /// Puts a new spare on its shelf; returns the destination that lost one for it.
    fn shelve(&self, to: SocketAddr, stream: Option<TcpStream>) -> Option<SocketAddr> {
        let mut shelves = self.lock();
        let destination = shelves.destinations.get_mut(&to)?;
        destination.opening = destination.opening.saturating_sub(1);
        let stream = stream?;
        if self.inner.closed.load(Relaxed) || self.inner.settings.max_total_idle == 0 {
            return None;
        }
        destination.spares.push_back(Spare { stream, since: Instant::now() });
        shelves.idle += 1;
        self.inner.figures.opened.fetch_add(1, Relaxed);
        if shelves.idle <= self.inner.settings.max_total_idle {
            return None;
        }
        // The oldest of all makes room; those in each queue stand in order of age.
        let age = |destination: &Destination| destination.spares.front().map(|spare| spare.since);
        let oldest = shelves
            .destinations
            .iter()
            .filter_map(|(&to, destination)| Some((age(destination)?, to)))
            .min()?;
        shelves.destinations.get_mut(&oldest.1)?.spares.pop_front();
        shelves.idle -= 1;
        Some(oldest.1)
    }
}

/// Whether the far end has neither closed nor broken an unused connection.
fn is_alive(stream: &TcpStream) -> bool {
    // The end may stand behind a greeting that nobody has read.
    let mut ended = [PollFd::new(stream, PollFlags::RDHUP)];
    let at_once = Timespec::default();
    if !matches!(poll(&mut ended, Some(&at_once)), Ok(0)) {
        return false;
    }
    let mut byte = [MaybeUninit::uninit()];
    let peeked =
        stream.try_io(Interest::READABLE, || socket2::SockRef::from(stream).peek(&mut byte));
    match peeked {
        // A server that speaks first has spoken; that belongs to the session to come.
        Ok(count) => count > 0,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_spare_whose_server_has_greeted_and_hung_up_is_dead() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let spare = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        assert!(is_alive(&spare));
        server.write_all(b"220 ready").await.unwrap();
        spare.readable().await.unwrap();
        assert!(is_alive(&spare), "what was said belongs to the session to come");
        drop(server);
        let noticed = async {
            while is_alive(&spare) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), noticed).await.unwrap();
    }
}
