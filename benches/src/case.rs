//! The cases: what a peer is given to do, and what is measured meanwhile. Each module is one
//! kind of load; this one names them and holds what they share.

mod bulk;
mod datagram;
mod exchange;
mod idle;
mod short;

use std::fmt;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::metric::{Figure, Metric};
use crate::peer::{Kind, Peer, Running};
use crate::roster::Roster;
pub(crate) use crate::target::bulk::Flow;

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Case {
    /// Bytes as fast as they go.
    Bulk { flow: Flow, streams: usize },
    /// Connections that carry one small request and end.
    Short,
    /// Requests on connections that stay.
    Exchange { connections: usize },
    /// UDP through associations.
    Datagrams,
    /// Sessions that do nothing.
    Idle,
}

/// How long and how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// How long is measured.
    pub(crate) window: Duration,
    /// How long the load runs before that.
    pub(crate) warm_up: Duration,
    /// How long opening idle sessions may take.
    pub(crate) idle_limit: Duration,
}

/// Who is measured, how long, and who keeps the processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) peer: &'a Peer,
    pub(crate) setting: Setting,
    pub(crate) roster: &'a Arc<Roster>,
}

impl Stage<'_> {
    fn start(self, targets: &[SocketAddrV4]) -> anyhow::Result<Running> {
        self.peer.start(targets, self.roster)
    }
}

impl Case {
    /// All of them, in the order in which they run.
    pub(crate) const ALL: [Self; 9] = [
        Self::Bulk { flow: Flow::Down, streams: 1 },
        Self::Bulk { flow: Flow::Down, streams: 16 },
        Self::Bulk { flow: Flow::Up, streams: 1 },
        Self::Bulk { flow: Flow::Up, streams: 16 },
        Self::Short,
        Self::Exchange { connections: 1 },
        Self::Exchange { connections: 256 },
        Self::Datagrams,
        Self::Idle,
    ];

    /// What it is, for a reader.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Bulk { flow: Flow::Down, streams } => {
                format!("bulk download, streams: {streams}")
            }
            Self::Bulk { flow: Flow::Up, streams } => format!("bulk upload, streams: {streams}"),
            Self::Short => "short connections, 32 workers".to_owned(),
            Self::Exchange { connections } => {
                format!("request–response, 64 B each way, connections: {connections}")
            }
            Self::Datagrams => "UDP, 512 B there and back".to_owned(),
            Self::Idle => "idle sessions: memory each at 8 000, in all at up to 10 000".to_owned(),
        }
    }

    /// Whether `name` means this case, alone or with its group.
    pub(crate) fn is_called(self, name: &str) -> bool {
        let group = match self {
            Self::Bulk { .. } => "bulk",
            Self::Exchange { .. } => "rr",
            Self::Short | Self::Datagrams | Self::Idle => "",
        };
        self.to_string() == name || (group == name && !group.is_empty())
    }

    /// Whether `peer` can do this at all.
    pub(crate) fn suits(self, peer: &Peer) -> bool {
        match self {
            Self::Datagrams => peer.has_datagrams(),
            // Without a proxy there is nobody whose memory could be read.
            Self::Idle => !matches!(peer.kind, Kind::Direct),
            _ => true,
        }
    }

    /// Starts the targets and the peer, loads it, and ends both.
    ///
    /// # Errors
    /// When the peer does not start, refuses, falls over, stands still or alters what it carries.
    pub(crate) fn measure(self, stage: Stage<'_>) -> anyhow::Result<Vec<Figure>> {
        match self {
            Self::Bulk { flow, streams } => bulk::measure(stage, flow, streams),
            Self::Short => short::measure(stage),
            Self::Exchange { connections } => exchange::measure(stage, connections),
            Self::Datagrams => datagram::measure(stage),
            Self::Idle => idle::measure(stage),
        }
    }
}

impl fmt::Display for Case {
    /// The name on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bulk { flow: Flow::Down, streams } => write!(f, "down-{streams}"),
            Self::Bulk { flow: Flow::Up, streams } => write!(f, "up-{streams}"),
            Self::Short => f.write_str("short"),
            Self::Exchange { connections } => write!(f, "rr-{connections}"),
            Self::Datagrams => f.write_str("udp"),
            Self::Idle => f.write_str("idle"),
        }
    }
}

/// So many idle sessions must be held for their memory to be judged.
pub(crate) const IDLE_HELD: usize = idle::FOR_EACH;

/// A moment: what was done and spent until then.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at: Instant,
    count: u64,
    /// `None` where there is no proxy.
    cpu: Option<Duration>,
}

impl Moment {
    fn now(running: &Running, count: u64) -> Self {
        Self { at: Instant::now(), count, cpu: running.usage().map(|tree| tree.cpu()) }
    }

    /// What was done since `earlier`, per second.
    fn rate_since(&self, earlier: &Self) -> f64 {
        (self.count - earlier.count) as f64 / (self.at - earlier.at).as_secs_f64()
    }

    /// Processor seconds for each thing done since `earlier`.
    fn cpu_each_since(&self, earlier: &Self) -> Option<f64> {
        let spent = self.cpu?.saturating_sub(earlier.cpu?).as_secs_f64();
        let count = self.count.checked_sub(earlier.count).filter(|count| *count > 0)?;
        Some(spent / count as f64)
    }

    /// Rate and cost of what was counted one by one.
    fn figures_since(&self, earlier: &Self) -> Vec<Figure> {
        let mut figures = vec![Figure::new(Metric::PerSecond, self.rate_since(earlier))];
        figures.extend(
            self.cpu_each_since(earlier).map(|each| Figure::new(Metric::CpuMicrosEach, each * 1e6)),
        );
        figures
    }
}

/// Waits until the proxy does nothing any more, for `least` to begin with and 3 s at most, so
/// that what it put off (database writes above all) is counted as well.
fn settle(running: &Running, least: Duration) {
    const LIMIT: Duration = Duration::from_secs(3);
    const STEP: Duration = Duration::from_millis(100);
    const QUIET: Duration = Duration::from_millis(2);
    let Some(tree) = running.usage() else { return };
    let started = Instant::now();
    thread::sleep(least);
    let mut before = tree.cpu();
    while started.elapsed() < LIMIT {
        thread::sleep(STEP);
        let now = tree.cpu();
        if now.saturating_sub(before) < QUIET {
            return;
        }
        before = now;
    }
}
