//! What asking costs at a million sessions, per engine: statistics, failures, history, "who was
//! this", and reading everything as an export does.
//!
//! `cargo bench -p rustsocks-storage --bench asking`; `-- 100000` takes another number of sessions,
//! `-- 100000 sqlite` one engine alone. Each figure is over 300 questions, or those of ten seconds, while
//! nothing is written, and for the statistics once more while records of a hundred sessions are saved
//! between two questions.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

#[path = "../tests/support/server.rs"]
mod server;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use rustsocks_sessions::{Clock, Record, Rules, Status, Table};
use rustsocks_storage::{Durability, Filter, Paging, Sort, SqliteStore, Store, WindowQuery};
use rustsocks_testkit::Kind;
use tempfile::TempDir;
use tokio::time::Instant;

const QUESTIONS: usize = 300;
const MOST_TIME: Duration = Duration::from_secs(10);
const USERS: u64 = 1000;
const DESTINATIONS: u64 = 10_000;
const DAY_MS: u64 = 86_400_000;

/// A session of a day with a million of them: a few users and destinations have most of them.
fn session(number: u64, sessions: u64) -> Record {
    let mut random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    random ^= random >> 29;
    let skewed = |random: u64, most: u64| {
        let part = (random % 10_000) as f64 / 10_000.0;
        (part * part * most as f64) as u64
    };
    let start = i64::try_from(number * DAY_MS / sessions).unwrap();
    let host = format!("host-{}.example", skewed(random >> 8, DESTINATIONS));
    Record {
        user: format!("user-{}", skewed(random >> 24, USERS)).into(),
        start_time: support::at(start),
        end_time: Some(support::at(start + 3000)),
        duration: Some(Duration::from_secs(3)),
        dest_host: Some(host.into()),
        bytes_sent: random % 10_000,
        bytes_received: random % 1_000_000,
        egress_port: Some((random % 60_000) as u16),
        source_ip: std::net::Ipv4Addr::from((random >> 40) as u32 % 5000 + 0x0A00_0000).into(),
        updated_at: support::at(start + 3000),
        status: if random.is_multiple_of(50) { Status::Failed } else { Status::Closed },
        ..support::ended(number, start + 3000)
    }
}

fn table() -> Table {
    let rules = Rules {
        accounting: true,
        publish_every: 10,
        interim: Duration::from_secs(5),
        idle: None,
        half_closed: None,
        max_unsaved: 1000,
        max_user_labels: 10,
    };
    Table::new(Clock::from_wall(|| support::at(0)), "node".into(), rules)
}

/// The median, the 99th percentile and the largest.
fn shown(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
    format!("p50 {:8.3} ms, p99 {:8.3} ms, max {:8.3} ms", at(50), at(99), at(100))
}

