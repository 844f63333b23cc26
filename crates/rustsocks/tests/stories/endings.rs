//! Every reason of the vocabulary, provoked for real and found in the record.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command as Process;

use rustix::process::Signal;
use rustsocks_proto::{Command, Reply};
use rustsocks_testkit::client::{Client, Outcome, at, named};
use rustsocks_testkit::{FakeDns, Proxy, eventually};
use socket2::{Domain, Socket, Type};

use super::{bytes, end, listener, proxy, reset};

/// A relayed session: client, its source, the far end.
fn relayed(proxy: &Proxy) -> (Client, SocketAddr, std::net::TcpStream) {
    let (target, address) = listener();
    let client = Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
    let source = client.source();
    let (peer, _) = target.accept().unwrap();
    (client, source, peer)
}

#[test]
fn client_closed() {
    let proxy = proxy("");
    let (client, source, mut peer) = relayed(&proxy);
    drop(client);
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
    drop(peer);
    assert_eq!(end(&proxy.record_from(source)), ("closed", "client_closed"));
}

#[test]
fn client_reset_reaches_the_destination_as_a_reset() {
    let proxy = proxy("");
    let (client, source, mut peer) = relayed(&proxy);
    reset(client.stream);
    let error = peer.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(end(&proxy.record_from(source)), ("closed", "client_reset"));
}

#[test]
fn destination_reset_reaches_the_client_after_what_was_sent_before_it() {
    let proxy = proxy("");
    let (mut client, source, mut peer) = relayed(&proxy);
    peer.write_all(b"last words").unwrap();
    let mut heard = [0; 10];
    client.stream.read_exact(&mut heard).unwrap();
    reset(peer);
    let error = client.stream.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let record = proxy.record_from(source);
    assert_eq!(end(&record), ("closed", "destination_reset"));
    assert_eq!(bytes(&record), (0, 10));
}

/// Has the kernel abort a connection under the proxy's hands; false where it cannot.
fn destroy(local: SocketAddr, remote: SocketAddr) -> bool {
    let filter = [format!("src {local}"), format!("dst {remote}")];
    let output = Process::new("ss").args(["-K", "-tnH"]).args(&filter).output();
    output.is_ok_and(|output| output.status.success() && !output.stdout.is_empty())
}

#[test]
fn client_error_and_destination_error() {
    let proxy = proxy("");
    let (client, source, _peer) = relayed(&proxy);
    if !destroy(proxy.socks(), source) {
        eprintln!("SKIPPED: this kernel or user cannot destroy sockets (ss -K)");
        return;
    }
    assert_eq!(end(&proxy.record_from(source)), ("closed", "client_error"));
    drop(client);

    let (_client, source, peer) = relayed(&proxy);
    assert!(destroy(peer.peer_addr().unwrap(), peer.local_addr().unwrap()));
    assert_eq!(end(&proxy.record_from(source)), ("closed", "destination_error"));
}

#[test]
fn idle_timeout() {
    let proxy = proxy("[server]\nidle_timeout_secs = 1\n");
    let (mut client, source, _peer) = relayed(&proxy);
    assert!(client.stream.read(&mut [0; 8]).is_err(), "cut by a reset");
    assert_eq!(end(&proxy.record_from(source)), ("closed", "idle_timeout"));
}

#[test]
fn half_closed_timeout() {
    let proxy = proxy("[server]\nhalf_closed_timeout_secs = 1\n");
    let (client, source, mut peer) = relayed(&proxy);
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(end(&proxy.record_from(source)), ("closed", "half_closed_timeout"));
}

const ALICE: &str = "[auth]\nsocks_method = \"userpass\"\n[[auth.users]]\nusername = \"alice\"\n\
                     password = \"secret\"\n";

#[test]
fn handshake_timeout_of_an_authenticated_client() {
    let proxy = proxy(&format!("{ALICE}[server]\nhandshake_timeout_secs = 1\n"));
    let mut client = Client::connect(proxy.socks());
    client.log_in("alice", "secret").unwrap();
    assert_eq!(client.stream.read(&mut [0; 8]).unwrap(), 0);
    let record = proxy.record_from(client.source());
    assert_eq!(end(&record), ("failed", "handshake_timeout"));
    assert_eq!(record["user"], "alice");
}

