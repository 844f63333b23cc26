//! Access rules in force: before resolving, after resolving, and after they have changed.

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr, TcpStream};

use rustix::process::Signal;
use rustsocks_proto::{Command, Reply};
use rustsocks_testkit::client::{Client, Outcome, at, named};
use rustsocks_testkit::{FakeDns, Proxy, eventually};
use socket2::{Domain, Socket, Type};

use super::{end, listener};

fn rules(default: &str, list: &[(&str, &str, &str)]) -> String {
    let mut text =
        format!("[global]\ndefault_policy = \"{default}\"\n[[users]]\nusername = \"anonymous\"\n");
    for (action, description, destination) in list {
        text.push_str(&format!(
            "[[users.rules]]\naction = \"{action}\"\ndescription = \"{description}\"\n\
             destinations = [\"{destination}\"]\nports = [\"*\"]\nprotocols = [\"both\"]\n"
        ));
    }
    text
}

/// A proxy with rules in a folder of their own, and the way to replace them.
struct Ruled {
    proxy: Proxy,
    folder: tempfile::TempDir,
}

impl Ruled {
    fn start(rules: &str, more: &str) -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::write(folder.path().join("acl.toml"), rules).unwrap();
        let file = folder.path().join("acl.toml");
        let config = format!(
            "[acl]\nenabled = true\nwatch = true\nconfig_file = \"{}\"\n{more}",
            file.display()
        );
        Self { proxy: super::proxy(&config), folder }
    }

    /// Replaces the file as editors do: a new one renamed over it.
    fn replace(&self, rules: &str) {
        let new = self.folder.path().join("new.toml");
        std::fs::write(&new, rules).unwrap();
        std::fs::rename(new, self.folder.path().join("acl.toml")).unwrap();
    }

    fn generation(&self) -> u64 {
        self.proxy.get("/api/acl/rules").json()["generation"].as_u64().unwrap()
    }
}

#[test]
fn a_blocked_destination_is_refused_and_recorded_with_its_rule() {
    let ruled = Ruled::start(&rules("allow", &[("block", "not here", "127.0.0.0/8")]), "");
    let (_target, address) = listener();
    let client = Client::connect(ruled.proxy.socks());
    let source = client.source();
    let mut client = client;
    assert!(client.greet());
    assert_eq!(client.ask(Command::Connect, &at(address)).refused(), Reply::NotAllowed);
    let record = ruled.proxy.record_from(source);
    assert_eq!(end(&record), ("rejected_by_acl", "rejected_by_acl"));
    assert_eq!(record["acl_decision"], "block");
    assert_eq!(record["acl_rule_matched"], "not here");
    assert_eq!(ruled.proxy.metric("rustsocks_sessions_rejected_total"), 1);
    assert_eq!(ruled.proxy.metric("rustsocks_sessions_total"), 1);
}

#[test]
fn no_other_spelling_of_this_machine_leads_past_a_rule_for_it() {
    let dns = FakeDns::start(&[("any.test", &["0.0.0.0", "::"])]);
    let list = [("block", "no loopback", "127.0.0.0/8"), ("block", "nor this", "::1")];
    let ruled = Ruled::start(&rules("allow", &list), &dns.config());
    let (target, address) = listener();
    for host in ["0.0.0.0", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "any.test"] {
        let wish = match host.parse() {
            Ok(ip) => at(SocketAddr::new(ip, address.port())),
            Err(_) => named(host, address.port()),
        };
        let reply = Client::socks5(ruled.proxy.socks(), Command::Connect, &wish).refused();
        assert_eq!(reply, Reply::NotAllowed, "{host}");
    }
    ruled.replace(&rules("allow", &[]));
    eventually("the new rules", || (ruled.generation() == 1).then_some(()));
    let wish = at(SocketAddr::new("0.0.0.0".parse().unwrap(), address.port()));
    let client = Client::connect(ruled.proxy.socks());
    let source = client.source();
    let mut client = client;
    assert!(client.greet());
    drop((client.ask(Command::Connect, &wish).granted(), target.accept().unwrap()));
    let record = ruled.proxy.record_from(source);
    assert_eq!(record["dest_ip"], "127.0.0.1", "the address that was really connected");
}

