//! What should never have been sent: refused, unrecorded, and nobody else suffers.

use std::io::{Read as _, Write as _};

use rustsocks_proto::Command;
use rustsocks_testkit::client::{Client, at};
use rustsocks_testkit::eventually;

use super::{listener, proxy};

#[test]
fn bytes_that_are_no_socks_are_refused_and_leave_no_record() {
    let proxy = proxy("");
    let http = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
    let tls = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3][..], &[7; 300]].concat();
    let mut junk: Vec<Vec<u8>> = vec![http, tls, vec![5], vec![5, 0], vec![5, 3, 0], vec![4, 1]];
    let mut state = 0x1234_5678_u32;
    for length in 1..200 {
        let random = (0..length).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8 | 0x08
        });
        junk.push(random.collect());
    }
    for bytes in &junk {
        let mut client = Client::connect(proxy.socks());
        // The proxy may hang up while this is still being written.
        let _cut = client.stream.write_all(bytes);
        let _cut = client.stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _cut = client.stream.read_to_end(&mut answer);
        assert!(answer.len() <= 10, "{answer:?}");
    }
    assert_eq!(proxy.metric("rustsocks_sessions_total"), 0);
    assert!(proxy.records().is_empty());
}

#[test]
fn two_thousand_half_open_handshakes_keep_nobody_else_waiting() {
    let proxy = proxy("");
    let (target, address) = listener();
    let half_open: Vec<Client> = (0..2000_usize)
        .map(|number| {
            let mut client = Client::connect(proxy.socks());
            client.send(&[5, 1, 0][..number % 4]);
            client
        })
        .collect();
    for _ in 0..20 {
        Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
        target.accept().unwrap();
    }
    let resident = proxy.metric("process_resident_memory_bytes");
    assert!(resident < 150 << 20, "{resident} bytes");
    eventually("the records", || (proxy.records().len() == 20).then_some(()));
    drop(half_open);
    assert_eq!(proxy.metric("rustsocks_sessions_total"), 20);
}

#[test]
fn an_empty_name_is_a_malformed_request() {
    let proxy = proxy("");
    let mut client = Client::connect(proxy.socks());
    assert!(client.greet());
    client.send(b"\x05\x01\x00\x03\x00\x00\x50");
    assert_eq!(client.reply().refused(), rustsocks_proto::Reply::GeneralFailure);
    proxy.record("the request", |record| record["close_reason"] == "protocol_error");
}
