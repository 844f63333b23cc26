//! What watching costs: a page of metrics with 1000 users (to be below 20 ms), and one observation
//! of a histogram, of which a connection makes three.
//!
//! `cargo bench -p rustsocks-sessions --bench scrape`

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use rustsocks_proto::{Command, Host, Target};
use rustsocks_sessions::{AclOutcome, Clock, CloseReason, Identity, Opening, Rules, Table};
use rustsocks_telemetry::Histogram;
use rustsocks_telemetry::metrics::{Format, Metrics};
use tokio::time::Instant;

/// A table in which each of so many users has had a session.
fn with_users(count: usize) -> Table {
    let table = Table::new(Clock::system(), "node".into(), Rules::default());
    for nth in 0..count {
        let session = table.open(Opening {
            identity: Identity::Authenticated(format!("user-{nth}").into()),
            source: ([127, 0, 0, 1], 4000).into(),
            target: Some(Target { host: Host::Ip([192, 0, 2, 1].into()), port: 443 }),
            command: Some(Command::Connect),
            acl: AclOutcome::Allowed(None),
        });
        session.relaying();
        session.count_sent(1_000_000 + nth as u64);
        session.finish(CloseReason::ClientClosed, None);
    }
    table
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let table = with_users(1000);
    let metrics = Metrics::new(|registry| rustsocks_sessions::metrics::register(registry, &table));
    criterion.bench_function("page of 1000 users", |bencher| {
        bencher.iter(|| metrics.render(Format::Classic).expect("it is written").len());
    });
    let histogram = Histogram::default();
    criterion.bench_function("observation", |bencher| {
        bencher.iter(|| histogram.observe(black_box(Duration::from_micros(300))));
    });
    criterion.bench_function("observation with both readings of the clock", |bencher| {
        bencher.iter(|| {
            let began = Instant::now();
            histogram.observe(began.elapsed());
        });
    });
    criterion.final_summary();
}
