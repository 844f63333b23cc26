//! The ledger under an operator's hands: locked, restarted, switched to memory, read by others.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rustsocks_proto::Command;
use rustsocks_testkit::client::{Client, at};
use rustsocks_testkit::{Proxy, eventually};
use tokio::time::Instant;

use super::{listener, proxy, some_sessions, verify};

/// Another program that holds a database for itself, until this is dropped.
pub(crate) struct Holder(Child);

/// Holds a database in an exclusive transaction.
pub(crate) fn hold(database: &Path) -> Holder {
    let mut tool = Process::new("sqlite3")
        .arg(database)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let words = b".timeout 10000\nBEGIN EXCLUSIVE; SELECT 'held';\n";
    tool.stdin.as_mut().unwrap().write_all(words).unwrap();
    tool.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    Holder(tool)
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ended = self.0.wait();
    }
}

#[test]
fn a_locked_database_degrades_and_loses_nothing() {
    let proxy = proxy("");
    some_sessions(&proxy, 1);
    eventually("the first record", || (proxy.records().len() == 1).then_some(()));
    let holder = hold(&proxy.folder().join("data/sessions.db"));
    some_sessions(&proxy, 100);
    let health = eventually("degraded", || {
        let health = proxy.get("/health").json();
        (health["status"] == "degraded").then_some(health)
    });
    assert!(health["journal"]["unsaved"].as_u64().unwrap() >= 100, "{health}");
    some_sessions(&proxy, 100);
    drop(holder);
    eventually("recovery", || (proxy.get("/health").json()["status"] == "ok").then_some(()));
    let records = eventually("every record", || {
        let records = proxy.records();
        (records.len() >= 201).then_some(records)
    });
    assert_eq!(records.len(), 201);
    assert!(records.iter().all(|record| super::bytes(record) == (5, 3)));
    let events = proxy.get("/api/telemetry/events?category=storage").json();
    assert_eq!(events.as_array().unwrap().len(), 2, "one each: {events}");
}

/// The published document's statements, word for word.
const ACTIVE: &str = "SELECT user, dest_ip, dest_port, bytes_sent, bytes_received
FROM sessions WHERE status = 'active';";
const REJECTED: &str = "SELECT user, dest_ip, dest_port, acl_rule_matched
FROM sessions WHERE status = 'rejected_by_acl';";
const TOP: &str = "SELECT user,
       SUM(bytes_sent + bytes_received) as total_bytes,
       COUNT(*) as sessions
FROM sessions
GROUP BY user
ORDER BY total_bytes DESC
LIMIT 10;";
const LAST_HOUR: &str = "SELECT * FROM sessions
WHERE datetime(start_time) >= datetime('now', '-1 hour');";
const OVER_TIME: &str = "SELECT
    strftime('%Y-%m-%d %H:00', start_time) as hour,
    COUNT(*) as sessions,
    SUM(bytes_sent + bytes_received) as total_bytes
FROM sessions
WHERE datetime(start_time) >= datetime('now', '-24 hours')
GROUP BY hour
ORDER BY hour;";

/// The published document's commands, word for word.
const COMMANDS: [&str; 3] = [
    "sqlite3 sessions.db \".backup sessions_backup.db\"",
    "sqlite3 sessions.db -csv -header \"SELECT * FROM sessions\" > sessions.csv",
    "sqlite3 sessions.db -csv -header \\\n  \"SELECT user, dest_ip, dest_port, bytes_sent, \
     bytes_received FROM sessions\" \\\n  > traffic_report.csv",
];

/// A proxy whose rules refuse port 9, and the folder in which they are.
fn with_a_rule() -> (Proxy, tempfile::TempDir) {
    let folder = tempfile::TempDir::new().unwrap();
    let rules = folder.path().join("acl.toml");
    let text = "[global]\ndefault_policy = \"allow\"\n[[users]]\nusername = \"anonymous\"\n\
                [[users.rules]]\naction = \"block\"\ndescription = \"no discard\"\n\
                destinations = [\"*\"]\nports = [9]\n";
    std::fs::write(&rules, text).unwrap();
    let rules = rules.display();
    (proxy(&format!("[acl]\nenabled = true\nconfig_file = \"{rules}\"\n")), folder)
}

