//! Exports: every row once, exactly as the ledger has it, whatever is in it, in constant memory.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use rustsocks_proto::Command;
use rustsocks_testkit::client::{Client, at};
use rustsocks_testkit::{PATIENCE, Proxy, eventually};

use super::{listener, proxy};

const EXPORT: &str = "/api/sessions/export";

fn database(proxy: &Proxy) -> PathBuf {
    proxy.folder().join("data/sessions.db")
}

fn sqlite3(database: &Path, words: &[&str]) -> String {
    let output = Process::new("sqlite3").arg(database).args(words).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Writes so many ended sessions into a database, a second apart.
fn fill(database: &Path, count: usize) {
    let sql = format!(
        "PRAGMA busy_timeout = 20000; \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
         INSERT INTO sessions (session_id, user, start_time, end_time, duration_secs, \
         duration_ms, source_ip, source_port, dest_ip, dest_port, dest_host, protocol, command, \
         bytes_sent, bytes_received, packets_sent, packets_received, status, close_reason, \
         node_id, updated_at, egress_ip, egress_port, connect_ms) \
         SELECT printf('01a209d1-312c-7766-9078-%012x', i), 'user-' || (i % 100), \
         strftime('%Y-%m-%dT%H:%M:%S.000+00:00', 1767225600 + i, 'unixepoch'), \
         strftime('%Y-%m-%dT%H:%M:%S.500+00:00', 1767225601 + i, 'unixepoch'), 1, 1500, \
         '198.51.100.7', 50000, '192.0.2.1', 443, 'host-' || (i % 1000) || '.example', 'tcp', \
         'connect', i, 2 * i, 1, 2, 'closed', 'client_closed', 'filled', \
         strftime('%Y-%m-%dT%H:%M:%S.500+00:00', 1767225601 + i, 'unixepoch'), '203.0.113.5', \
         1024 + i % 60000, 12 FROM n;"
    );
    sqlite3(database, &[&sql]);
}

/// Asks for a path and gives the body, to be read piece by piece; it ends with the connection.
fn open(proxy: &Proxy, path: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(proxy.api()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", proxy.api());
    stream.write_all(head.as_bytes()).unwrap();
    let mut body = BufReader::new(stream);
    let mut line = String::new();
    body.read_line(&mut line).unwrap();
    assert!(line.contains(" 200 "), "{line}");
    while line != "\r\n" {
        line.clear();
        body.read_line(&mut line).unwrap();
    }
    body
}

/// Has Python read both texts as CSV; gives how many rows are the same in both, after the head.
fn same_rows(folder: &Path, left: &str, right: &str) -> usize {
    for (name, text) in [("left.csv", left), ("right.csv", right)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let script = "import csv\n\
        left, right = [list(csv.reader(open(n, newline=''))) for n in ('left.csv', 'right.csv')]\n\
        assert len(left) == len(right), (len(left), len(right))\n\
        for l, r in zip(left, right):\n    assert l == r, (l, r)\n\
        print(len(left) - 1)";
    let output = Process::new("python3").args(["-c", script]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// Every column that an export has, in its order, as SQL.
const COLUMNS: &str = "session_id, user, start_time, end_time, duration_secs, duration_ms, \
    source_ip, source_port, dest_ip, dest_port, dest_host, protocol, command, bytes_sent, \
    bytes_received, packets_sent, packets_received, status, close_reason, close_detail, \
    acl_rule_matched, acl_decision, egress_ip, egress_port, connect_ms, node_id, updated_at";

#[test]
fn an_export_is_the_table_whatever_is_in_it() {
    let proxy = proxy("");
    let database = database(&proxy);
    fill(&database, 2500);
    for (row, text) in [
        "a,\"b\"\"c\"",
        "line\nbreak\r\nand \r return",
        "=1+1",
        "+49 1",
        "-1",
        "@SUM(A1)",
        "\t tab",
        "'; DROP TABLE sessions; --",
        "\u{202E}gnirts\u{202C} \u{200F}עברית",
        "名前 \u{1F600} ünï",
        " leading and trailing ",
        "\"",
        "\\",
    ]
    .iter()
    .enumerate()
    {
        let text = text.replace('\'', "''");
        let sql = format!(
            "PRAGMA busy_timeout = 20000; UPDATE sessions SET user = '{text}', \
             close_detail = '{text}', acl_rule_matched = '{text}', dest_host = '{text}' \
             WHERE bytes_sent = {}",
            row * 7 + 1
        );
        sqlite3(&database, &[&sql]);
    }
    let csv = proxy.get(&format!("{EXPORT}?format=csv"));
    assert!(csv.head.to_ascii_lowercase().contains("content-type: text/csv"), "{}", csv.head);
    assert_eq!(csv.body.lines().next().unwrap(), COLUMNS.replace(", ", ","));
    let sql = format!(
        "SELECT {COLUMNS} FROM sessions WHERE end_time IS NOT NULL \
         ORDER BY end_time DESC, session_id DESC"
    );
    let table = sqlite3(&database, &["-csv", "-header", &sql]);
    assert_eq!(same_rows(&proxy.folder(), &csv.body, &table), 2500);
    let lines = proxy.get(&format!("{EXPORT}?format=ndjson"));
    let told: Vec<serde_json::Value> =
        lines.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told, proxy.records(), "the lists have the same objects");
    let some = proxy.get(&format!("{EXPORT}?format=ndjson&user=%3D1%2B1&min_bytes=1"));
    assert_eq!(some.body.lines().count(), 1);
    let running = proxy.get(&format!("{EXPORT}?format=csv&status=active"));
    assert_eq!(running.body.lines().count(), 1, "the head alone");
    for (elsewhere, name) in [("scope=cluster", "scope: "), ("node=elsewhere", "node: ")] {
        let answer = proxy.get(&format!("{EXPORT}?format=csv&status=active&{elsewhere}"));
        assert_eq!(answer.status, 400, "{elsewhere}: {answer:?}");
        assert!(answer.json()["detail"].as_str().unwrap().starts_with(name), "{answer:?}");
        assert_eq!(proxy.get(&format!("{EXPORT}?format=csv&{elsewhere}")).status, 200);
    }
}

/// `RUSTSOCKS_EXPORT_ROWS=1000000 cargo test --release -p rustsocks --test stories constant_memory
/// -- --nocapture` prints what docs/manual/performance.md says.
#[test]
fn an_export_of_any_length_takes_constant_memory() {
    let rows = std::env::var("RUSTSOCKS_EXPORT_ROWS").map_or(50_000, |text| text.parse().unwrap());
    let proxy = proxy("");
    fill(&database(&proxy), rows);
    // What the first answers of all kinds need is not the export's.
    assert_eq!(proxy.records().len().min(1000), 1000);
    let before = resident(&proxy);
    for format in ["csv", "ndjson"] {
        let began = tokio::time::Instant::now();
        let (mut lines, mut most, mut bytes) = (0, 0, 0);
        for line in open(&proxy, &format!("{EXPORT}?format={format}")).lines() {
            bytes += line.unwrap().len() + 1;
            lines += 1;
            if lines % 5000 == 0 {
                most = resident(&proxy).max(most);
            }
        }
        let grown = most.saturating_sub(before);
        println!(
            "{format}: {rows} rows, {} MiB in {:.1} s, memory grew by {} KiB",
            bytes >> 20,
            began.elapsed().as_secs_f64(),
            grown >> 10
        );
        assert_eq!(lines, rows + usize::from(format == "csv"));
        assert!(grown < 32 << 20, "{grown} bytes");
    }
}

/// Memory that a process holds, in bytes.
fn resident(proxy: &Proxy) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn an_export_whose_store_fails_half_way_is_cut_and_never_looks_whole() {
    let proxy = proxy("");
    let database = database(&proxy);
    fill(&database, 50_000);
    let mut stream = TcpStream::connect(proxy.api()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("GET {EXPORT}?format=ndjson HTTP/1.1\r\nHost: {}\r\n\r\n", proxy.api());
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = vec![0; 4096];
    stream.read_exact(&mut answer).unwrap();
    // More than 30 MB wait: no buffer on the way holds them.
    sqlite3(&database, &["PRAGMA busy_timeout = 20000; ALTER TABLE sessions RENAME TO away"]);
    let _reset = stream.read_to_end(&mut answer);
    assert!(!answer.ends_with(b"0\r\n\r\n"), "it looks whole");
    assert!(answer.len() < 40_000 * 500, "{} bytes", answer.len());
    sqlite3(&database, &["PRAGMA busy_timeout = 20000; ALTER TABLE away RENAME TO sessions"]);
    assert_eq!(proxy.get("/health").status, 200);
    assert_eq!(open(&proxy, &format!("{EXPORT}?format=ndjson")).lines().count(), 50_000);
}

#[test]
fn history_and_exports_hold_what_a_locked_database_does_not_have_yet() {
    let proxy = proxy("");
    let (target, address) = listener();
    let session = |bytes: usize| {
        let mut client = Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
        let (mut peer, _) = target.accept().unwrap();
        client.send(&vec![1; bytes]);
        peer.read_exact(&mut vec![0; bytes]).unwrap();
        drop((client, peer));
        eventually("its end", || proxy.active().is_empty().then_some(()));
    };
    (1..=3).for_each(session);
    eventually("the first records", || {
        let count = sqlite3(&database(&proxy), &["SELECT COUNT(end_time) FROM sessions"]);
        (count == "3\n").then_some(())
    });
    let holder = super::ledger::hold(&database(&proxy));
    (4..=7).for_each(session);
    let check = || {
        let sizes = |query: &str| -> Vec<u64> {
            let page = proxy.get(&format!("/api/sessions/history?{query}")).json();
            let expected = if query.contains("min_bytes=5") { 3 } else { 7 };
            assert_eq!(page["total"], expected, "{query}: {page}");
            let data = page["data"].as_array().unwrap().iter();
            data.map(|record| record["bytes_sent"].as_u64().unwrap()).collect()
        };
        assert_eq!(sizes(""), [7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(sizes("page_size=3&page=2"), [4, 3, 2]);
        assert_eq!(sizes("page_size=2&page=4"), [1]);
        assert_eq!(sizes("sort_by=bytes_sent&sort_dir=asc&page_size=5"), [1, 2, 3, 4, 5]);
        assert_eq!(sizes("min_bytes=5"), [7, 6, 5]);
        let mut query = "page_size=2".to_owned();
        let mut walked = Vec::new();
        loop {
            let page = proxy.get(&format!("/api/sessions/history?{query}")).json();
            let data = page["data"].as_array().unwrap().iter();
            walked.extend(data.map(|record| record["bytes_sent"].as_u64().unwrap()));
            match page["next_cursor"].as_str() {
                Some(cursor) => query = format!("page_size=2&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(walked, [7, 6, 5, 4, 3, 2, 1]);
        let lines = proxy.get(&format!("{EXPORT}?format=ndjson")).body;
        assert_eq!(lines.lines().count(), 7);
    };
    check();
    drop(holder);
    check();
}
