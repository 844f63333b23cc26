//! The published metric families, read from the running totals at each scrape.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::Ordering::Relaxed;

use crate::table::Table;
use crate::tally::DURATION_BUCKETS;

/// Registers the families of the session ledger with a registry.
pub fn register(registry: &mut Registry, table: &Table) {
    registry.register_collector(Box::new(Families { table: table.clone() }));
}

#[derive(Debug)]
struct Families {
    table: Table,
}

/// The pair of buckets and totals that the encoder wants: upper bound, count.
fn buckets(counts: &[u64]) -> Vec<(f64, u64)> {
    DURATION_BUCKETS.iter().copied().chain([f64::INFINITY]).zip(counts.iter().copied()).collect()
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let tally = self.table.tally();
        let mut counter = |name: &str, help: &str, value: u64| {
            let metric = ConstCounter::new(value);
            let family = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
            metric.encode(family)
        };
        counter(
            "rustsocks_sessions",
            "Session records of every kind, refused ones included",
            tally.sessions.load(Relaxed),
        )?;
        counter(
            "rustsocks_sessions_rejected",
            "Sessions that the access rules refused",
            tally.rejected.load(Relaxed),
        )?;
        counter(
            "rustsocks_bytes_sent",
            "Payload bytes from clients to destinations",
            tally.sent.get(),
        )?;
        counter(
            "rustsocks_bytes_received",
            "Payload bytes from destinations to clients",
            tally.received.get(),
        )?;
        self.encode_active(&mut encoder)?;
        self.encode_durations(&mut encoder)?;
        self.encode_endings(&mut encoder)?;
        self.encode_users(&mut encoder)
    }
}

impl Families {
    fn encode_active(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let metric = ConstGauge::new(self.table.tally().active.load(Relaxed));
        let family = encoder.encode_descriptor(
            "rustsocks_active_sessions",
            "Sessions that are running",
            None,
            metric.metric_type(),
        )?;
        metric.encode(family)
    }

    fn encode_durations(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let durations = &self.table.tally().durations;
        let counts = durations.counts();
        let mut family = encoder.encode_descriptor(
            "rustsocks_session_duration_seconds",
            "How long sessions lasted",
            None,
            MetricType::Histogram,
        )?;
        family.encode_histogram::<prometheus_client::encoding::NoLabelSet>(
            durations.sum_seconds(),
            counts.iter().sum(),
            &buckets(&counts),
            None,
        )
    }

    fn encode_endings(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let endings = &self.table.tally().endings;
        let mut family = encoder.encode_descriptor(
            "rustsocks_sessions_ended",
            "Sessions that ended, by reason",
            None,
            MetricType::Counter,
        )?;
        for (reason, count) in endings.by_reason() {
            let labels = [("reason", reason.name())];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        let mut family = encoder.encode_descriptor(
            "rustsocks_acl_verdicts",
            "Sessions that ended, by what the access rules said of them",
            None,
            MetricType::Counter,
        )?;
        let (allowed, blocked) = endings.verdicts();
        for (verdict, count) in [("allow", allowed), ("block", blocked)] {
            let labels = [("verdict", verdict)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn encode_users(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let users = self.table.tally().users();
        let mut sessions = encoder.encode_descriptor(
            "rustsocks_user_sessions",
            "Sessions per authenticated user",
            None,
            MetricType::Counter,
        )?;
        for (name, user) in &users {
            let labels = [("user", &**name)];
            let metric = ConstCounter::new(user.sessions.load(Relaxed));
            metric.encode(sessions.encode_family(&labels)?)?;
        }
        let mut bytes = encoder.encode_descriptor(
            "rustsocks_user_bandwidth_bytes",
            "Payload bytes per authenticated user and direction",
            None,
            MetricType::Counter,
        )?;
        for (name, user) in &users {
            for (direction, total) in [("sent", &user.sent), ("received", &user.received)] {
                let labels = [("user", &**name), ("direction", direction)];
                let metric = ConstCounter::new(total.get());
                metric.encode(bytes.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
