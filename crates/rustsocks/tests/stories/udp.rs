//! UDP ASSOCIATE: exact counts, and nothing for strangers, fragments or forbidden places.

use std::net::{SocketAddr, UdpSocket};

use rustsocks_proto::client::encode_udp;
use rustsocks_proto::udp::decode_udp;
use rustsocks_proto::{Command, Host, Target};
use rustsocks_testkit::client::{Client, Outcome, at, named};
use rustsocks_testkit::{FakeDns, PATIENCE, Proxy, eventually};

use super::{bytes, end, proxy};

/// An association: the TCP connection, the client's socket, the relay address.
struct Association {
    control: Client,
    socket: UdpSocket,
    relay: SocketAddr,
}

impl Association {
    fn open(proxy: &Proxy) -> Self {
        Self::open_to(proxy.socks())
    }

    fn open_to(proxy: SocketAddr) -> Self {
        let any = at("0.0.0.0:0".parse().unwrap());
        let Outcome::Granted(control, bound) = Client::socks5(proxy, Command::UdpAssociate, &any)
        else {
            panic!("not granted");
        };
        let Host::Ip(ip) = bound.host else { panic!("a name") };
        assert!(!ip.is_unspecified(), "a client must be able to reach it");
        let socket = UdpSocket::bind((proxy.ip(), 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { control, socket, relay: (ip, bound.port).into() }
    }

    fn send(&self, target: &Target, payload: &[u8]) {
        let mut datagram = Vec::new();
        encode_udp(target, payload, &mut datagram);
        self.socket.send_to(&datagram, self.relay).unwrap();
    }

    fn receive(&self) -> (Target, Vec<u8>) {
        let mut buffer = vec![0; 70_000];
        let (length, from) = self.socket.recv_from(&mut buffer).unwrap();
        assert_eq!(from, self.relay);
        let (header, offset) = decode_udp(&buffer[..length]).unwrap();
        (header.target, buffer[offset..length].to_vec())
    }
}

/// A destination that sends everything back.
fn echo(address: &str) -> SocketAddr {
    let socket = UdpSocket::bind(address).unwrap();
    let bound = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 70_000];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            // A full buffer loses datagrams, as a network does.
            let _lost = socket.send_to(&buffer[..length], from);
        }
    });
    bound
}

/// A counter of dropped datagrams.
fn dropped(proxy: &Proxy, reason: &str) -> u64 {
    proxy.metric(&format!("rustsocks_udp_dropped_total{{reason=\"{reason}\"}}"))
}

#[test]
fn datagrams_go_there_and_back_and_every_payload_byte_is_counted() {
    let proxy = proxy("");
    let (one, other) = (echo("127.0.0.1:0"), echo("127.0.0.1:0"));
    let association = Association::open(&proxy);
    let source = association.control.source();
    let mut total = 0;
    for number in 0..2000_usize {
        let payload = vec![number as u8; number % 1400];
        let to = if number % 2 == 0 { one } else { other };
        association.send(&at(to), &payload);
        assert_eq!(association.receive(), (at(to), payload.clone()));
        total += payload.len() as u64;
    }
    drop(association.control);
    let record = proxy.record_from(source);
    assert_eq!(end(&record), ("closed", "client_closed"));
    assert_eq!(bytes(&record), (total, total));
    assert_eq!(record["packets_sent"], 2000);
    assert_eq!(record["packets_received"], 2000);
    assert_eq!((&record["protocol"], &record["command"]), (&"udp".into(), &"udp_associate".into()));
    assert_eq!(record["dest_port"], one.port());
}

#[test]
fn the_largest_datagram_passes_whole() {
    let proxy = proxy("");
    let target = echo("127.0.0.1:0");
    let association = Association::open(&proxy);
    let payload = vec![9; 65_507 - 10];
    association.send(&at(target), &payload);
    assert!(association.receive() == (at(target), payload));
}

#[test]
fn ipv6_and_names_are_destinations_too() {
    let target = echo("127.0.0.1:0");
    let dns = FakeDns::start(&[("echo.test", &["127.0.0.1"])]);
    let proxy = proxy(&dns.config());
    let association = Association::open(&proxy);
    let source = association.control.source();
    let name = named("echo.test", target.port());
    for _ in 0..3 {
        association.send(&name, b"by name");
        assert_eq!(association.receive(), (at(target), b"by name".to_vec()));
    }
    if let Ok(socket) = UdpSocket::bind("[::1]:0") {
        drop(socket);
        let six = echo("[::1]:0");
        association.send(&at(six), b"six");
        assert_eq!(association.receive(), (at(six), b"six".to_vec()));
    }
    drop(association.control);
    let record = proxy.record_from(source);
    assert_eq!(record["dest_host"], "echo.test");
    assert_eq!(record["dest_ip"], "127.0.0.1");
}

