//! The recorder's metric families.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use rustsocks_journal::{Journal, Writing};
use rustsocks_sessions::Table;
use rustsocks_telemetry::metrics::encode_histogram;

use crate::recorder::Figures;

/// Registers the families of the recorder with a registry; `quarantined` tells whether the store
/// took the place of a damaged one at the start.
pub fn register(
    registry: &mut Registry,
    table: &Table,
    figures: Arc<Figures>,
    journal: Option<Journal>,
    quarantined: bool,
) {
    let table = table.clone();
    registry.register_collector(Box::new(Families { table, figures, journal, quarantined }));
}

#[derive(Debug)]
struct Families {
    table: Table,
    figures: Arc<Figures>,
    journal: Option<Journal>,
    quarantined: bool,
}

impl Families {
    /// Whole seconds since the oldest state began to wait, at most.
    fn oldest_age(&self) -> usize {
        let since = self.figures.behind_since.load(Relaxed);
        let now = self.table.clock().now().wall.as_millisecond();
        let age = if since == 0 { 0 } else { (now - since).max(0) / 1000 };
        usize::try_from(age).unwrap_or(usize::MAX)
    }
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let figures = &self.figures;
        let outbox = self.table.outbox();
        let journal = self.journal.as_ref();
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let counters = [
            ("rustsocks_batches", "Batches saved", figures.batches.load(Relaxed)),
            (
                "rustsocks_batch_failures",
                "Failed tries to save a batch",
                figures.failures.load(Relaxed),
            ),
            ("rustsocks_records", "Session states saved", figures.records.load(Relaxed)),
            ("rustsocks_records_lost", "Final states gone for good; stays 0", outbox.lost()),
            (
                "rustsocks_journal_written_bytes",
                "Bytes written to the journal",
                journal.map_or(0, Journal::written),
            ),
            (
                "rustsocks_journal_failures",
                "Failed tries to write the journal",
                journal.map_or(0, Journal::failures),
            ),
        ];
        for (name, help, value) in counters {
            let metric = ConstCounter::new(value);
            let family = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
            metric.encode(family)?;
        }
        let failing = journal.is_some_and(|journal| journal.writing() != Writing::Ok);
        let gauges = [
            ("rustsocks_outbox_queued", "Sessions whose newest state waits", outbox.len()),
            ("rustsocks_outbox_unsaved", "Sessions without a final record yet", outbox.unsaved()),
            ("rustsocks_storage_degraded", "1 while saving fails", figures.is_degraded().into()),
            (
                "rustsocks_storage_quarantined",
                "1 after a start that moved a damaged database aside",
                self.quarantined.into(),
            ),
            (
                "rustsocks_oldest_unsaved_seconds",
                "Age of the oldest state that waits for the store, at most",
                self.oldest_age(),
            ),
            (
                "rustsocks_journal_bytes",
                "Bytes of the journal",
                journal.map_or(0, |j| size(j.bytes())),
            ),
            (
                "rustsocks_journal_max_bytes",
                "Bytes that the journal may hold; 0 where there is none",
                journal.map_or(0, |j| size(j.max_bytes())),
            ),
            (
                "rustsocks_journal_spilled",
                "Ended sessions that are in the journal alone",
                outbox.spilled(),
            ),
            ("rustsocks_journal_degraded", "1 while the journal cannot be written", failing.into()),
        ];
        for (name, help, value) in gauges {
            let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let family = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
            metric.encode(family)?;
        }
        let (name, help) = ("rustsocks_batch_seconds", "How long saving a batch took");
        encode_histogram(&mut encoder, name, help, &figures.latency)
    }
}
