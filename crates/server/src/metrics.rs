//! The data plane's metric families.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use rustsocks_telemetry::metrics::encode_histogram;

use crate::pool::Pool;
use crate::server::{Figures, Server};

/// Registers the families of the data plane with a registry.
pub fn register(registry: &mut Registry, server: &Server) {
    let (figures, pool) = (server.figures(), server.pool().cloned());
    let max_connections = server.max_connections();
    registry.register_collector(Box::new(Families { figures, pool, max_connections }));
}

#[derive(Debug)]
struct Families {
    figures: Arc<Figures>,
    pool: Option<Pool>,
    max_connections: usize,
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.encode_clients(&mut encoder)?;
        self.encode_datagrams(&mut encoder)?;
        let figures = &self.figures;
        for (name, help, histogram) in [
            (
                "rustsocks_handshake_seconds",
                "From accepting a client to its complete request",
                &figures.handshakes,
            ),
            (
                "rustsocks_dns_seconds",
                "Resolving a name, from the cache or not, with or without success",
                &figures.lookups,
            ),
            (
                "rustsocks_connect_seconds",
                "Opening the connection to a destination, where it succeeded",
                &figures.connects,
            ),
        ] {
            encode_histogram(&mut encoder, name, help, histogram)?;
        }
        self.encode_pool(&mut encoder)
    }
}

impl Families {
    fn encode_clients(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
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
        let (name, help) =
            ("rustsocks_max_connections", "Clients that are served at once, at most");
        encode_gauge(encoder, name, help, self.max_connections)
    }

    fn encode_datagrams(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (name, help) = ("rustsocks_udp_dropped", "Datagrams dropped, by reason");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (reason, count) in self.figures.datagrams.counts() {
            let labels = [("reason", reason)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// The spare connections; zeros where there is no pool.
    fn encode_pool(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let idle = self.pool.as_ref().map_or(0, Pool::idle);
        encode_gauge(encoder, "rustsocks_pool_idle", "Spare connections that wait", idle)?;
        let (name, help) = ("rustsocks_pool_spares", "Spare connections, by what became of them");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        let figures = self.pool.as_ref().map(Pool::figures);
        let fates = [
            ("opened", figures.map(|figures| &figures.opened)),
            ("reused", figures.map(|figures| &figures.reused)),
            ("expired", figures.map(|figures| &figures.expired)),
            ("dropped", figures.map(|figures| &figures.dropped)),
            ("evicted", figures.map(|figures| &figures.evicted)),
        ];
        for (fate, count) in fates {
            let labels = [("fate", fate)];
            let count = count.map_or(0, |count| count.load(Relaxed));
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn encode_gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: usize,
) -> Result<(), std::fmt::Error> {
    let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}
