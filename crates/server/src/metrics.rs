//! The data plane's metric families.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;

use crate::server::Figures;

/// Registers the families of the data plane with a registry.
pub fn register(registry: &mut Registry, figures: Arc<Figures>) {
    registry.register_collector(Box::new(Families { figures }));
}

#[derive(Debug)]
struct Families {
    figures: Arc<Figures>,
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let figures = &self.figures;
        let plain = [
            ("rustsocks_accepted", "Connections accepted", &figures.accepted),
            ("rustsocks_accept_errors", "Failed accept calls", &figures.accept_errors),
            (
                "rustsocks_turned_away",
                "Clients turned away before their request was read",
                &figures.turned_away,
            ),
            ("rustsocks_not_socks", "Clients that sent no SOCKS request", &figures.not_socks),
        ];
        for (name, help, value) in plain {
            let metric = ConstCounter::new(value.load(Relaxed));
            let family = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
            metric.encode(family)?;
        }
        let mut datagrams = encoder.encode_descriptor(
            "rustsocks_udp_dropped",
            "Datagrams dropped, by reason",
            None,
            MetricType::Counter,
        )?;
        for (reason, count) in figures.datagrams.counts() {
            let labels = [("reason", reason)];
            ConstCounter::new(count).encode(datagrams.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