#[test]
fn admin_terminated_with_the_operators_reason() {
    let proxy = proxy("");
    let (mut client, source, mut peer) = relayed(&proxy);
    peer.write_all(&[1; 5000]).unwrap();
    client.stream.read_exact(&mut [0; 5000]).unwrap();
    let id = proxy.active()[0]["session_id"].as_str().unwrap().to_owned();
    let answer = proxy.post(&format!("/api/sessions/{id}/terminate"), r#"{"reason":"abuse 7"}"#);
    assert_eq!(answer.status, 202, "{answer:?}");
    assert!(client.stream.read(&mut [0; 8]).is_err(), "cut by a reset");
    let record = proxy.record_from(source);
    assert_eq!(end(&record), ("closed", "admin_terminated"));
    assert!(record["close_detail"].as_str().unwrap().contains("abuse 7"));
    assert_eq!(bytes(&record), (0, 5000));
    assert_eq!(proxy.post(&format!("/api/sessions/{id}/terminate"), "").status, 409);
}

#[test]
fn server_shutdown_and_server_crash() {
    let mut proxy =
        proxy("[server]\nshutdown_grace_secs = 0\n[sessions]\ninterim_interval_secs = 1\n");
    let (_client, shut, _peer) = relayed(&proxy);
    assert_eq!(proxy.terminate(), Some(0));
    proxy.restart();
    assert_eq!(end(&proxy.record_from(shut)), ("closed", "server_shutdown"));

    let (mut client, crashed, mut peer) = relayed(&proxy);
    client.send(&[1; 700]);
    peer.read_exact(&mut [0; 700]).unwrap();
    let database = proxy.folder().join("data/sessions.db");
    eventually("an interim record", || {
        let query = "SELECT count(*) FROM sessions WHERE status='active' AND bytes_sent=700";
        let output = Process::new("sqlite3").arg(&database).arg(query).output().unwrap();
        (output.stdout == b"1\n").then_some(())
    });
    proxy.kill();
    proxy.restart();
    let record = proxy.record_from(crashed);
    assert_eq!(end(&record), ("failed", "server_crash"));
    assert_eq!(bytes(&record), (700, 0));
    assert_eq!(record["end_time"], record["updated_at"]);
}

/// Opens sessions until the proxy refuses one, or accepts no more.
fn run_dry(proxy: &Proxy, target: SocketAddr) -> Option<Reply> {
    let mut held = Vec::new();
    loop {
        let mut client = Client::connect(proxy.socks());
        client.stream.set_read_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
        client.send(&[5, 1, 0]);
        if client.stream.read_exact(&mut [0; 2]).is_err() {
            return None;
        }
        match client.ask(Command::Connect, &at(target)) {
            Outcome::Granted(client, _) => held.push(client),
            Outcome::Refused(reply) => return Some(reply),
            Outcome::Closed => return None,
        }
        assert!(held.len() < 100, "never ran out");
    }
}

#[test]
fn relay_error_where_the_proxy_runs_out_of_descriptors() {
    let (_target, address) = listener();
    // A session takes two descriptors. With the right parity, the last client gets the last
    // one and its dial finds none; with the other, the last client is not even accepted.
    let refused = ["40", "41"].into_iter().find_map(|limit| {
        let proxy = Proxy::start_under(
            env!("CARGO_BIN_EXE_rustsocks"),
            "[sessions]\nstorage = \"memory\"\n",
            &["prlimit", &format!("--nofile={limit}:{limit}")],
        );
        run_dry(&proxy, address).map(|reply| (proxy, reply))
    });
    let (proxy, reply) = refused.unwrap();
    assert_eq!(reply, Reply::GeneralFailure);
    let record = eventually("the record", || {
        // The API needs a descriptor as well, so the first tries may fail.
        let page = rustsocks_testkit::http::request(
            proxy.api(),
            "GET",
            "/api/sessions/history?close_reason=relay_error",
            "",
        );
        page.ok().and_then(|page| page.json()["data"].get(0).cloned())
    });
    assert_eq!(end(&record), ("failed", "relay_error"));
    assert!(run_dry(&proxy, address).is_some(), "descriptors are back, and so is service");
}

#[test]
fn limit_exceeded_is_said_and_recorded_and_ends_when_there_is_room() {
    let proxy = proxy("[server]\nmax_connections = 2\n");
    let held = [relayed(&proxy), relayed(&proxy)];
    let (_target, address) = listener();
    let client = Client::connect(proxy.socks());
    let source = client.source();
    let mut client = client;
    assert!(client.greet());
    assert_eq!(client.ask(Command::Connect, &at(address)).refused(), Reply::GeneralFailure);
    assert_eq!(end(&proxy.record_from(source)), ("failed", "limit_exceeded"));
    let events = proxy.get("/api/telemetry/events?category=listener&severity=warning").json();
    let message = events[0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("max_connections is reached"), "{events}");
    drop(held);
    eventually("room", || match Client::socks5(proxy.socks(), Command::Connect, &at(address)) {
        Outcome::Granted(..) => Some(()),
        _ => None,
    });
}

#[test]
fn dns_failed() {
    let dns = FakeDns::start(&[]);
    let proxy = proxy(&dns.config());
    let reply = Client::socks5(proxy.socks(), Command::Connect, &named("no.test", 80)).refused();
    assert_eq!(reply, Reply::HostUnreachable);
    let record = proxy.record("the name", |record| record["dest_host"] == "no.test");
    assert_eq!(end(&record), ("failed", "dns_failed"));
}

#[test]
fn dns_failed_where_the_servers_say_nothing_for_as_long_as_connecting_may_take() {
    let mute = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let dns = format!("[dns]\nservers = [\"{}\"]\n", mute.local_addr().unwrap());
    let proxy = proxy(&format!("[server]\nconnect_timeout_ms = 300\n{dns}"));
    let reply = Client::socks5(proxy.socks(), Command::Connect, &named("mute.test", 80)).refused();
    assert_eq!(reply, Reply::HostUnreachable);
    let record = proxy.record("the name", |record| record["dest_host"] == "mute.test");
    assert_eq!(end(&record), ("failed", "dns_failed"));
}

#[test]
fn a_name_whose_only_reachable_address_refuses_is_refused() {
    let (closed, address) = listener();
    drop(closed);
    // No way leads to the others, which are tried before and after.
    let dns = FakeDns::start(&[("mixed.test", &["fe80::1", "127.0.0.1", "fe80::2"])]);
    let proxy = proxy(&dns.config());
    let wish = named("mixed.test", address.port());
    let reply = Client::socks5(proxy.socks(), Command::Connect, &wish).refused();
    assert_eq!(reply, Reply::ConnectionRefused);
    let record = proxy.record("the name", |record| record["dest_host"] == "mixed.test");
    assert_eq!(end(&record), ("failed", "connect_refused"));
}

#[test]
fn connect_refused() {
    let proxy = proxy("");
    let (closed, address) = listener();
    drop(closed);
    let reply = Client::socks5(proxy.socks(), Command::Connect, &at(address)).refused();
    assert_eq!(reply, Reply::ConnectionRefused);
    let port = address.port();
    let record = proxy.record("the port", |record| record["dest_port"] == port);
    assert_eq!(end(&record), ("failed", "connect_refused"));
}

#[test]
fn connect_timeout() {
    let proxy = proxy("[server]\nconnect_timeout_ms = 300\n");
    // A listener whose queue is full answers no further connection.
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let fill = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _in_progress = socket.connect(&address.into());
        socket
    };
    let _queued: Vec<Socket> = (0..8).map(fill).collect();
    let reply = Client::socks5(proxy.socks(), Command::Connect, &at(address)).refused();
    assert_eq!(reply, Reply::TtlExpired);
    let port = address.port();
    let record = proxy.record("the port", |record| record["dest_port"] == port);
    assert_eq!(end(&record), ("failed", "connect_timeout"));
}

