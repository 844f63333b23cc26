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

/// How the wall clock was stepped, against the monotonic one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Set back by this much: times that were read before are in the future now.
    Back(Duration),
    /// Set forward by this much, or the machine slept for as long.
    Forward(Duration),
}

/// How often the two clocks are compared.
const COMPARE_EVERY: Duration = Duration::from_secs(1);

/// Smaller differences are what a clock that is kept right shows all the time.
const LEAST_STEP: Duration = Duration::from_secs(1);

/// Two readings further apart than this are not of one moment.
const ONE_MOMENT: Duration = Duration::from_millis(100);

/// How often the first reading is tried.
const FIRST_TRIES: usize = 20;

/// Compares the two clocks once a second and reports each step of the wall clock since the call.
/// Never ends.
pub fn watch_steps(clock: Clock, report: impl Fn(Step)) -> impl Future<Output = ()> {
    let mut last = (0..FIRST_TRIES).find_map(|_| both_clocks(&clock));
    async move {
        let mut ticks = tokio::time::interval(COMPARE_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(now) = both_clocks(&clock) else { continue };
            if let Some(step) = last.and_then(|last| step_between(last, now)) {
                report(step);
            }
            last = Some(now);
        }
    }
}

/// Both clocks; none where the thread was put aside between its two readings, which says nothing
/// of the clocks.
fn both_clocks(clock: &Clock) -> Option<Moment> {
    let before = Instant::now();
    let now = clock.now();
    (before.elapsed() <= ONE_MOMENT).then_some(now)
}

/// By how much the wall clock went its own way between two moments.
fn step_between(last: Moment, now: Moment) -> Option<Step> {
    let shown = now.wall.duration_since(last.wall).as_nanos();
    let passed = now.mono.saturating_duration_since(last.mono).as_nanos();
    let apart = shown.saturating_sub(i128::try_from(passed).unwrap_or(i128::MAX));
    let length = Duration::from_nanos(u64::try_from(apart.unsigned_abs()).unwrap_or(u64::MAX));
    match (length >= LEAST_STEP, apart < 0) {
        (false, _) => None,
        (true, true) => Some(Step::Back(length)),
        (true, false) => Some(Step::Forward(length)),
    }
}

/// A duration in whole milliseconds, saturating.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

    use super::*;

    const HOUR: i64 = 3600;

    /// A wall clock that goes with Tokio's, moved by so many seconds.
    fn movable() -> (Clock, Arc<AtomicI64>) {
        let (start, moved) = (Instant::now(), Arc::new(AtomicI64::new(0)));
        let by = Arc::clone(&moved);
        let clock = Clock::from_wall(move || {
            let base = Timestamp::from_second(1_800_000_000 + by.load(Relaxed)).unwrap();
            base.checked_add(start.elapsed()).unwrap()
        });
        (clock, moved)
    }

    #[tokio::test(start_paused = true)]
    async fn each_step_of_the_wall_clock_is_reported_once_with_its_length() {
        let (clock, moved) = movable();
        let steps = Mutex::new(Vec::new());
        let after = |seconds| {
            tokio::time::timeout(Duration::from_secs(seconds), async {
                watch_steps(clock.clone(), |step| steps.lock().unwrap().push(step)).await;
            })
        };
        let second = Duration::from_secs(1);
        let script = async {
            tokio::time::sleep(10 * second).await;
            moved.store(-HOUR, Relaxed);
            tokio::time::sleep(10 * second).await;
            moved.store(HOUR, Relaxed);
            tokio::time::sleep(10 * second).await;
        };
        let (_over, ()) = tokio::join!(after(30), script);
        let hour = Duration::from_secs(3600);
        assert_eq!(*steps.lock().unwrap(), [Step::Back(hour), Step::Forward(2 * hour)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_before_the_first_look_is_reported_too() {
        let (clock, moved) = movable();
        let steps = Mutex::new(Vec::new());
        let watching = watch_steps(clock, |step| steps.lock().unwrap().push(step));
        moved.store(-HOUR, Relaxed);
        let _over = tokio::time::timeout(Duration::from_secs(5), watching).await;
        assert_eq!(*steps.lock().unwrap(), [Step::Back(Duration::from_secs(3600))]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_kept_right_in_small_steps_is_not_worth_a_word() {
        let moment = |millis| Moment {
            wall: Timestamp::from_millisecond(millis).unwrap(),
            mono: Instant::now(),
        };
        assert_eq!(step_between(moment(5000), moment(4001)), None);
        let back = step_between(moment(5000), moment(4000));
        assert_eq!(back, Some(Step::Back(Duration::from_secs(1))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_later_is_told_by_the_monotonic_clock_alone() {
        let (clock, moved) = movable();
        let started = clock.now();
        moved.store(-HOUR, Relaxed);
        tokio::time::advance(Duration::from_secs(7)).await;
        let later = started.wall_at(Instant::now());
        assert_eq!(later.duration_since(started.wall).as_secs(), 7);
    }
}