#[test]
fn the_published_statements_and_commands_give_right_numbers_on_the_live_file() {
    let (proxy, _rules) = with_a_rule();
    some_sessions(&proxy, 7);
    let refused = "127.0.0.1:9".parse().unwrap();
    Client::socks5(proxy.socks(), Command::Connect, &at(refused)).refused();
    let (target, address) = listener();
    let _running = Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
    let _peer = target.accept().unwrap();
    let folder = proxy.folder().join("data");
    let ask = |sql: &str| {
        let mut tool = Process::new("sqlite3");
        let output = tool.current_dir(&folder).args(["sessions.db", sql]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    eventually("nine rows, eight of them ended", || {
        (ask("SELECT COUNT(*), COUNT(end_time) FROM sessions") == "9|8").then_some(())
    });
    assert_eq!(ask(ACTIVE), format!("anonymous|127.0.0.1|{}|0|0", address.port()));
    assert_eq!(ask(REJECTED), "anonymous|127.0.0.1|9|no discard");
    assert_eq!(ask(TOP), "anonymous|56|9");
    assert_eq!(ask(LAST_HOUR).lines().count(), 9);
    let mut sums = (0, 0);
    for line in ask(OVER_TIME).lines() {
        let fields: Vec<&str> = line.split('|').collect();
        assert!(fields[0].len() == 16 && fields[0].ends_with(":00"), "{line}");
        let number = |nth: usize| fields[nth].parse::<u64>().unwrap();
        sums = (sums.0 + number(1), sums.1 + number(2));
    }
    assert_eq!(sums, (9, 56));
    for command in COMMANDS {
        let status = Process::new("sh").args(["-c", command]).current_dir(&folder).status();
        assert!(status.unwrap().success(), "{command}");
    }
    let count = "SELECT COUNT(*), SUM(bytes_sent) FROM sessions";
    let mut tool = Process::new("sqlite3");
    let copy = tool.current_dir(&folder).args(["sessions_backup.db", count]).output().unwrap();
    assert_eq!(String::from_utf8(copy.stdout).unwrap(), "9|35\n");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(read("sessions.csv").lines().count(), 10);
    assert!(read("sessions.csv").starts_with("session_id,user,start_time,"));
    let report = read("traffic_report.csv");
    assert!(report.starts_with("user,dest_ip,dest_port,bytes_sent,bytes_received"), "{report}");
    assert_eq!(report.lines().filter(|line| line.trim().ends_with(",5,3")).count(), 7, "{report}");
    assert_eq!(ask("PRAGMA integrity_check;"), "ok");
}

#[test]
fn memory_makes_no_file_and_stays_bounded() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\nmemory_max_sessions = 50\n");
    some_sessions(&proxy, 120);
    eventually("the records", || (proxy.metric("rustsocks_outbox_unsaved") == 0).then_some(()));
    assert_eq!(proxy.records().len(), 50);
    let files: Vec<_> = std::fs::read_dir(proxy.folder()).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
}

#[test]
fn without_sessions_nothing_is_kept_and_clients_are_served() {
    let proxy = proxy("[sessions]\nenabled = false\n");
    some_sessions(&proxy, 3);
    assert!(proxy.records().is_empty());
    assert_eq!(proxy.get("/health").json()["storage"]["engine"], "off");
}

#[test]
fn old_records_are_forgotten_and_running_sessions_never() {
    let mut proxy = proxy("[sessions]\nretention_days = 1\n");
    some_sessions(&proxy, 3);
    eventually("the records", || (proxy.records().len() == 3).then_some(()));
    assert_eq!(proxy.terminate(), Some(0));
    let age = "UPDATE sessions SET end_time = '2020-01-01T00:00:00.000+00:00' \
               WHERE rowid <= 2";
    let database = proxy.folder().join("data/sessions.db");
    assert!(Process::new("sqlite3").arg(database).arg(age).status().unwrap().success());
    proxy.restart();
    eventually("the clean-up", || (proxy.records().len() == 1).then_some(()));
}

#[test]
fn what_is_deleted_for_its_age_is_in_the_archive_first() {
    for (format, lines) in [("ndjson", 2), ("csv", 3)] {
        let mut proxy = proxy(&format!(
            "[sessions]\nretention_days = 1\narchive_dir = \"archive\"\n\
             archive_format = \"{format}\"\n"
        ));
        some_sessions(&proxy, 3);
        eventually("the records", || (proxy.records().len() == 3).then_some(()));
        assert_eq!(proxy.terminate(), Some(0));
        let age = "UPDATE sessions SET end_time = '2020-01-01T00:00:00.000+00:00', \
                   close_detail = 'a,\"b' || char(10) || 'c' WHERE rowid <= 2";
        let database = proxy.folder().join("data/sessions.db");
        assert!(Process::new("sqlite3").arg(database).arg(age).status().unwrap().success());
        proxy.restart();
        eventually("the clean-up", || (proxy.records().len() == 1).then_some(()));
        let file = proxy.folder().join(format!("archive/sessions-2020-01-01.{format}.zst"));
        let output = Process::new("zstd").args(["-d", "-c"]).arg(file).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("127.0.0.1"), "{text}");
        if format == "ndjson" {
            assert_eq!(text.lines().count(), lines, "{text}");
            for line in text.lines() {
                let row: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!(row["close_detail"], "a,\"b\nc");
            }
        } else {
            let asked =
                "import csv,sys; print([r['close_detail'] for r in csv.DictReader(sys.stdin)])";
            let mut python = Process::new("python3")
                .args(["-c", asked])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
            let said = String::from_utf8(python.wait_with_output().unwrap().stdout).unwrap();
            assert_eq!(said.matches("a,\"b\\nc").count(), 2, "{said}");
        }
    }
}