#[test]
fn a_name_with_an_escape_leads_past_no_rule() {
    let dns = FakeDns::start(&[("example.test", &["127.0.0.1"])]);
    let ruled = Ruled::start(&rules("allow", &[("block", "no", "example.test")]), &dns.config());
    let (_target, address) = listener();
    for name in ["ex\\ample.test", "ex\\141mple.test"] {
        let mut client = Client::connect(ruled.proxy.socks());
        assert!(client.greet());
        let mut request = vec![5, 1, 0, 3, u8::try_from(name.len()).unwrap()];
        request.extend_from_slice(name.as_bytes());
        request.extend_from_slice(&address.port().to_be_bytes());
        client.send(&request);
        client.reply().refused();
    }
    assert_eq!(dns.queries(), 0);
}

/// Where this machine can be reached from, besides by itself; asking sends nothing.
fn own_address() -> Option<IpAddr> {
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    probe.connect("192.0.2.1:9").ok()?;
    probe.local_addr().ok().map(|own| own.ip())
}

#[test]
fn clients_of_other_machines_do_not_pass_for_this_one_before_the_api() {
    let Some(own) = own_address() else {
        eprintln!("this machine has no address but loopback: only its own clients are tried");
        return;
    };
    let logins = "[sessions.dashboard_auth]\nenabled = true\n[[sessions.dashboard_auth.users]]\n\
                  username = \"op\"\npassword = \"a long password\"\n";
    for more in ["", logins] {
        let proxy = super::proxy(&format!("[server]\nbind_address = \"0.0.0.0\"\n{more}"));
        let near = SocketAddr::new("127.0.0.1".parse().unwrap(), proxy.socks().port());
        let far = SocketAddr::new(own, near.port());
        let api = proxy.api();
        let mut led_to = Vec::new();
        for ip in ["127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1"] {
            led_to.push(SocketAddr::new(ip.parse().unwrap(), api.port()));
        }
        // Nor by a second way through the proxy, which would make them clients of this machine.
        for ip in ["127.0.0.1", "127.8.7.6", "0.0.0.0"] {
            led_to.push(SocketAddr::new(ip.parse().unwrap(), near.port()));
        }
        for wish in led_to {
            let mut client = Client::connect(far);
            let source = client.source();
            assert!(client.greet());
            let reply = client.ask(Command::Connect, &at(wish)).refused();
            assert_eq!(reply, Reply::NotAllowed, "{wish}");
            if more.is_empty() {
                let record = proxy.record_from(source);
                assert_eq!(end(&record), ("rejected_by_acl", "rejected_by_acl"));
                let rule = record["acl_rule_matched"].as_str().unwrap();
                assert!(rule.contains("for this machine alone"), "{rule}");
            }
        }
        Client::socks5(near, Command::Connect, &at(api)).granted();
        // The way through the outer address leads back as a client of that.
        let mut client = Client::socks5(far, Command::Connect, &at(far)).granted();
        assert!(client.greet());
        assert_eq!(client.ask(Command::Connect, &at(api)).refused(), Reply::NotAllowed);
    }
}

