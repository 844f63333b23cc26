//! How many wrong passwords a source address may try.
//!
//! A leaky bucket per source (GCRA): a burst is free, after that one failure per refill time.
//! Only failures count; a source with the right password is never slowed down.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use tokio::time::Instant;

/// How many sources are remembered at once. When full, the least active are forgotten first; a
/// forgotten source merely starts with a fresh burst.
const SOURCES_MAX: u64 = 65_536;

/// The limits on failed checks from one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleLimits {
    /// So many failures in a row are answered at full speed.
    pub burst: u32,
    /// After each such time one more failure is allowed again.
    pub refill: Duration,
}

impl Default for ThrottleLimits {
    /// Twenty failures at once, then one every two seconds.
    fn default() -> Self {
        Self { burst: 20, refill: Duration::from_secs(2) }
    }
}

/// The failures of each source.
pub(super) struct Throttle {
    refill_nanos: u64,
    burst_nanos: u64,
    epoch: Instant,
    /// Per source the time, in nanoseconds since `epoch`, at which its failures are all forgiven.
    forgiven_at: Cache<Ipv6Addr, Arc<AtomicU64>>,
}

impl Throttle {
    pub(super) fn new(limits: ThrottleLimits) -> Self {
        let burst_time = limits.refill.saturating_mul(limits.burst);
        // An entry idle for the whole burst time holds nothing that still matters.
        let idle = burst_time.max(Duration::from_secs(1));
        Self {
            refill_nanos: nanos(limits.refill),
            burst_nanos: nanos(burst_time),
            epoch: Instant::now(),
            forgiven_at: Cache::builder().max_capacity(SOURCES_MAX).time_to_idle(idle).build(),
        }
    }

    /// Whether this source has no failure left.
    pub(super) fn is_exhausted(&self, source: IpAddr) -> bool {
        self.retry_after(source).is_some()
    }

    /// How long this source is not heard; none where it has a failure left.
    pub(super) fn retry_after(&self, source: IpAddr) -> Option<Duration> {
        let forgiven_at = self.forgiven_at.get(&network_of(source))?;
        // Full when one more failure would go beyond the burst.
        let full_until = forgiven_at.load(Ordering::Relaxed) + self.refill_nanos;
        let wait = full_until.saturating_sub(self.now() + self.burst_nanos);
        (wait > 0).then(|| Duration::from_nanos(wait))
    }

    /// Counts a failure of this source.
    pub(super) fn charge(&self, source: IpAddr) {
        let now = self.now();
        let forgiven_at = self.forgiven_at.get_with(network_of(source), Arc::default);
        let charged = |at: u64| {
            // Capped, so that a flood which slipped through at once is not punished for hours.
            Some((at.max(now) + self.refill_nanos).min(now + self.burst_nanos))
        };
        // The closure always gives a value, so the update cannot fail.
        let _ = forgiven_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charged);
    }

    fn now(&self) -> u64 {
        nanos(self.epoch.elapsed())
    }
}

/// Half of what fits, so that sums of two never overflow: still 292 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX / 4)
}

/// What counts as one source: an IPv4 address, or the /64 of an IPv6 address, since a single
/// subscriber gets at least that many addresses to try from.
pub fn network_of(source: IpAddr) -> Ipv6Addr {
    match source.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & (u128::MAX << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle() -> Throttle {
        Throttle::new(ThrottleLimits { burst: 3, refill: Duration::from_secs(10) })
    }

    fn source(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_is_stopped_after_its_burst_and_recovers_one_failure_at_a_time() {
        let throttle = throttle();
        let source = source("192.0.2.1");
        for _ in 0..3 {
            assert!(!throttle.is_exhausted(source));
            throttle.charge(source);
        }
        assert_eq!(throttle.retry_after(source), Some(Duration::from_secs(10)));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!throttle.is_exhausted(source));
        throttle.charge(source);
        assert!(throttle.is_exhausted(source));
        tokio::time::advance(Duration::from_secs(30)).await;
        for _ in 0..3 {
            assert!(!throttle.is_exhausted(source));
            throttle.charge(source);
        }
        assert!(throttle.is_exhausted(source));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_forgiven_after_the_burst_time_however_large_it_was() {
        let throttle = throttle();
        let source = source("192.0.2.1");
        (0..10_000).for_each(|_| throttle.charge(source));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!throttle.is_exhausted(source));
    }

    #[tokio::test(start_paused = true)]
    async fn sources_are_ipv4_addresses_and_ipv6_networks() {
        let throttle = throttle();
        (0..3).for_each(|_| throttle.charge(source("192.0.2.1")));
        (0..3).for_each(|_| throttle.charge(source("2001:db8::1")));
        for (address, stopped) in [
            ("192.0.2.1", true),
            ("::ffff:192.0.2.1", true),
            ("192.0.2.2", false),
            ("2001:db8::ffff:1", true),
            ("2001:db8:0:1::1", false),
        ] {
            assert_eq!(throttle.is_exhausted(source(address)), stopped, "{address}");
        }
    }
}
