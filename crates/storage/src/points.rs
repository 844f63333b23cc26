//! The metrics history: what the process did in each short span of time, bounded, in memory.
//!
//! A point holds counts and the length of its span, not rates, so that points can be added up
//! without an error. What reads them gets rates.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;

#[cfg(feature = "sql")]
pub(crate) mod sql;

/// Points in memory at most, about 40 MB: five weeks at five seconds.
pub const MOST_POINTS: usize = 600_000;

/// What the process did in one span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The end of the span, by the wall clock.
    pub at: Timestamp,
    /// Its length.
    pub span: Duration,
    /// Sessions that ran at its end.
    pub active: u64,
    /// Ended sessions whose record was not in the store at its end.
    pub backlog: u64,
    /// Sessions that began in it.
    pub sessions: u64,
    /// Payload bytes in it, client to destination.
    pub sent: u64,
    /// Payload bytes in it, destination to client.
    pub received: u64,
}

/// One or more points as rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// The end of the last span.
    pub at: Timestamp,
    /// Sessions that ran, on average.
    pub active: f64,
    /// Ended sessions whose record was not in the store, on average.
    pub backlog: f64,
    /// Sessions that began, per second.
    pub sessions: f64,
    /// Bytes per second, client to destination.
    pub sent: f64,
    /// Bytes per second, destination to client.
    pub received: f64,
}

/// Rates over a time, at even distances.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// The distance between two of them.
    pub interval: Duration,
    /// The oldest first. Where the process did not run there are none.
    pub rates: Vec<Rates>,
}

/// The points of this node, the oldest first. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Points {
    ring: Arc<Mutex<Ring>>,
    interval: Duration,
    keep: Duration,
    most: usize,
}

#[derive(Debug, Default)]
struct Ring {
    points: VecDeque<Point>,
    /// How many of the newest are not in the store.
    unsaved: usize,
}

impl Points {
    /// None yet; one comes each `interval` and stays for `keep`, at most [`MOST_POINTS`] of them.
    pub fn new(interval: Duration, keep: Duration) -> Self {
        let fitting = keep.as_nanos() / interval.as_nanos().max(1);
        let most = usize::try_from(fitting).unwrap_or(MOST_POINTS).clamp(1, MOST_POINTS);
        Self { ring: Arc::default(), interval, keep, most }
    }

    /// The distance between two points.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// When the oldest was taken.
    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.lock().points.front().map(|point| point.at)
    }

    /// How long a point stays.
    pub fn keep(&self) -> Duration {
        self.keep
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Adds the newest point, and forgets those that are too old or too many.
    pub(crate) fn push(&self, point: Point) {
        let oldest = point.at.checked_sub(self.keep).unwrap_or(Timestamp::MIN);
        let mut ring = self.lock();
        ring.points.push_back(point);
        ring.unsaved += 1;
        while ring.points.len() > self.most
            || ring.points.front().is_some_and(|first| first.at < oldest)
        {
            ring.points.pop_front();
        }
        ring.unsaved = ring.unsaved.min(ring.points.len());
    }

    /// Puts what former runs left before what there is; tells whether there is room for more.
    pub(crate) fn put_before(&self, older: Vec<Point>) -> bool {
        let mut ring = self.lock();
        let room = self.most.saturating_sub(ring.points.len());
        for point in older.into_iter().rev().take(room) {
            ring.points.push_front(point);
        }
        ring.points.len() < self.most
    }

    /// The oldest points that are not in the store, at most so many.
    pub(crate) fn unsaved(&self, most: usize) -> Vec<Point> {
        let ring = self.lock();
        let first = ring.points.len() - ring.unsaved;
        ring.points.range(first..).take(most).copied().collect()
    }

    /// Notes that the store has these, which [`Points::unsaved`] gave.
    pub(crate) fn saved(&self, points: &[Point]) {
        let Some(last) = points.last() else { return };
        let mut ring = self.lock();
        // Some may have left the ring meanwhile, so places are counted anew.
        let first = ring.points.len() - ring.unsaved;
        let found = ring.points.range(first..).position(|point| point == last);
        ring.unsaved -= found.map_or(0, |place| place + 1);
    }

    /// The rates of the time before `now`, as at most `most` averages at even distances.
    pub fn course(&self, now: Timestamp, within: Duration, most: usize) -> Course {
        let spans = within.as_nanos().div_ceil(most.max(1) as u128);
        let times = spans.div_ceil(self.interval.as_nanos().max(1)).max(1);
        let interval = self.interval * u32::try_from(times).unwrap_or(u32::MAX);
        let from = now.checked_sub(within).unwrap_or(Timestamp::MIN);
        let length = interval.as_nanos().max(1);
        let ring = self.lock();
        let mut rates: Vec<Rates> = Vec::new();
        let mut gathered = Sum::default();
        let mut slot = 0;
        for point in ring.points.iter().filter(|point| point.at > from) {
            let next = point.at.duration_since(from).as_nanos().unsigned_abs().div_ceil(length);
            // As they are, where there is one for each distance: ticks are not quite even.
            if next != slot || times == 1 {
                rates.extend(gathered.rates());
                (gathered, slot) = (Sum::default(), next);
            }
            gathered.add(point);
        }
        rates.extend(gathered.rates());
        let surplus = rates.len().saturating_sub(most);
        rates.drain(..surplus);
        Course { interval, rates }
    }
}

