//! The process's own figures, under the names that every Prometheus client uses.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::resources::{Resources, start_seconds};

/// Reads `/proc/self` at each scrape.
#[derive(Debug)]
pub(crate) struct Process {
    /// When the process started, in seconds since 1970; it never changes.
    started: Option<f64>,
}

impl Process {
    pub(crate) fn new() -> Self {
        Self { started: start_seconds() }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let found = Resources::read();
        let metric = ConstCounter::new(found.cpu_seconds);
        let help = "CPU time of the process, user and system";
        let kind = metric.metric_type();
        metric.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, kind)?)?;
        let gauges = [
            ("process_resident_memory_bytes", "Memory of the process", found.resident_bytes),
            ("process_virtual_memory_bytes", "Address space of the process", found.virtual_bytes),
            ("process_open_fds", "Open file descriptors", found.open_fds),
            ("process_max_fds", "File descriptors that may be open", found.max_fds),
            ("process_threads", "Threads of the process", found.threads),
        ];
        for (name, help, value) in gauges {
            let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let kind = metric.metric_type();
            metric.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        if let Some(started) = self.started {
            let metric = ConstGauge::new(started);
            let (name, help) =
                ("process_start_time_seconds", "When the process started, since 1970");
            let kind = metric.metric_type();
            metric.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}