async fn measure(store: &Store, sessions: u64) {
    let engine = store.engine();
    let (began, spent) = (Instant::now(), processor_time());
    for first in (0..sessions).step_by(4096) {
        let last = (first + 4096).min(sessions);
        let records: Vec<Record> = (first..last).map(|number| session(number, sessions)).collect();
        store.save_batch(&records, 0, |_| {}).await.unwrap();
    }
    let took = began.elapsed().as_secs_f64();
    let each = (processor_time() - spent).as_secs_f64() * 1e6 / sessions as f64;
    let rate = sessions as f64 / took;
    println!(
        "{engine}: {sessions} sessions saved in {took:.1} s, {rate:.0}/s, {each:.0} \u{b5}s of CPU each"
    );
    let table = table();
    let day = i64::try_from(DAY_MS).unwrap();
    let ask = async |hours: u64, now: i64| {
        let query = WindowQuery { hours, top: 10, now: support::at(now) };
        let began = Instant::now();
        let told = store.statistics(query, &table).await.unwrap();
        (began.elapsed(), told)
    };
    for hours in [24, 1, 168] {
        let (first, told) = ask(hours, day).await;
        let ms = first.as_secs_f64() * 1e3;
        let count = told.total.sessions;
        println!("{engine}: statistics of {hours} h ({count} sessions), first {ms:.1} ms");
        let (mut took, mut turns) = (Vec::new(), Vec::new());
        for question in 0..QUESTIONS {
            // A question every two seconds; at each minute's turn what left the window is taken off.
            let now = day + question as i64 * 2000;
            if now % 60_000 == 2000 {
                let began = Instant::now();
                store.advance(support::at(now - 1999), &table).await;
                turns.push(began.elapsed());
            }
            took.push(ask(hours, now).await.0);
        }
        println!("{engine}: statistics of {hours} h: {}", shown(took));
        println!("{engine}: the turn of a minute: {}", shown(turns));
    }
    let mut took = Vec::new();
    for question in 0..QUESTIONS as u64 {
        let first = sessions + question * 100;
        let records: Vec<Record> =
            (first..first + 100).map(|number| session(number, sessions)).collect();
        store.save_batch(&records, 0, |_| {}).await.unwrap();
        took.push(ask(24, day + QUESTIONS as i64 * 2000).await.0);
    }
    println!("{engine}: statistics of 24 h between saves: {}", shown(took));
    let mut took = Vec::new();
    for _ in 0..QUESTIONS {
        let query = WindowQuery { hours: 24, top: 10, now: support::at(day) };
        let began = Instant::now();
        store.failures(query, &table).await.unwrap();
        took.push(began.elapsed());
    }
    println!("{engine}: failures of 24 h: {}", shown(took));
    let some = session(sessions / 2, sessions);
    let filters = [
        ("history, newest", Filter::default()),
        ("history of a user", Filter { user: Some("user-7".into()), ..Filter::default() }),
        (
            "history of a name",
            Filter { dest: Some("host-9000.example".into()), ..Filter::default() },
        ),
        ("history of a client", Filter { source_ip: Some(some.source_ip), ..Filter::default() }),
        (
            "who was this",
            Filter {
                egress_ip: some.egress_ip,
                egress_port: some.egress_port,
                at: Some(some.start_time),
                ..Filter::default()
            },
        ),
    ];
    for (name, filter) in filters {
        let mut took = Vec::new();
        let mut total = 0;
        let beginning = Instant::now();
        while took.len() < QUESTIONS && beginning.elapsed() < MOST_TIME {
            let began = Instant::now();
            let page = store.history(&filter, Sort::default(), Paging::Page(0), 50).await.unwrap();
            took.push(began.elapsed());
            total = page.total;
        }
        let questions = took.len();
        println!("{engine}: {name} ({total} found, {questions} times): {}", shown(took));
    }
    let before = resident();
    let began = Instant::now();
    let (mut rows, mut behind, mut most) = (0, None, before);
    loop {
        let page = store.walk(&Filter::default(), behind, 1000, &table).await.unwrap();
        rows += page.records.len();
        most = resident().max(most);
        let Some(next) = page.next else { break };
        behind = Some(next);
    }
    let took = began.elapsed().as_secs_f64();
    let rate = rows as f64 / took;
    let grown = (most - before) >> 10;
    println!("{engine}: reading {rows} sessions in {took:.1} s, {rate:.0}/s, {grown} KiB more");
}

/// Processor time of this process so far; a database server's is not in it.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// Memory that this process holds, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let sessions = words.iter().find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let wanted = |engine: &str| {
        let named = ["sqlite", "mariadb", "postgres"];
        let named = words.iter().find(|word| named.contains(&word.as_str()));
        named.is_none_or(|named| named == engine)
    };
    if wanted("sqlite") {
        let folder = TempDir::new().unwrap();
        let options = support::options(&folder.path().join("sessions.db"), Durability::Full);
        let (sqlite, _) = SqliteStore::open(&options).await.unwrap();
        measure(&sqlite.into(), sessions).await;
    }
    if wanted("mariadb") {
        measure(&server::on_server(Kind::MariaDb).await, sessions).await;
    }
    if wanted("postgres") {
        measure(&server::on_server(Kind::Postgres).await, sessions).await;
    }
}