/// Memory that a process holds, in bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Sessions one after another until told to stop; how long each took.
fn rush(proxy: std::net::SocketAddr, port: u16, stop: &AtomicBool) -> Vec<Duration> {
    let mut took = Vec::new();
    while !stop.load(Relaxed) {
        let began = Instant::now();
        let address = ([127, 0, 0, 1], port).into();
        let mut client = Client::socks5(proxy, Command::Connect, &at(address)).granted();
        client.send(b"12345");
        client.stream.read_exact(&mut [0; 3]).unwrap();
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(client.stream.read(&mut [0; 1]).unwrap(), 0);
        took.push(began.elapsed());
    }
    took
}

/// Runs [`rush`] on some threads for a while.
fn rush_for(proxy: &Proxy, port: u16, time: Duration) -> Vec<Duration> {
    let stop = AtomicBool::new(false);
    let socks = proxy.socks();
    std::thread::scope(|scope| {
        let rushing: Vec<_> = (0..4).map(|_| scope.spawn(|| rush(socks, port, &stop))).collect();
        std::thread::park_timeout(time);
        stop.store(true, Relaxed);
        rushing.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// `RUSTSOCKS_OUTAGE_SECS=60 cargo test --release -p rustsocks --test stories an_outage -- --nocapture`
/// prints what docs/manual/durability.md says.
#[test]
fn an_outage_holds_nobody_up_and_memory_stays_bounded() {
    let secs = std::env::var("RUSTSOCKS_OUTAGE_SECS").map_or(2, |text| text.parse().unwrap());
    let outage = Duration::from_secs(secs);
    let (target, address) = listener();
    std::thread::spawn(move || {
        for mut stream in target.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let _cut = stream.read_exact(&mut [0; 5]);
                let _cut = stream.write_all(b"123");
                let _cut = stream.read(&mut [0; 1]);
            });
        }
    });
    let proxy = proxy("");
    let normal = rush_for(&proxy, address.port(), outage.max(Duration::from_secs(2)) / 2);
    eventually("the first records", || {
        (proxy.metric("rustsocks_outbox_unsaved") == 0).then_some(())
    });
    let before = resident(proxy.pid());
    let holder = hold(&proxy.folder().join("data/sessions.db"));
    let during = rush_for(&proxy, address.port(), outage);
    let grown = resident(proxy.pid()).saturating_sub(before);
    let health = proxy.get("/health").json();
    drop(holder);
    let released = Instant::now();
    eventually("everything saved", || {
        (proxy.metric("rustsocks_outbox_unsaved") == 0).then_some(())
    });
    let drained = released.elapsed();
    let p99 = |took: &[Duration]| {
        let mut sorted = took.to_vec();
        sorted.sort_unstable();
        sorted[sorted.len() * 99 / 100]
    };
    println!(
        "outage {outage:?}: {} sessions before it, p99 {:?}; {} during it, p99 {:?}; memory grew \
         by {} KiB; journal {}; drained in {drained:?}",
        normal.len(),
        p99(&normal),
        during.len(),
        p99(&during),
        grown / 1024,
        health["journal"]
    );
    assert_eq!(health["storage"]["status"], "degraded");
    assert!(grown < 100 << 20, "memory grew by {grown} bytes");
    let count = "SELECT count(*), count(DISTINCT session_id), sum(bytes_sent), \
                 sum(bytes_received) FROM sessions WHERE status = 'closed'";
    let database = proxy.folder().join("data/sessions.db");
    let output = Process::new("sqlite3").arg(database).arg(count).output().unwrap();
    let all = normal.len() + during.len();
    let wanted = format!("{all}|{all}|{}|{}\n", 5 * all, 3 * all);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), wanted);
    verify::says(&proxy, 0);
}

