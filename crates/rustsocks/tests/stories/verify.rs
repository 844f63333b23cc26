//! `rustsocks db verify` beside a running process: rows, rollups and counters since the start.

use std::path::Path;
use std::process::{Command as Process, Output};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustsocks_proto::Command;
use rustsocks_testkit::client::{Client, at};
use rustsocks_testkit::{Proxy, eventually};
use tempfile::TempDir;

use super::ledger::hold;
use super::{listener, proxy, some_sessions};

fn verify(proxy: &Proxy, api: &str) -> Output {
    Process::new(env!("CARGO_BIN_EXE_rustsocks"))
        .args(["--config", "rustsocks.toml", "db", "verify"])
        .env("RUSTSOCKS_API", api)
        .env_remove("RUSTSOCKS_TOKEN")
        .current_dir(proxy.folder())
        .output()
        .unwrap()
}

/// Verifies, beside this process, with this exit code; gives what is said of the process.
pub(crate) fn says(proxy: &Proxy, code: i32) -> String {
    let output = verify(proxy, &proxy.api().to_string());
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    let line = said.lines().find(|line| line.contains(&proxy.api().to_string()));
    line.unwrap_or_else(|| panic!("{said}")).to_owned()
}

fn sql(database: &Path, text: &str) -> String {
    let words = [".timeout 10000", text];
    let output = Process::new("sqlite3").arg(database).args(words).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// One session each that fails, is refused, and runs on with seven bytes sent.
fn of_each_kind(proxy: &Proxy) -> Client {
    let (closed, nowhere) = listener();
    drop(closed);
    Client::socks5(proxy.socks(), Command::Connect, &at(nowhere));
    Client::socks5(proxy.socks(), Command::Connect, &at("127.0.0.2:9".parse().unwrap()));
    let (target, address) = listener();
    let mut running = Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
    running.send(b"1234567");
    let (peer, _) = target.accept().unwrap();
    std::thread::spawn(move || std::io::copy(&mut &peer, &mut std::io::sink()));
    eventually("its bytes", || {
        let active = proxy.active();
        active.iter().any(|one| one["bytes_sent"] == 7).then_some(())
    });
    running
}

const RULES: &str = "[global]\ndefault_policy = \"allow\"\n[[users]]\nusername = \"anonymous\"\n\
                     [[users.rules]]\naction = \"block\"\ndescription = \"no\"\n\
                     destinations = [\"127.0.0.2\"]\nports = [\"*\"]\nprotocols = [\"both\"]\npriority = 1\n";

fn with_rules() -> (Proxy, TempDir) {
    let folder = TempDir::new().unwrap();
    let rules = folder.path().join("acl.toml");
    std::fs::write(&rules, RULES).unwrap();
    let config = format!("[acl]\nenabled = true\nconfig_file = \"{}\"\n", rules.display());
    (proxy(&config), folder)
}

#[test]
fn rows_rollups_and_counters_agree_under_traffic_after_a_crash_and_while_records_wait() {
    let (mut proxy, _rules) = with_rules();
    // What an earlier run left is not this run's.
    some_sessions(&proxy, 20);
    let left = of_each_kind(&proxy);
    eventually("the running session in the store", || {
        let database = proxy.folder().join("data/sessions.db");
        (sql(&database, "SELECT COUNT(*) FROM sessions") == "23").then_some(())
    });
    proxy.kill();
    drop(left);
    proxy.restart();
    let stop = AtomicBool::new(false);
    let relayed = std::thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let mut count = 0;
            while !stop.load(Relaxed) {
                count += some_sessions(&proxy, 10).len();
            }
            count
        });
        let agreed: Vec<String> = (0..10).map(|_| says(&proxy, 0)).collect();
        stop.store(true, Relaxed);
        for line in agreed {
            assert!(line.contains("has counted what the rows give since its start"), "{line}");
        }
        traffic.join().unwrap()
    });
    let running = of_each_kind(&proxy);
    let all = relayed + 3;
    let sent = 5 * relayed + 7;
    let received = 3 * relayed;
    let whole = format!("{all} sessions, 1 failed, 1 rejected, {sent} bytes sent, {received}");
    eventually("every state in the store", || says(&proxy, 0).contains(&whole).then_some(()));
    // The same as the published counters, which move twice a second.
    let published = ["sessions", "bytes_sent", "bytes_received"];
    eventually("the published counters", || {
        let metrics = published.map(|name| proxy.metric(&format!("rustsocks_{name}_total")));
        (metrics == [all, sent, received].map(|count| count as u64)).then_some(())
    });
    // What waits for the store is not held against the rows.
    let holder = hold(&proxy.folder().join("data/sessions.db"));
    some_sessions(&proxy, 30);
    drop(running);
    eventually("the end of every session", || proxy.active().is_empty().then_some(()));
    assert!(says(&proxy, 0).contains(&whole), "nothing of it is in the store");
    drop(holder);
    let all = format!("{} sessions", all + 30);
    eventually("every record in the store", || says(&proxy, 0).contains(&all).then_some(()));
}

