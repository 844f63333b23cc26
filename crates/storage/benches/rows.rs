//! What saving a record costs on each engine, in batches of a hundred and of four thousand.
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
use rustsocks_storage::{Durability, MOST_NOTED, SqliteStore, Store};
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

fn measure(criterion: &mut Criterion, runtime: &Runtime, store: &Store) {
    let mut next = 0;
    let mut group = criterion.benchmark_group(store.engine());
    group.throughput(Throughput::Elements(1)).sample_size(20);
    for size in [100, 4096_u64] {
        group.bench_function(format!("batch of {size}"), |bench| {
            bench.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds.div_ceil(size) {
                    // New ids: steady state is inserting, not updating.
                    let records: Vec<_> =
                        (next..next + size).map(|number| support::ended(number, 2000)).collect();
                    next += size;
                    let began = Instant::now();
                    runtime.block_on(store.save(&records)).unwrap();
                    runtime.block_on(store.fold(MOST_NOTED)).unwrap();
                    total += began.elapsed();
                }
                total.mul_f64(rounds as f64 / (rounds.div_ceil(size) * size) as f64)
            });
        });
    }
    group.finish();
}
