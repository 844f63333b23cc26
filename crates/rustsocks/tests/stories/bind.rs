//! BIND: two replies, the peer that really came, strangers left outside.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use rustsocks_proto::{Command, Host, Reply};
use rustsocks_testkit::Proxy;
use rustsocks_testkit::client::{Client, Outcome, at};

use super::{bytes, end, listener, proxy};

fn bound(outcome: Outcome) -> (Client, std::net::SocketAddr) {
    match outcome {
        Outcome::Granted(client, bound) => match bound.host {
            Host::Ip(ip) => (client, (ip, bound.port).into()),
            Host::Name(name) => panic!("{name}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_peer_that_connects_is_told_and_recorded() {
    let proxy = proxy("");
    let (_unused, announced) = listener();
    let (client, address) = bound(Client::socks5(proxy.socks(), Command::Bind, &at(announced)));
    assert!(!address.ip().is_unspecified());
    let source = client.source();
    let mut peer = TcpStream::connect(address).unwrap();
    let (mut client, told) = bound(client.reply());
    assert_eq!(told, peer.local_addr().unwrap());
    peer.write_all(b"hello").unwrap();
    let mut heard = [0; 5];
    client.stream.read_exact(&mut heard).unwrap();
    client.send(b"yes");
    peer.read_exact(&mut [0; 3]).unwrap();
    drop(client);
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0, "the client's end comes first");
    drop(peer);
    let record = proxy.record_from(source);
    assert_eq!(end(&record), ("closed", "client_closed"));
    assert_eq!(bytes(&record), (3, 5));
    assert_eq!(record["command"], "bind");
    assert_eq!(record["dest_port"], told.port());
}

#[test]
fn a_stranger_is_not_the_peer() {
    let proxy = proxy("");
    let expected = at("127.0.0.7:0".parse().unwrap());
    let (client, address) = bound(Client::socks5(proxy.socks(), Command::Bind, &expected));
    let mut stranger = TcpStream::connect(address).unwrap();
    assert!(!matches!(stranger.read(&mut [0; 1]), Ok(1)), "a stranger is closed");
    let peer = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let own: std::net::SocketAddr = "127.0.0.7:0".parse().unwrap();
    peer.bind(&own.into()).unwrap();
    peer.connect(&address.into()).unwrap();
    let (_client, told) = bound(client.reply());
    assert_eq!(told.ip(), own.ip());
}

#[test]
fn a_client_that_leaves_while_waiting_is_recorded_as_never_relayed() {
    let proxy = proxy("");
    let (_unused, announced) = listener();
    let (client, _) = bound(Client::socks5(proxy.socks(), Command::Bind, &at(announced)));
    let source = client.source();
    drop(client);
    assert_eq!(end(&proxy.record_from(source)), ("failed", "client_closed"));
}

#[test]
fn a_peer_that_never_comes_is_a_timeout() {
    let proxy = proxy("[server]\nidle_timeout_secs = 1\n");
    let (_unused, announced) = listener();
    let (client, _) = bound(Client::socks5(proxy.socks(), Command::Bind, &at(announced)));
    let source = client.source();
    assert_eq!(client.reply().refused(), Reply::TtlExpired);
    assert_eq!(end(&proxy.record_from(source)), ("failed", "connect_timeout"));
}

/// A proxy with one rule about 127.0.0.9 for everybody, and the file of the rules.
fn with_rule(default: &str, action: &str) -> (Proxy, tempfile::NamedTempFile) {
    let rules = format!(
        "[global]\ndefault_policy = \"{default}\"\n[[users]]\nusername = \"anonymous\"\n\
         [[users.rules]]\naction = \"{action}\"\ndescription = \"about nine\"\n\
         destinations = [\"127.0.0.9\"]\nports = [\"*\"]\n"
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rules).unwrap();
    let path = file.path().display();
    (proxy(&format!("[acl]\nenabled = true\nconfig_file = \"{path}\"\n")), file)
}

/// Connects from an address of this machine.
fn peer_from(own: &str, address: SocketAddr) -> socket2::Socket {
    let peer = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    peer.bind(&SocketAddr::new(own.parse().unwrap(), 0).into()).unwrap();
    peer.connect(&address.into()).unwrap();
    peer
}

#[test]
fn the_rules_judge_the_peer_that_really_came() {
    let (proxy, _rules) = with_rule("allow", "block");
    let any = at("0.0.0.0:0".parse().unwrap());
    let (client, address) = bound(Client::socks5(proxy.socks(), Command::Bind, &any));
    let source = client.source();
    let _peer = peer_from("127.0.0.9", address);
    assert_eq!(client.reply().refused(), Reply::NotAllowed);
    let record = proxy.record_from(source);
    assert_eq!(end(&record), ("rejected_by_acl", "rejected_by_acl"));
    assert_eq!(record["acl_rule_matched"], "about nine");
}

#[test]
fn whoever_is_announced_as_any_is_judged_when_it_comes_whatever_the_default() {
    let (proxy, _rules) = with_rule("block", "allow");
    let any = at("0.0.0.0:0".parse().unwrap());
    let (client, address) = bound(Client::socks5(proxy.socks(), Command::Bind, &any));
    let source = client.source();
    let peer = peer_from("127.0.0.9", address);
    let client = client.reply().granted();
    drop((client, peer));
    let record = proxy.record_from(source);
    assert_eq!(
        (&record["acl_decision"], &record["dest_ip"]),
        (&"allow".into(), &"127.0.0.9".into())
    );
    let (client, address) = bound(Client::socks5(proxy.socks(), Command::Bind, &any));
    let _stranger = peer_from("127.0.0.8", address);
    assert_eq!(client.reply().refused(), Reply::NotAllowed);
}
