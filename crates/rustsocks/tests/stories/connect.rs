//! CONNECT: every way in, every way the request can be written.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};

use rustsocks_proto::client::{encode_greeting, encode_request};
use rustsocks_proto::{Command, Method, Reply};
use rustsocks_testkit::FakeDns;
use rustsocks_testkit::client::{Client, Outcome, at, named};

use super::{bytes, end, listener, proxy};

#[test]
fn a_session_is_recorded_once_with_exact_numbers_and_where_it_went() {
    let proxy = proxy("");
    let (target, address) = listener();
    let mut client = Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
    let source = client.source();
    let (mut peer, egress) = target.accept().unwrap();
    client.send(b"question");
    let mut question = [0; 8];
    peer.read_exact(&mut question).unwrap();
    peer.write_all(b"the answer").unwrap();
    drop(peer);
    let mut answer = Vec::new();
    client.stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"the answer");
    drop(client);

    let record = proxy.record_from(source);
    assert_eq!(end(&record), ("closed", "destination_closed"));
    assert_eq!(bytes(&record), (8, 10));
    assert_eq!(record["user"], "anonymous");
    assert_eq!(record["dest_ip"], "127.0.0.1");
    assert_eq!(record["dest_port"], address.port());
    assert_eq!(record["egress_port"], egress.port());
    assert_eq!(record["command"], "connect");
    assert_eq!(record["protocol"], "tcp");
}

#[test]
fn a_pipelined_client_may_send_everything_in_one_segment() {
    let proxy = proxy("");
    let (target, address) = listener();
    let mut client = Client::connect(proxy.socks());
    let mut all = Vec::new();
    encode_greeting(&[Method::None], &mut all);
    encode_request(Command::Connect, &at(address), &mut all);
    all.extend(b"early data");
    client.send(&all);
    let (mut peer, _) = target.accept().unwrap();
    let mut early = [0; 10];
    peer.read_exact(&mut early).unwrap();
    assert_eq!(&early, b"early data");
    drop(peer);
    let source = client.source();
    drop(client);
    assert_eq!(bytes(&proxy.record_from(source)), (10, 0));
}

#[test]
fn a_client_may_send_its_request_byte_by_byte() {
    let proxy = proxy("");
    let (target, address) = listener();
    let mut client = Client::connect(proxy.socks());
    let mut all = Vec::new();
    encode_greeting(&[Method::None], &mut all);
    for byte in &all {
        client.send(&[*byte]);
    }
    assert!(client.message(rustsocks_proto::client::decode_method).is_some());
    let mut request = Vec::new();
    encode_request(Command::Connect, &at(address), &mut request);
    for byte in &request {
        client.send(&[*byte]);
    }
    assert!(matches!(client.reply(), Outcome::Granted(..)));
    target.accept().unwrap();
}

#[test]
fn after_the_clients_fin_the_rest_of_the_answer_still_arrives() {
    let proxy = proxy("");
    let (target, address) = listener();
    let mut client = Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
    let source = client.source();
    let (mut peer, _) = target.accept().unwrap();
    client.send(b"all I say");
    client.stream.shutdown(Shutdown::Write).unwrap();
    let mut said = Vec::new();
    peer.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"all I say");
    let answer: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
    let sending = answer.clone();
    let sender = std::thread::spawn(move || peer.write_all(&sending).unwrap());
    let mut heard = Vec::new();
    client.stream.read_to_end(&mut heard).unwrap();
    sender.join().unwrap();
    assert!(heard == answer);
    let record = proxy.record_from(source);
    assert_eq!(end(&record), ("closed", "client_closed"));
    assert_eq!(bytes(&record), (9, 3_000_000));
}

#[test]
fn after_the_destinations_fin_the_client_may_go_on_sending() {
    let proxy = proxy("");
    let (target, address) = listener();
    let mut client = Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
    let source = client.source();
    let (mut peer, _) = target.accept().unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.stream.read(&mut [0; 8]).unwrap(), 0);
    client.send(&vec![7; 2_000_000]);
    client.stream.shutdown(Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).unwrap();
    assert_eq!(heard.len(), 2_000_000);
    drop(peer);
    let record = proxy.record_from(source);
    assert_eq!(end(&record), ("closed", "destination_closed"));
    assert_eq!(bytes(&record), (2_000_000, 0));
}

