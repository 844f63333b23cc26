//! Warm spare connections: opened ahead, handed out once, no sessions themselves.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rustsocks_proto::Command;
use rustsocks_testkit::client::{Client, at};
use rustsocks_testkit::eventually;

use super::{listener, proxy};

#[test]
fn a_destination_in_steady_use_gets_spares_that_serve_one_session_each() {
    let proxy = proxy("[server.pool]\nenabled = true\nmax_idle_per_dest = 2\nmax_total_idle = 2\n");
    let (target, address) = listener();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&accepted);
    std::thread::spawn(move || {
        for stream in target.incoming().map_while(Result::ok) {
            counting.fetch_add(1, Relaxed);
            std::thread::spawn(move || {
                let mut stream = stream;
                let mut said = Vec::new();
                if stream.read_to_end(&mut said).is_ok() {
                    // Each connection hears one session's bytes and no other's.
                    let _gone = stream.write_all(&said);
                }
            });
        }
    });
    let mut sessions = 0_usize;
    let one_session = |number: usize| {
        let mut client = Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
        let text = format!("session {number}");
        client.send(text.as_bytes());
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut heard = String::new();
        client.stream.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, text);
    };
    eventually("spare connections", || {
        one_session(sessions);
        sessions += 1;
        (accepted.load(Relaxed) > sessions).then_some(())
    });
    for _ in 0..20 {
        one_session(sessions);
        sessions += 1;
    }
    let records = eventually("every record", || {
        let records = proxy.records();
        (records.len() >= sessions).then_some(records)
    });
    assert_eq!(records.len(), sessions, "a spare is no session");
    assert!(accepted.load(Relaxed) <= sessions + 4);
    eventually("an event about the cap", || {
        one_session(0);
        let events = proxy.get("/api/telemetry/events?category=connection_pool").json();
        events
            .as_array()
            .unwrap()
            .iter()
            .any(|event| event["details"]["max_idle_per_dest"] == "2")
            .then_some(())
    });
}