#[test]
fn dns_cannot_carry_a_client_past_a_rule_for_addresses() {
    let dns = FakeDns::start(&[("good.test", &["127.0.0.1"])]);
    let list = [("allow", "the good name", "good.test"), ("block", "no loopback", "127.0.0.0/8")];
    let ruled = Ruled::start(&rules("block", &list), &dns.config());
    let (_target, address) = listener();
    let wish = named("good.test", address.port());
    let reply = Client::socks5(ruled.proxy.socks(), Command::Connect, &wish).refused();
    assert_eq!(reply, Reply::NotAllowed);
    let record = ruled.proxy.record("the name", |record| record["dest_host"] == "good.test");
    assert_eq!(end(&record), ("rejected_by_acl", "rejected_by_acl"));
    assert_eq!(record["acl_rule_matched"], "no loopback");
    assert_eq!(record["close_detail"], "good.test is 127.0.0.1");
    let asked = |more: &str| {
        let body = format!(r#"{{"dest":"good.test","port":{}{more}}}"#, address.port());
        ruled.proxy.post("/api/acl/test", &body)
    };
    assert_eq!(asked("").json()["decision"], "allow");
    let answer = asked(r#","address":"127.0.0.1""#).json();
    assert_eq!((&answer["decision"], &answer["rule"]), (&"block".into(), &"no loopback".into()));
    let answer = asked(r#","address":"good.test""#);
    assert_eq!(answer.status, 400);
    assert!(answer.json()["detail"].as_str().unwrap().starts_with("address: "), "{answer:?}");
    let body = r#"{"dest":"127.0.0.1","port":1,"address":"127.0.0.1"}"#;
    assert_eq!(ruled.proxy.post("/api/acl/test", body).status, 400);
}

#[test]
fn a_new_file_ends_sessions_that_it_no_longer_allows_within_a_second() {
    let allow = rules("block", &[("allow", "loopback", "127.0.0.0/8")]);
    let ruled = Ruled::start(&allow, "");
    let (target, address) = listener();
    let mut client = Client::socks5(ruled.proxy.socks(), Command::Connect, &at(address)).granted();
    let source = client.source();
    let _peer = target.accept().unwrap();
    ruled.replace(&rules("block", &[]));
    assert!(client.stream.read(&mut [0; 8]).is_err(), "cut by a reset");
    let record = ruled.proxy.record_from(source);
    assert_eq!(end(&record), ("closed", "acl_revoked"));
    let reply = Client::socks5(ruled.proxy.socks(), Command::Connect, &at(address)).refused();
    assert_eq!(reply, Reply::NotAllowed);
}

/// Whether somebody waits for a connection to a port of this machine (proc(5): state 2).
fn is_awaited(port: u16) -> bool {
    let far = format!(":{port:04X} 02 ");
    std::fs::read_to_string("/proc/net/tcp").unwrap().contains(&far)
}

#[test]
fn a_session_whose_address_is_forbidden_while_it_connects_ends_as_well() {
    let dns = FakeDns::start(&[("slow.test", &["127.0.0.1"])]);
    let ruled = Ruled::start(&rules("allow", &[]), &dns.config());
    // With room for one connection that nobody accepts; the next one waits for the room.
    let target = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    target.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    target.listen(0).unwrap();
    let target = std::net::TcpListener::from(target);
    let address = target.local_addr().unwrap();
    let first = TcpStream::connect(address).unwrap();
    let mut client = Client::connect(ruled.proxy.socks());
    let source = client.source();
    assert!(client.greet());
    let wish = named("slow.test", address.port());
    let asking = std::thread::spawn(move || client.ask(Command::Connect, &wish));
    eventually("the attempt", || is_awaited(address.port()).then_some(()));
    ruled.replace(&rules("allow", &[("block", "no loopback", "127.0.0.0/8")]));
    eventually("the new rules", || (ruled.generation() == 1).then_some(()));
    let _room = (target.accept().unwrap(), first);
    let record = ruled.proxy.record_from(source);
    assert_eq!(record["close_reason"], "acl_revoked");
    drop(asking.join());
}

#[test]
fn a_broken_file_keeps_the_old_rules_and_tells_line_and_key() {
    let allow = rules("block", &[("allow", "loopback", "127.0.0.0/8")]);
    let ruled = Ruled::start(&allow, "");
    let (target, address) = listener();
    ruled.replace(&allow.replace("default_policy", "default_polic"));
    eventually("an event", || {
        let events = ruled.proxy.get("/api/telemetry/events?category=acl&severity=error").json();
        let error = events[0]["details"]["error"].as_str()?.to_owned();
        assert!(error.contains(":2:") && error.contains("default_polic"), "{error}");
        Some(())
    });
    let answer = ruled.proxy.post("/api/admin/reload-acl", "");
    assert_eq!(answer.status, 422, "{answer:?}");
    Client::socks5(ruled.proxy.socks(), Command::Connect, &at(address)).granted();
    target.accept().unwrap();
    assert_eq!(ruled.generation(), 0);
}

#[test]
fn a_hangup_signal_and_the_api_reload_the_rules() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("acl.toml");
    std::fs::write(&file, rules("block", &[])).unwrap();
    let config = format!("[acl]\nenabled = true\nconfig_file = \"{}\"\n", file.display());
    let proxy = super::proxy(&config);
    let (_target, address) = listener();
    let allowed = || match Client::socks5(proxy.socks(), Command::Connect, &at(address)) {
        Outcome::Granted(..) => true,
        Outcome::Refused(_) | Outcome::Closed => false,
    };
    assert!(!allowed());
    std::fs::write(&file, rules("allow", &[])).unwrap();
    proxy.signal(Signal::HUP);
    eventually("the reload", || allowed().then_some(()));
    std::fs::write(&file, rules("block", &[])).unwrap();
    let answer = proxy.post("/api/admin/reload-acl", "");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["changed"], true);
    assert!(!allowed());
}

#[test]
fn the_api_explains_which_rule_decides() {
    let list = [("block", "no loopback", "127.0.0.0/8"), ("allow", "all", "*")];
    let ruled = Ruled::start(&rules("block", &list), "");
    let answer = ruled.proxy.post("/api/acl/test", r#"{"dest":"127.0.0.1","port":80}"#).json();
    assert_eq!(answer["decision"], "block");
    assert_eq!(answer["rule"], "no loopback");
    assert_eq!(answer["matches"].as_array().unwrap().len(), 2);
}