#[test]
fn clients_of_either_family_are_told_a_relay_that_they_can_reach() {
    let proxy = proxy("[server]\nbind_address = \"::\"\n");
    let has_ipv6 = UdpSocket::bind("[::1]:0").is_ok();
    for ip in ["127.0.0.1", "::1"].into_iter().filter(|ip| has_ipv6 || *ip != "::1") {
        let near = SocketAddr::new(ip.parse().unwrap(), proxy.socks().port());
        let association = Association::open_to(near);
        assert_eq!(association.relay.ip(), near.ip());
        for target in [echo("127.0.0.1:0"), echo(&format!("{}", SocketAddr::new(near.ip(), 0)))] {
            association.send(&at(target), b"both ways");
            assert_eq!(association.receive(), (at(target), b"both ways".to_vec()));
        }
        let source = association.control.source();
        drop(association.control);
        let record = proxy.record_from(source);
        assert_eq!((bytes(&record), &record["source_ip"]), ((18, 18), &ip.into()));
    }
}

#[test]
fn fragments_strangers_and_nonsense_are_dropped_and_counted() {
    let proxy = proxy("");
    let target = echo("127.0.0.1:0");
    let association = Association::open(&proxy);
    let mut fragment = Vec::new();
    encode_udp(&at(target), b"part", &mut fragment);
    fragment[2] = 1;
    association.socket.send_to(&fragment, association.relay).unwrap();
    association.socket.send_to(b"\x00", association.relay).unwrap();
    eventually("the drops", || {
        (dropped(&proxy, "fragment") == 1 && dropped(&proxy, "malformed") == 1).then_some(())
    });
    // Before the client's port is known, its address alone counts; another address is strange.
    let fresh = Association::open(&proxy);
    let stranger = UdpSocket::bind("127.0.0.2:0").unwrap();
    let mut datagram = Vec::new();
    encode_udp(&at(target), b"let me in", &mut datagram);
    stranger.send_to(&datagram, fresh.relay).unwrap();
    eventually("the stranger", || (dropped(&proxy, "stranger") == 1).then_some(()));
    fresh.send(&at(target), b"mine");
    assert_eq!(fresh.receive().1, b"mine");
    drop((association, fresh));
    let records = eventually("both records", || {
        let records = proxy.records();
        (records.len() == 2).then_some(records)
    });
    let sent: u64 = records.iter().map(|record| bytes(record).0).sum();
    assert_eq!(sent, 4, "only what was relayed is counted");
}

#[test]
fn a_name_is_reached_by_an_address_to_which_there_is_a_way() {
    // An address of a link without saying which link: nobody has a way there.
    let dns = FakeDns::start(&[("both.test", &["fe80::1", "127.0.0.1"])]);
    let proxy = proxy(&dns.config());
    let target = echo("127.0.0.1:0");
    let association = Association::open(&proxy);
    association.send(&named("both.test", target.port()), b"by name");
    assert_eq!(association.receive(), (at(target), b"by name".to_vec()));
}

#[test]
fn a_datagram_without_a_way_is_dropped_and_counted_and_the_association_goes_on() {
    let proxy = proxy("");
    let target = echo("127.0.0.1:0");
    let association = Association::open(&proxy);
    // To everybody: the system refuses without being asked for that.
    association.send(&at("255.255.255.255:9".parse().unwrap()), b"nowhere");
    eventually("the drop", || (dropped(&proxy, "unsent") == 1).then_some(()));
    association.send(&at(target), b"and on");
    assert_eq!(association.receive(), (at(target), b"and on".to_vec()));
}

#[test]
fn an_answer_from_where_the_client_never_wrote_is_dropped() {
    let proxy = proxy("");
    let target = UdpSocket::bind("127.0.0.1:0").unwrap();
    let association = Association::open(&proxy);
    association.send(&at(target.local_addr().unwrap()), b"hello");
    let (_, from) = target.recv_from(&mut [0; 16]).unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(b"psst", from).unwrap();
    eventually("the stranger", || (dropped(&proxy, "stranger") == 1).then_some(()));
    target.send_to(b"answer", from).unwrap();
    assert_eq!(association.receive().1, b"answer");
}

#[test]
fn the_rules_judge_every_datagram() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("acl.toml");
    let (good, bad) = (echo("127.0.0.1:0"), echo("127.0.0.3:0"));
    std::fs::write(
        &file,
        "[global]\ndefault_policy = \"allow\"\n[[users]]\nusername = \"anonymous\"\n\
         [[users.rules]]\naction = \"block\"\ndescription = \"not three\"\n\
         destinations = [\"127.0.0.3\"]\nports = [\"*\"]\nprotocols = [\"udp\"]\n",
    )
    .unwrap();
    let config = format!("[acl]\nenabled = true\nconfig_file = \"{}\"\n", file.display());
    let proxy = proxy(&config);
    let association = Association::open(&proxy);
    let source = association.control.source();
    association.send(&at(bad), b"no");
    association.send(&at(good), b"yes");
    assert_eq!(association.receive(), (at(good), b"yes".to_vec()));
    assert_eq!(dropped(&proxy, "blocked"), 1);
    drop(association.control);
    let record = proxy.record_from(source);
    assert_eq!(bytes(&record), (3, 3));
    assert_eq!(record["acl_decision"], "allow");
}

