//! The metrics page, in the classic text format and in OpenMetrics.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;

use crate::events::{Counts, Events};
use crate::histogram::Histogram;
use crate::process::Process;

/// How the page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Classic,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The format that an `Accept` header asks for: OpenMetrics where it is named, else classic.
    pub fn from_accept(accept: &str) -> Self {
        let names_it = accept.split(',').any(|wish| {
            wish.trim().to_ascii_lowercase().starts_with("application/openmetrics-text")
        });
        if names_it { Self::OpenMetrics } else { Self::Classic }
    }

    /// The content type of a page in this format.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// All metric families of the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
}

impl Metrics {
    /// A page with what `register` puts into the registry, and the process's own figures.
    pub fn new(register: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::default();
        register(&mut registry);
        registry.register_collector(Box::new(Process::new()));
        Self { registry: Arc::new(registry) }
    }

    /// Writes the page.
    ///
    /// # Errors
    /// Those of the encoder, which come from a collector alone.
    pub fn render(&self, format: Format) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        encode(&mut page, &self.registry)?;
        match format {
            Format::OpenMetrics => Ok(page),
            Format::Classic => Ok(classic(&page)),
        }
    }
}

/// Writes a histogram that counts with plain atomics.
///
/// # Errors
/// Those of the encoder.
pub fn encode_histogram(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    histogram: &Histogram,
) -> Result<(), std::fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    let buckets = histogram.buckets();
    let count = buckets.iter().map(|(_, count)| count).sum();
    family.encode_histogram::<NoLabelSet>(histogram.sum_seconds(), count, &buckets, None)
}

/// Registers how often operators were told of something.
pub fn register_events(registry: &mut Registry, events: &Events) {
    registry.register_collector(Box::new(EventFamily(Arc::clone(events.counts()))));
}

#[derive(Debug)]
struct EventFamily(Arc<Counts>);

impl Collector for EventFamily {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (name, help) = ("rustsocks_events", "Occurrences that operators are told of");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (category, severity, count) in self.0.all() {
            let labels = [("category", category.name()), ("severity", severity.name())];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Rewrites OpenMetrics text as the classic format: a counter's family carries the name of its
/// samples, units and the end mark are unknown.
fn classic(page: &str) -> String {
    let counters: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(page.len());
    for line in page.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let described = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
        match described.and_then(|rest| rest.split_once(' ')) {
            Some((name, rest)) if counters.contains(&name) => {
                text.push_str(&line[..7]);
                text.push_str(name);
                text.push_str("_total ");
                text.push_str(rest);
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;

    fn metrics() -> Metrics {
        Metrics::new(|registry| {
            let counter: Counter = Counter::default();
            counter.inc_by(3);
            registry.register("tests", "Tests that ran", counter);
            registry.register("tests_running", "Tests that run", Gauge::<i64>::default());
        })
    }

    #[test]
    fn the_classic_page_names_a_counter_as_its_samples_are_named() {
        let page = metrics().render(Format::Classic).unwrap();
        assert!(
            page.contains(
                "# HELP tests_total Tests that ran.\n# TYPE tests_total counter\ntests_total 3\n"
            ),
            "{page}"
        );
        assert!(page.contains("# TYPE tests_running gauge\ntests_running 0\n"), "{page}");
        assert!(!page.contains("# EOF"));
    }

    #[test]
    fn the_openmetrics_page_ends_with_its_mark() {
        assert!(metrics().render(Format::OpenMetrics).unwrap().ends_with("# EOF\n"));
    }

    #[test]
    fn only_who_asks_for_openmetrics_gets_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1";
        assert_eq!(Format::from_accept(prometheus), Format::OpenMetrics);
        assert_eq!(Format::from_accept("*/*"), Format::Classic);
        assert_eq!(Format::from_accept(""), Format::Classic);
    }

    #[test]
    fn the_process_tells_its_own_figures() {
        let page = metrics().render(Format::Classic).unwrap();
        for name in
            ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"]
        {
            let line = page.lines().find(|line| line.starts_with(&format!("{name} ")));
            let value: f64 = line.and_then(|line| line.split(' ').nth(1)).unwrap().parse().unwrap();
            assert!(value >= 0.0);
        }
    }
}