#[test]
fn a_row_that_somebody_deletes_or_changes_disagrees_with_rollups_and_counters() {
    let proxy = proxy("");
    some_sessions(&proxy, 10);
    eventually("every record in the store", || {
        says(&proxy, 0).contains("10 sessions, 0 failed, 0 rejected, 50 bytes sent").then_some(())
    });
    let database = proxy.folder().join("data/sessions.db");
    sql(&database, "DELETE FROM sessions WHERE rowid = 4");
    let both = "has counted since its start: 10 sessions, 0 failed, 0 rejected, 50 bytes sent, \
                30 received; the rows since then give: 9 sessions, 0 failed, 0 rejected, \
                45 bytes sent, 27 received";
    let line = says(&proxy, 1);
    assert!(line.contains(both), "{line}");
    let whole = verify(&proxy, &proxy.api().to_string()).stdout;
    let whole = String::from_utf8(whole).unwrap();
    assert!(whole.contains("the first is dest \"127.0.0.1:"), "{whole}");
    // Whoever adjusts the rollups too is still found out.
    sql(&database, "DELETE FROM rollups; INSERT INTO rollups SELECT * FROM rollups_recounted");
    let line = says(&proxy, 1);
    assert!(line.contains(both), "{line}");
    sql(&database, "UPDATE sessions SET bytes_sent = bytes_sent + 5 WHERE rowid = 5");
    let line = says(&proxy, 1);
    assert!(line.contains("give: 9 sessions, 0 failed, 0 rejected, 50 bytes sent, 27"), "{line}");
}

#[test]
fn where_no_process_can_be_asked_verify_says_so_and_goes_by_the_rows() {
    let mut proxy = proxy(
        "[sessions]\n[sessions.dashboard_auth]\nenabled = true\n\
         [[sessions.dashboard_auth.users]]\nusername = \"admin\"\npassword = \"hunter2hunter2\"\n",
    );
    some_sessions(&proxy, 3);
    let part = |api: &str, part: &str| {
        let output = verify(&proxy, api);
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        let line = said.lines().last().unwrap().to_owned();
        assert!(line.starts_with("not compared with a running process: "), "{said}");
        assert!(line.contains(part), "{line}");
    };
    let (closed, address) = listener();
    drop(closed);
    part(&address.to_string(), "is the server running?");
    part("", "stats_api_port = 0 can be any port; say it with --api");
    part(&proxy.api().to_string(), "RUSTSOCKS_TOKEN");
    // Another process that writes into another database is not taken for this one.
    let other = super::proxy("");
    some_sessions(&other, 1);
    part(&other.api().to_string(), "into another database");
    assert_eq!(proxy.terminate(), Some(0));
}
