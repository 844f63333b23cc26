//! Stopping: clients finish, the rest is cut, the books are closed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use rustsocks_proto::Command;
use rustsocks_testkit::client::{Client, at};
use rustsocks_testkit::eventually;

use super::ledger::hold;
use super::{bytes, end, listener, proxy, some_sessions};

#[test]
fn clients_may_finish_within_the_grace() {
    let mut proxy = proxy("[server]\nshutdown_grace_secs = 20\n");
    let (target, address) = listener();
    let mut client = Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
    let source = client.source();
    let (mut peer, _) = target.accept().unwrap();
    proxy.signal(Signal::TERM);
    eventually("the listener to close", || {
        std::net::TcpStream::connect(proxy.socks()).is_err().then_some(())
    });
    assert_eq!(proxy.get("/ready").status, 503);
    peer.write_all(b"still here").unwrap();
    client.stream.read_exact(&mut [0; 10]).unwrap();
    drop(client);
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0, "the client's end comes first");
    drop(peer);
    assert_eq!(proxy.wait().code(), Some(0));
    proxy.restart();
    let record = proxy.record_from(source);
    assert_eq!(end(&record), ("closed", "client_closed"));
    assert_eq!(bytes(&record), (0, 10));
}

#[test]
fn a_second_signal_cuts_the_grace_but_not_the_flush() {
    let mut proxy = proxy("[server]\nshutdown_grace_secs = 3600\n");
    let (target, address) = listener();
    let sessions: Vec<_> = (0..50)
        .map(|_| {
            let client = Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
            let (mut peer, _) = target.accept().unwrap();
            peer.write_all(&[1; 1000]).unwrap();
            (client, peer)
        })
        .collect();
    for (client, _) in &sessions {
        (&client.stream).read_exact(&mut [0; 1000]).unwrap();
    }
    proxy.signal(Signal::TERM);
    eventually("the listener to close", || {
        std::net::TcpStream::connect(proxy.socks()).is_err().then_some(())
    });
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0));
    drop(sessions);
    proxy.restart();
    let records = proxy.records();
    assert_eq!(records.len(), 50);
    for record in &records {
        assert_eq!(end(record), ("closed", "server_shutdown"));
        assert_eq!(bytes(record), (0, 1000));
    }
}

#[test]
fn with_the_database_gone_the_stop_leaves_the_journal_and_the_next_start_completes_it() {
    let mut proxy = proxy("[server]\nshutdown_grace_secs = 0\n");
    let (_target, address) = listener();
    Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
    let database = proxy.folder().join("data/sessions.db");
    let holder = hold(&database);
    Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
    assert_eq!(proxy.terminate(), Some(0));
    drop(holder);
    proxy.restart();
    let records = eventually("both records", || Some(proxy.records()).filter(|all| all.len() > 1));
    assert_eq!(records.len(), 2);
}

#[test]
fn what_neither_the_database_nor_the_journal_takes_is_told_by_the_exit_code() {
    let mut proxy = proxy("[server]\nshutdown_grace_secs = 0\n");
    let (_target, address) = listener();
    let holder = hold(&proxy.folder().join("data/sessions.db"));
    // No file may grow from here on: what is written to the journal fails.
    let pid = proxy.pid().to_string();
    let limit = ["--fsize=0", "--pid", &pid];
    assert!(Process::new("prlimit").args(limit).status().unwrap().success());
    Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
    eventually("degraded", || {
        (proxy.get("/health").json()["journal"]["status"] == "failed").then_some(())
    });
    assert_eq!(proxy.terminate(), Some(3));
    drop(holder);
}

#[test]
fn half_open_handshakes_do_not_hold_up_the_stop() {
    let mut proxy = proxy("[server]\nshutdown_grace_secs = 0\nhandshake_timeout_secs = 3600\n");
    let _silent: Vec<Client> = (0..20).map(|_| Client::connect(proxy.socks())).collect();
    std::thread::park_timeout(Duration::from_millis(50));
    assert_eq!(proxy.terminate(), Some(0));
}

/// Holds a file in such a way that whoever opens it waits; says so, and lets go when it is told.
const LEASE: &str = "
import fcntl, signal, sys
file = open(sys.argv[1], 'r+')
signal.signal(signal.SIGIO, lambda *_: print('asked', flush=True))
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('held', flush=True)
sys.stdin.read()
";

#[test]
fn a_retention_step_under_way_at_the_stop_ends_before_the_store_is_closed() {
    let mut proxy = proxy("[sessions]\nretention_days = 1\narchive_dir = \"archive\"\n");
    some_sessions(&proxy, 3);
    eventually("the records", || (proxy.records().len() == 3).then_some(()));
    assert_eq!(proxy.terminate(), Some(0));
    let database = proxy.folder().join("data/sessions.db");
    let ask = |sql: &str| {
        let output = Process::new("sqlite3").arg(&database).arg(sql).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    ask("UPDATE sessions SET end_time = '2020-01-01T00:00:00.000+00:00' WHERE rowid <= 2");
    let archive = proxy.folder().join("archive/sessions-2020-01-01.ndjson.zst");
    std::fs::File::create_new(&archive).unwrap();
    let mut holder = Process::new("python3")
        .args(["-c", LEASE])
        .arg(&archive)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "held");
    proxy.restart();
    assert_eq!(said.next().unwrap().unwrap(), "asked");
    proxy.signal(Signal::TERM);
    let journal = proxy.folder().join("data/sessions.db.journal");
    eventually("the journal to be closed", || {
        let files = std::fs::read_dir(&journal).unwrap();
        let mut names = files.map(|file| file.unwrap().file_name());
        (!names.any(|name| name.to_string_lossy().ends_with(".journal"))).then_some(())
    });
    // The store would be closed within a moment.
    let log = database.with_extension("db-wal");
    for _ in 0..50 {
        assert!(log.exists(), "it is open while somebody is at work on it");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    drop(holder.stdin.take());
    holder.wait().unwrap();
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(!log.exists(), "nothing was opened behind the close");
    assert_eq!(ask("SELECT count(*) FROM sessions"), "1\n");
    let output = Process::new("zstd").args(["-d", "-c"]).arg(archive).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
}
