//! What one event of a session costs: opening, one packet, closing (CONTRACT, as 99th percentiles:
//! < 2 µs, < 20 ns, < 5 µs). Means from criterion, then percentiles.
//!
//! `cargo bench -p rustsocks-sessions`

#![expect(clippy::print_stdout, reason = "a benchmark")]

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use rustsocks_proto::{Command, Host, Target};
use rustsocks_sessions::{
    AclOutcome, Clock, CloseReason, Identity, OpenSession, Opening, Rules, Table,
};
use tokio::time::Instant;

fn opening() -> Opening {
    Opening {
        identity: Identity::Authenticated("alice".into()),
        source: ([127, 0, 0, 1], 4000).into(),
        target: Some(Target { host: Host::Ip([192, 0, 2, 1].into()), port: 443 }),
        command: Some(Command::Connect),
        acl: AclOutcome::Allowed(Some("all".into())),
    }
}

/// A table with as many live sessions as a busy gateway has.
fn busy() -> (Table, Vec<OpenSession>) {
    let rules = Rules { max_unsaved: usize::MAX, ..Rules::default() };
    let table = Table::new(Clock::system(), "node".into(), rules);
    let live = (0..10_000).map(|_| table.open(opening())).collect();
    (table, live)
}

/// Takes what was queued off the table, as the recorder does.
fn settle(table: &Table) {
    let batch = table.outbox().take(usize::MAX);
    table.saved(batch.iter().filter(|session| session.has_ended()), |_| {});
}

/// Times `work` on so many sessions, a thousand at a time, and takes them off the table outside
/// of the time: a table that only ever grows would measure its own growth.
fn timed<T>(table: &Table, rounds: u64, work: impl Fn(Vec<Opening>) -> (Duration, T)) -> Duration {
    let mut total = Duration::ZERO;
    let mut left = rounds;
    while left > 0 {
        let count = left.min(1000);
        let openings = (0..count).map(|_| opening()).collect();
        let (elapsed, sessions) = work(openings);
        total += elapsed;
        drop(sessions);
        settle(table);
        left -= count;
    }
    total
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let (table, _live) = busy();
    criterion.bench_function("open", |bench| {
        bench.iter_custom(|rounds| {
            timed(&table, rounds, |openings| {
                let began = Instant::now();
                let opened: Vec<_> = openings.into_iter().map(|one| table.open(one)).collect();
                (began.elapsed(), opened)
            })
        });
    });
    criterion.bench_function("close", |bench| {
        bench.iter_custom(|rounds| {
            timed(&table, rounds, |openings| {
                let opened: Vec<_> = openings.into_iter().map(|one| table.open(one)).collect();
                let began = Instant::now();
                for session in opened {
                    session.finish(CloseReason::ClientClosed, None);
                }
                (began.elapsed(), ())
            })
        });
    });
    let session = table.open(opening());
    session.relaying();
    criterion.bench_function("packet", |bench| bench.iter(|| session.count_sent(black_box(1400))));
    criterion.final_summary();
    percentiles(&table, &session);
}

/// Events of which a percentile is taken.
const EVENTS: usize = 200_000;

/// Packets that are timed together: one alone takes less than reading the clock does.
const PACKETS: u32 = 64;

/// Prints medians and 99th percentiles; the time it takes to read the clock is in those of one
/// event.
fn percentiles(table: &Table, session: &OpenSession) {
    let mut took: [Vec<Duration>; 4] = Default::default();
    for _ in 0..EVENTS / 1000 {
        let mut opened = Vec::with_capacity(1000);
        for _ in 0..1000 {
            let opening = opening();
            let began = Instant::now();
            let session = table.open(opening);
            took[0].push(began.elapsed());
            opened.push(session);
        }
        for session in opened {
            let began = Instant::now();
            session.finish(CloseReason::ClientClosed, None);
            took[1].push(began.elapsed());
        }
        settle(table);
    }
    for _ in 0..EVENTS {
        let began = Instant::now();
        for _ in 0..PACKETS {
            session.count_sent(black_box(1400));
        }
        took[2].push(began.elapsed() / PACKETS);
        let began = Instant::now();
        took[3].push(began.elapsed());
    }
    for (name, mut took) in ["open", "close", "packet", "nothing"].into_iter().zip(took) {
        took.sort_unstable();
        let at = |part: usize| took[took.len() * part / 100];
        println!("{name}: median {:?}, 99th percentile {:?}", at(50), at(99));
    }
}
