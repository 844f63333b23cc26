//! What is measured: the name, unit and sense of each figure.

use serde::Serialize;

/// Whether more or less of a figure is to be wished for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
    /// Says something about the measurement, not about the peer's quality.
    Neither,
}

/// A kind of figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    /// Payload per second, in 10⁹ bytes.
    GbPerSecond,
    /// Processor seconds of the proxy per 10⁹ bytes.
    CpuSecondsPerGb,
    /// Connections, requests or datagram round trips per second.
    PerSecond,
    /// Processor microseconds of the proxy for each of them.
    CpuMicrosEach,
    /// Median time of an answer.
    P50Micros,
    /// Time that 99 % of the answers stayed below.
    P99Micros,
    /// Sent and never answered.
    LostPercent,
    /// Attempts that failed.
    Failures,
    /// Memory per idle session.
    KibEach,
    /// Memory in all with every idle session open.
    MibInAll,
    /// Idle sessions that could be opened in the time given.
    Held,
}

impl Metric {
    /// The heading of its column.
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::GbPerSecond => "GB/s",
            Self::CpuSecondsPerGb => "CPU-s per GB",
            Self::PerSecond => "per second",
            Self::CpuMicrosEach => "CPU µs each",
            Self::P50Micros => "p50 µs",
            Self::P99Micros => "p99 µs",
            Self::LostPercent => "lost %",
            Self::Failures => "failed",
            Self::KibEach => "KiB each",
            Self::MibInAll => "MiB in all",
            Self::Held => "held",
        }
    }

    pub(crate) fn better(self) -> Better {
        match self {
            Self::GbPerSecond | Self::PerSecond => Better::Higher,
            Self::CpuSecondsPerGb
            | Self::CpuMicrosEach
            | Self::P50Micros
            | Self::P99Micros
            | Self::KibEach => Better::Lower,
            Self::LostPercent | Self::Failures | Self::MibInAll | Self::Held => Better::Neither,
        }
    }
}

/// One figure of one measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) metric: Metric,
    pub(crate) value: f64,
}

impl Figure {
    pub(crate) fn new(metric: Metric, value: f64) -> Self {
        Self { metric, value }
    }
}
