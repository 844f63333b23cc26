//! Durations counted by size, with plain atomics: observing one costs two additions.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the steps of a connection, in seconds: from a cached answer to a time-out.
pub const STEP_BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// Places to count in: one per bound, and one for what is beyond the last.
const PLACES: usize = STEP_BUCKETS.len() + 1;

/// How long something took, each time that it was done.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; PLACES],
    sum_nanos: AtomicU64,
}

impl Histogram {
    /// Counts one duration. The sum is good for 584 years.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = STEP_BUCKETS.partition_point(|&bound| bound < seconds);
        self.buckets[bucket].fetch_add(1, Relaxed);
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.sum_nanos.fetch_add(nanos, Relaxed);
    }

    /// Upper bound in seconds and count of each bucket, not cumulated; the last is without bound.
    pub fn buckets(&self) -> [(f64, u64); PLACES] {
        std::array::from_fn(|nth| {
            let bound = STEP_BUCKETS.get(nth).copied().unwrap_or(f64::INFINITY);
            (bound, self.buckets[nth].load(Relaxed))
        })
    }

    /// The sum of all durations, in seconds.
    pub fn sum_seconds(&self) -> f64 {
        Duration::from_nanos(self.sum_nanos.load(Relaxed)).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for millis in [0, 1, 2, 10_000, 10_001, 1_000_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let counts = histogram.buckets().map(|(_, count)| count);
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(histogram.buckets()[9].0, f64::INFINITY);
        assert!((histogram.sum_seconds() - 1020.004).abs() < 1e-9);
    }
}
