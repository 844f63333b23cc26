//! The recorder's metric families.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use rustsocks_sessions::Table;

use crate::recorder::{Figures, LATENCY_BUCKETS};

/// Registers the families of the recorder with a registry.
pub fn register(registry: &mut Registry, table: &Table, figures: Arc<Figures>) {
    registry.register_collector(Box::new(Families { table: table.clone(), figures }));
}

#[derive(Debug)]
struct Families {
    table: Table,
    figures: Arc<Figures>,
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let figures = &self.figures;
        let counters = [
            ("rustsocks_batches", "Batches saved", &figures.batches),
            ("rustsocks_batch_failures", "Failed tries to save a batch", &figures.failures),
            ("rustsocks_records", "Session states saved", &figures.records),
        ];
        for (name, help, value) in counters {
            let metric = ConstCounter::new(value.load(Relaxed));
            let family = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
            metric.encode(family)?;
        }
        let outbox = self.table.outbox();
        let gauges = [
            ("rustsocks_outbox_queued", "Sessions whose newest state waits", outbox.len()),
            ("rustsocks_outbox_unsaved", "Sessions without a final record yet", outbox.unsaved()),
            ("rustsocks_storage_degraded", "1 while saving fails", figures.is_degraded().into()),
        ];
        for (name, help, value) in gauges {
            let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let family = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
            metric.encode(family)?;
        }
        let mut latency = encoder.encode_descriptor(
            "rustsocks_batch_seconds",
            "How long saving a batch took",
            None,
            MetricType::Histogram,
        )?;
        let counts: Vec<u64> = figures.latency.iter().map(|count| count.load(Relaxed)).collect();
        let bounds = LATENCY_BUCKETS.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().copied()).collect();
        let sum = std::time::Duration::from_micros(figures.latency_micros.load(Relaxed));
        latency.encode_histogram::<NoLabelSet>(
            sum.as_secs_f64(),
            counts.iter().sum(),
            &buckets,
            None,
        )
    }
}