/// Rules that forbid everything but these destinations.
fn only(destinations: &[&str]) -> String {
    let rules = destinations.iter().map(|destination| {
        format!(
            "[[users.rules]]\naction = \"allow\"\ndescription = \"{destination}\"\n\
             destinations = [\"{destination}\"]\nports = [\"*\"]\nprotocols = [\"udp\"]\n"
        )
    });
    let head = "[global]\ndefault_policy = \"block\"\n[[users]]\nusername = \"anonymous\"\n";
    head.to_owned() + &rules.collect::<String>()
}

#[test]
fn who_is_still_allowed_after_a_change_of_the_rules_is_heard_without_being_asked_again() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("acl.toml");
    std::fs::write(&file, only(&["127.0.0.1", "stream.test", "127.0.0.3"])).unwrap();
    let dns = FakeDns::start(&[("stream.test", &["127.0.0.4"])]);
    let config = format!("[acl]\nenabled = true\nconfig_file = \"{}\"\n", file.display());
    let proxy = proxy(&format!("{config}{}", dns.config()));
    let association = Association::open(&proxy);
    let ends = ["127.0.0.1:0", "127.0.0.4:0", "127.0.0.3:0"].map(|address| {
        let end = UdpSocket::bind(address).unwrap();
        end.set_read_timeout(Some(PATIENCE)).unwrap();
        end
    });
    let [by_address, by_name, revoked] = ends.each_ref().map(|end| end.local_addr().unwrap());
    let targets = [at(by_address), named("stream.test", by_name.port()), at(revoked)];
    let mut froms = Vec::new();
    for (target, end) in targets.iter().zip(&ends) {
        association.send(target, b"tell me");
        froms.push(end.recv_from(&mut [0; 16]).unwrap().1);
    }

    std::fs::write(&file, only(&["127.0.0.1", "stream.test"])).unwrap();
    assert_eq!(proxy.post("/api/admin/reload-acl", "").json()["changed"], true);
    for (end, from) in ends.iter().zip(&froms).rev() {
        end.send_to(b"news", from).unwrap();
    }
    let heard = [association.receive(), association.receive()].map(|(from, _)| from);
    assert!(heard.contains(&at(by_address)) && heard.contains(&at(by_name)), "{heard:?}");
    eventually("the drop", || (dropped(&proxy, "blocked") == 1).then_some(()));
    assert_eq!(dropped(&proxy, "stranger"), 0);

    // Forbidden is not forgotten: the next change may allow it.
    std::fs::write(&file, only(&["127.0.0.1", "127.0.0.3"])).unwrap();
    assert_eq!(proxy.post("/api/admin/reload-acl", "").json()["changed"], true);
    for (end, from) in ends.iter().zip(&froms).skip(1) {
        end.send_to(b"news", from).unwrap();
    }
    assert_eq!(association.receive().0, at(revoked));
    eventually("the drop", || (dropped(&proxy, "blocked") == 2).then_some(()));
}

#[test]
fn the_verdict_on_a_name_is_in_the_record() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("acl.toml");
    std::fs::write(
        &file,
        "[global]\ndefault_policy = \"allow\"\n[[users]]\nusername = \"anonymous\"\n\
         [[users.rules]]\naction = \"block\"\ndescription = \"not three\"\n\
         destinations = [\"127.0.0.3\"]\nports = [\"*\"]\nprotocols = [\"udp\"]\n\
         [[users.rules]]\naction = \"allow\"\ndescription = \"the echo\"\n\
         destinations = [\"echo.test\"]\nports = [\"*\"]\nprotocols = [\"udp\"]\n",
    )
    .unwrap();
    let (good, bad) = (echo("127.0.0.1:0"), echo("127.0.0.3:0"));
    let dns = FakeDns::start(&[("echo.test", &["127.0.0.1"]), ("three.test", &["127.0.0.3"])]);
    let config = format!("[acl]\nenabled = true\nconfig_file = \"{}\"\n", file.display());
    let proxy = proxy(&format!("{config}{}", dns.config()));
    let association = Association::open(&proxy);
    let source = association.control.source();
    association.send(&named("three.test", bad.port()), b"no");
    eventually("the drop", || (dropped(&proxy, "blocked") == 1).then_some(()));
    association.send(&named("echo.test", good.port()), b"yes");
    assert_eq!(association.receive(), (at(good), b"yes".to_vec()));
    drop(association.control);
    let record = proxy.record_from(source);
    assert_eq!(
        (&record["acl_decision"], &record["acl_rule_matched"]),
        (&"allow".into(), &"the echo".into())
    );
    let association = Association::open(&proxy);
    let source = association.control.source();
    association.send(&named("three.test", bad.port()), b"no");
    eventually("the drop", || (dropped(&proxy, "blocked") == 2).then_some(()));
    drop(association.control);
    let record = proxy.record_from(source);
    assert_eq!(
        (&record["acl_decision"], &record["acl_rule_matched"]),
        (&"block".into(), &"not three".into())
    );
}

#[test]
fn an_association_ends_after_the_idle_time() {
    let proxy = proxy("[server]\nidle_timeout_secs = 1\n");
    let association = Association::open(&proxy);
    let source = association.control.source();
    assert_eq!(end(&proxy.record_from(source)), ("closed", "idle_timeout"));
}