#[test]
fn socks4_and_4a_are_spoken_and_recorded_under_the_anonymous_name() {
    let dns = FakeDns::start(&[("here.test", &["127.0.0.1"])]);
    let proxy = proxy(&dns.config());
    let (target, address) = listener();
    for target_wish in [at(address), named("here.test", address.port())] {
        let client = Client::socks4(proxy.socks(), &target_wish).unwrap();
        target.accept().unwrap();
        let source = client.source();
        drop(client);
        assert_eq!(proxy.record_from(source)["user"], "anonymous");
    }
}

#[test]
fn all_addresses_of_a_name_are_tried() {
    // Nobody listens on the first two; the last one answers.
    let (target, address) = listener();
    let dns = FakeDns::start(&[("many.test", &["::1", "127.0.0.9", "127.0.0.1"])]);
    let proxy = proxy(&dns.config());
    let client =
        Client::socks5(proxy.socks(), Command::Connect, &named("many.test", address.port()))
            .granted();
    target.accept().unwrap();
    let source = client.source();
    drop(client);
    let record = proxy.record_from(source);
    assert_eq!(record["dest_ip"], "127.0.0.1");
    assert_eq!(record["dest_host"], "many.test");
}

#[test]
fn answers_of_the_dns_are_cached() {
    let (target, address) = listener();
    // Both families: an answer without addresses carries no time to live to be cached by.
    let dns = FakeDns::start(&[("cached.test", &["::1", "127.0.0.1"])]);
    let proxy = proxy(&dns.config());
    for _ in 0..10 {
        let wish = named("cached.test", address.port());
        Client::socks5(proxy.socks(), Command::Connect, &wish).granted();
        target.accept().unwrap();
    }
    assert!(dns.queries() < 10, "{} queries", dns.queries());
}

#[test]
fn a_listener_for_both_families_knows_each_client_by_its_own_address() {
    let proxy = proxy("[server]\nbind_address = \"::\"\n");
    let (target, address) = listener();
    let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    for ip in ["127.0.0.1", "::1"].into_iter().filter(|ip| has_ipv6 || *ip != "::1") {
        let near = SocketAddr::new(ip.parse().unwrap(), proxy.socks().port());
        let client = Client::socks5(near, Command::Connect, &at(address)).granted();
        target.accept().unwrap();
        let source = client.source();
        drop(client);
        assert_eq!(proxy.record_from(source)["source_ip"], ip);
        let found = proxy.get(&format!("/api/sessions/history?source_ip={ip}")).json();
        assert_eq!(found["total"], 1, "{found}");
    }
}

#[test]
fn a_client_that_says_nothing_is_let_go_after_the_handshake_time() {
    let proxy = proxy("[server]\nhandshake_timeout_secs = 1\n");
    for said in [&b""[..], b"\x05", b"\x05\x01\x00", b"\x04\x01\x00"] {
        let mut client = Client::connect(proxy.socks());
        client.send(said);
        let mut heard = Vec::new();
        client.stream.read_to_end(&mut heard).unwrap();
        assert!(heard.len() <= 2, "{heard:?}");
    }
    assert!(proxy.records().is_empty(), "nobody has asked for anything");
}

#[test]
fn names_of_every_length_are_asked_for_and_refused_by_name() {
    let dns = FakeDns::start(&[]);
    let proxy = proxy(&dns.config());
    for length in [1, 63, 255] {
        let name = "a".repeat(length);
        let reply = Client::socks5(proxy.socks(), Command::Connect, &named(&name, 80)).refused();
        assert_eq!(reply, Reply::HostUnreachable);
        let record = proxy.record("the name", |record| record["dest_host"] == name.as_str());
        assert_eq!(end(&record), ("failed", "dns_failed"));
        assert_eq!(record["dest_ip"], name.as_str());
    }
}

#[test]
fn every_session_is_in_the_log_at_debug_and_none_at_info() {
    for (level, lines) in [("debug", 1), ("info", 0)] {
        let proxy = proxy(&format!("[logging]\nlevel = \"{level}\"\n"));
        let (target, address) = listener();
        let client = Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
        let source = client.source();
        drop((client, target.accept().unwrap()));
        let record = proxy.record_from(source);
        let log = proxy.log();
        for event in ["a session opened", "a session ended"] {
            let id = record["session_id"].as_str().unwrap();
            let told = log.lines().filter(|line| line.contains(event) && line.contains(id)).count();
            assert_eq!(told, lines, "{level}: {log}");
        }
    }
}
