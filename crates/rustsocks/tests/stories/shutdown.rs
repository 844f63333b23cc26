//! Stopping: clients finish, the rest is cut, the books are closed.

use std::io::{Read as _, Write as _};
use std::process::Command as Process;
use std::time::Duration;

use rustix::process::Signal;
use rustsocks_proto::Command;
use rustsocks_testkit::client::{Client, at};
use rustsocks_testkit::eventually;

use super::ledger::hold;
use super::{bytes, end, listener, proxy};

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