#[test]
fn connect_unreachable() {
    let proxy = proxy("");
    // A multicast address has no way for TCP.
    let address: SocketAddr = "224.0.0.1:80".parse().unwrap();
    let reply = Client::socks5(proxy.socks(), Command::Connect, &at(address)).refused();
    assert_eq!(reply, Reply::NetworkUnreachable);
    let record = proxy.record("the address", |record| record["dest_ip"] == "224.0.0.1");
    assert_eq!(end(&record), ("failed", "connect_unreachable"));
}

#[test]
fn auth_failed_names_nobody_but_tells_the_claim() {
    let proxy = proxy(ALICE);
    let mut client = Client::connect(proxy.socks());
    assert_eq!(client.log_in("alice", "wrong"), Some(rustsocks_proto::AuthStatus::Failure));
    assert_eq!(client.stream.read(&mut [0; 8]).unwrap(), 0);
    let record = proxy.record_from(client.source());
    assert_eq!(end(&record), ("failed", "auth_failed"));
    assert_eq!(record["user"], "");
    assert!(record["close_detail"].as_str().unwrap().contains("alice"));
}

#[test]
fn protocol_error_for_a_command_and_an_address_type_that_nobody_knows() {
    let proxy = proxy("");
    for (request, reply) in [
        (&b"\x05\x09\x00\x01\x7f\x00\x00\x01\x00\x50"[..], Reply::CommandNotSupported),
        (b"\x05\x01\x00\x09", Reply::AddressTypeNotSupported),
    ] {
        let mut client = Client::connect(proxy.socks());
        let source = client.source();
        assert!(client.greet());
        client.send(request);
        assert_eq!(client.reply().refused(), reply);
        assert_eq!(end(&proxy.record_from(source)), ("failed", "protocol_error"));
    }
}

#[test]
fn a_dry_listener_rests_instead_of_spinning() {
    let proxy = Proxy::start_under(
        env!("CARGO_BIN_EXE_rustsocks"),
        "[sessions]\nstorage = \"memory\"\n",
        &["prlimit", "--nofile=30:30"],
    );
    let held: Vec<Client> = (0..60).map(|_| Client::connect(proxy.socks())).collect();
    let cpu = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", proxy.pid())).unwrap();
        let fields: Vec<u64> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse().unwrap())
            .collect();
        fields.iter().sum::<u64>()
    };
    let before = cpu();
    std::thread::park_timeout(std::time::Duration::from_secs(1));
    let ticks = cpu() - before;
    assert!(ticks < 30, "{ticks} ticks of CPU in one idle second");
    drop(held);
    let (_target, address) = listener();
    eventually("service", || match Client::socks5(proxy.socks(), Command::Connect, &at(address)) {
        Outcome::Granted(..) => Some(()),
        _ => None,
    });
    let events = proxy.get("/api/telemetry/events?category=listener").json();
    assert!(events[0]["message"].as_str().unwrap().contains("cannot be accepted"), "{events}");
    proxy.signal(Signal::TERM);
}
