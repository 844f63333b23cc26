//! What saving a record costs on each engine, in batches of a hundred and of four thousand: of one
//! user to one destination, and of a thousand users to ten thousand destinations, fifty thousand a
//! second by their own times.
//!
//! `cargo bench -p rustsocks-storage`; the time is per record, its share of the commit and the
//! sync included.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

#[path = "../tests/support/server.rs"]
mod server;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use criterion::{Criterion, Throughput};
use rustsocks_sessions::Record;
use rustsocks_storage::{Durability, SqliteStore, Store};
use rustsocks_testkit::Kind;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::Instant;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = Runtime::new().unwrap();
    let folder = TempDir::new().unwrap();
    let options = support::options(&folder.path().join("sessions.db"), Durability::Full);
    let (sqlite, _) = runtime.block_on(SqliteStore::open(&options)).unwrap();
    let stores = [
        sqlite.into(),
        runtime.block_on(server::on_server(Kind::MariaDb)),
        runtime.block_on(server::on_server(Kind::Postgres)),
    ];
    for store in stores {
        measure(&mut criterion, &runtime, &store);
    }
    criterion.final_summary();
}

fn one_of_few(number: u64) -> Record {
    support::ended(number, 2000)
}

fn one_of_many(number: u64) -> Record {
    let random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let start = i64::try_from(number / 50).unwrap();
    Record {
        user: format!("user-{}", random % 1000).into(),
        dest_host: Some(format!("host-{}.example", random / 1000 % 10_000).into()),
        egress_port: Some((random % 28_000 + 32_768) as u16),
        start_time: support::at(start),
        ..support::ended(number, start + 3000)
    }
}

fn measure(criterion: &mut Criterion, runtime: &Runtime, store: &Store) {
    let mut next = 0;
    let mut group = criterion.benchmark_group(store.engine());
    group.throughput(Throughput::Elements(1)).sample_size(20);
    let makers = [("", one_of_few as fn(u64) -> Record), (", many names", one_of_many)];
    for ((names, make), size) in makers.into_iter().flat_map(|maker| [(maker, 100), (maker, 4096)])
    {
        group.bench_function(format!("batch of {size}{names}"), |bench| {
            bench.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds.div_ceil(size) {
                    // New ids: steady state is inserting, not updating.
                    let records: Vec<_> = (next..next + size).map(make).collect();
                    next += size;
                    let began = Instant::now();
                    runtime.block_on(store.save(&records)).unwrap();
                    total += began.elapsed();
                }
                total.mul_f64(rounds as f64 / (rounds.div_ceil(size) * size) as f64)
            });
        });
    }
    group.finish();
}