/// Asks for so many destinations that nobody else asks for, on four threads; tells them, sorted.
fn refused(proxy: &Proxy, port: u16, first: u32, count: u32) -> Vec<String> {
    let ask = |nth: u32| {
        let [_, a, b, c] = nth.to_be_bytes();
        let address = std::net::SocketAddr::from(([127, a, b, c], port));
        Client::socks5(proxy.socks(), Command::Connect, &at(address)).refused();
        address.ip().to_string()
    };
    let end = first + count;
    let mut asked: Vec<String> = std::thread::scope(|scope| {
        let part = |nth: u32| (first + nth..end).step_by(4).map(ask).collect::<Vec<_>>();
        let asking: Vec<_> = (0..4).map(|nth| scope.spawn(move || part(nth))).collect();
        asking.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    asked.sort_unstable();
    eventually("the end of every session", || {
        (proxy.get("/health").json()["active_sessions"] == 0).then_some(())
    });
    asked
}

#[test]
fn what_a_long_outage_has_left_on_disk_alone_is_in_lists_and_exports() {
    let (closed, nowhere) = listener();
    drop(closed);
    let proxy = proxy("");
    let holder = hold(&proxy.folder().join("data/sessions.db"));
    // As many as memory keeps, and some more.
    refused(&proxy, nowhere.port(), 256, 51_000);
    let newest = proxy.get("/api/sessions/history?page_size=1&sort_by=start_time").json();
    let newest = newest["data"][0]["start_time"].as_str().unwrap().replace('+', "%2B");
    let asked = refused(&proxy, nowhere.port(), 100_000, 3000);
    let spilled = proxy.get("/health").json()["journal"]["spilled"].as_u64().unwrap();
    assert!(spilled >= 3000, "{spilled} are on disk alone");
    let export = format!("/api/sessions/export?format=ndjson&start_after={newest}");
    let during = proxy.get(&export);
    let destination = |line: &str| -> String {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        record["dest_ip"].as_str().unwrap().to_owned()
    };
    let mut exported: Vec<String> = during.body.lines().map(destination).collect();
    exported.sort_unstable();
    // The newest of the first ones is there too: the time is one that it may have.
    exported.retain(|destination| destination.starts_with("127.1."));
    assert!(exported == asked, "{} of {}", exported.len(), asked.len());
    let last = proxy.get("/api/sessions/history?page_size=1").json();
    assert_eq!(last["total"], 54_000);
    let last = &last["data"][0];
    let one = proxy.get(&format!("/api/sessions/{}", last["session_id"].as_str().unwrap())).json();
    assert_eq!(&one, last);
    let found = format!("/api/sessions/history?dest_ip={}", asked[0]);
    assert_eq!(proxy.get(&found).json()["total"], 1);
    drop(holder);
    eventually("everything saved", || {
        (proxy.metric("rustsocks_outbox_unsaved") == 0).then_some(())
    });
    assert!(proxy.get(&export).body == during.body, "the store says the same, in the same order");
    assert_eq!(proxy.get(&found).json()["total"], 1);
    verify::says(&proxy, 0);
}
