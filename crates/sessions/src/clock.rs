//! The one place that reads the wall clock, and the pair of clocks a session starts with.
//!
//! A session reads the wall clock once, when it starts. Everything later is that reading plus
//! monotonic time, so a clock that is stepped never gives a session a negative length.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// One instant, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock, UTC.
    pub wall: Timestamp,
    /// The monotonic clock.
    pub mono: Instant,
}

impl Moment {
    /// The wall time at a later monotonic instant, as this moment's clock would show it.
    ///
    /// An instant before this moment counts as this moment. Saturates at the calendar's end.
    pub fn wall_at(&self, later: Instant) -> Timestamp {
        let elapsed = later.saturating_duration_since(self.mono);
        self.wall.checked_add(elapsed).unwrap_or(Timestamp::MAX)
    }
}

/// Tells the time; cheap to clone. A test replaces the wall clock by its own.
#[derive(Clone)]
pub struct Clock {
    wall: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Clock {
    /// The machine's clocks.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
    pub fn system() -> Self {
        Self { wall: Arc::new(Timestamp::now) }
    }

    /// A wall clock given by a function; monotonic time stays Tokio's, which tests can pause.
    pub fn from_wall(wall: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { wall: Arc::new(wall) }
    }

    /// Reads both clocks.
    pub fn now(&self) -> Moment {
        Moment { wall: (self.wall)(), mono: Instant::now() }
    }
}

/// A duration in whole milliseconds, saturating.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