/// Points added up.
#[derive(Default)]
struct Sum {
    last: Option<Timestamp>,
    seconds: f64,
    active: f64,
    backlog: f64,
    sessions: f64,
    sent: f64,
    received: f64,
}

impl Sum {
    fn add(&mut self, point: &Point) {
        let seconds = point.span.as_secs_f64();
        self.last = Some(point.at);
        self.seconds += seconds;
        self.active += point.active as f64 * seconds;
        self.backlog += point.backlog as f64 * seconds;
        self.sessions += point.sessions as f64;
        self.sent += point.sent as f64;
        self.received += point.received as f64;
    }

    fn rates(&self) -> Option<Rates> {
        let over = |sum: f64| if self.seconds > 0.0 { sum / self.seconds } else { 0.0 };
        Some(Rates {
            at: self.last?,
            active: over(self.active),
            backlog: over(self.backlog),
            sessions: over(self.sessions),
            sent: over(self.sent),
            received: over(self.received),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn point(second: i64, count: u64) -> Point {
        Point {
            at: at(second),
            span: SECOND,
            active: count,
            backlog: count,
            sessions: count,
            sent: 10 * count,
            received: 100 * count,
        }
    }

    fn filled(seconds: std::ops::Range<i64>) -> Points {
        let points = Points::new(SECOND, 100 * SECOND);
        seconds.for_each(|second| points.push(point(second, second.unsigned_abs())));
        points
    }

    #[test]
    fn points_leave_when_they_are_too_old_or_too_many() {
        let points = filled(0..300);
        let course = points.course(at(299), 1000 * SECOND, 1000);
        assert_eq!(course.rates.len(), 100);
        assert_eq!(course.rates[0].at, at(200));
        points.push(point(390, 1));
        assert_eq!(points.course(at(390), 1000 * SECOND, 1000).rates.len(), 11);
        let most = Points::new(Duration::from_millis(1), Duration::from_secs(1_000_000));
        assert_eq!(most.most, MOST_POINTS);
    }

    #[test]
    fn a_course_has_at_most_as_many_averages_as_asked_for_and_adds_up() {
        let points = filled(1..61);
        let course = points.course(at(60), 60 * SECOND, 7);
        assert_eq!(course.interval, 9 * SECOND);
        assert_eq!(course.rates.len(), 7);
        assert_eq!(course.rates[0].sessions, 5.0, "the mean of 1 to 9");
        assert_eq!(course.rates[0].active, 5.0);
        assert_eq!(course.rates[6].at, at(60));
        assert_eq!(course.rates[6].received, 5750.0, "the mean of 55 to 60, a hundredfold");
        let all = points.course(at(60), 60 * SECOND, 1000);
        assert_eq!((all.interval, all.rates.len()), (SECOND, 60));
        assert_eq!(points.course(at(60), 60 * SECOND, 60).rates, all.rates);
        let newest = points.course(at(60), 5 * SECOND, 1000);
        assert_eq!(newest.rates.len(), 5);
    }

    #[test]
    fn a_time_without_points_is_a_gap_and_not_a_zero() {
        let points = filled(1..4);
        points.push(point(50, 7));
        let course = points.course(at(50), 60 * SECOND, 6);
        assert_eq!(course.rates.iter().map(|rates| rates.at).collect::<Vec<_>>(), [at(3), at(50)]);
    }

    #[test]
    fn what_is_saved_is_not_offered_again_and_what_is_lost_on_the_way_stays() {
        let points = filled(0..50);
        let first = points.unsaved(20);
        assert_eq!((first.len(), first[0].at), (20, at(0)));
        assert_eq!(points.unsaved(20), first, "as long as nobody says that they are saved");
        points.saved(&first);
        assert_eq!(points.unsaved(100).len(), 30);
        points.put_before(vec![point(-2, 1), point(-1, 1)]);
        assert_eq!(points.unsaved(1)[0].at, at(20));
        assert_eq!(points.course(at(49), 100 * SECOND, 1000).rates[0].at, at(-2));
        (50..500).for_each(|second| points.push(point(second, 1)));
        assert_eq!(points.unsaved(1000).len(), 100, "those that left the ring are given up");
    }

    #[test]
    fn a_wall_clock_that_steps_back_panics_nobody() {
        let points = filled(0..10);
        points.push(point(-5000, 1));
        (0..10).for_each(|second| points.push(point(second - 5000, 1)));
        assert!(!points.course(at(-4990), 60 * SECOND, 10).rates.is_empty());
    }
}
