//! Every event that operators are told of, each raised by the thing itself. The names of these
//! tests are the list in `docs/manual/events.md`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use rustsocks_proto::{AuthStatus, Command, Reply};
use rustsocks_testkit::client::{Client, at, named};
use rustsocks_testkit::{FakeDns, Proxy, eventually};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::ledger::hold;
use super::{end, listener, proxy};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rustsocks");

fn events(proxy: &Proxy, query: &str) -> Vec<Value> {
    let answer = proxy.get(&format!("/api/telemetry/events?{query}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json().as_array().unwrap().clone()
}

/// The event of this category and severity whose message holds these words, once it is there.
fn told(proxy: &Proxy, category: &str, severity: &str, words: &str) -> Value {
    eventually(words, || find(proxy, category, severity, words))
}

fn find(proxy: &Proxy, category: &str, severity: &str, words: &str) -> Option<Value> {
    let found = events(proxy, &format!("category={category}&severity={severity}"));
    found.into_iter().find(|event| event["message"].as_str().unwrap().contains(words))
}

/// Asks for a destination that nobody serves.
fn refused(proxy: &Proxy, address: SocketAddr) {
    let reply = Client::socks5(proxy.socks(), Command::Connect, &at(address)).refused();
    assert_eq!(reply, Reply::ConnectionRefused);
}

/// An address at which nobody listens.
fn closed() -> SocketAddr {
    listener().1
}

/// A destination that accepts, and keeps what it accepted open.
fn open_destination() -> SocketAddr {
    let (target, address) = listener();
    std::thread::spawn(move || {
        let _open: Vec<_> = target.incoming().map_while(Result::ok).collect();
    });
    address
}

/// One short session to each destination, again and again, until `seen` gives something.
fn in_steady_use<T>(
    proxy: &Proxy,
    destinations: &[SocketAddr],
    what: &str,
    mut seen: impl FnMut() -> Option<T>,
) -> T {
    eventually(what, || {
        for address in destinations {
            // Two at once: a wish for more than one spare.
            let ask = || Client::socks5(proxy.socks(), Command::Connect, &at(*address)).granted();
            let _both = (ask(), ask());
        }
        seen()
    })
}

#[test]
fn pool_drop() {
    let proxy = proxy("[server.pool]\nenabled = true\nmax_idle_per_dest = 1\nmax_total_idle = 9\n");
    let address = open_destination();
    let event = in_steady_use(&proxy, &[address], "a drop", || {
        find(&proxy, "connection_pool", "info", "more spare connections than it may have")
    });
    assert_eq!(event["details"]["destination"], address.to_string());
    assert_eq!(event["details"]["max_idle_per_dest"], "1");
}

#[test]
fn pool_eviction() {
    let proxy = proxy("[server.pool]\nenabled = true\nmax_idle_per_dest = 4\nmax_total_idle = 1\n");
    let addresses = [open_destination(), open_destination()];
    let event = in_steady_use(&proxy, &addresses, "an eviction", || {
        find(&proxy, "connection_pool", "info", "closed to make room")
    });
    let evicted = event["details"]["destination"].as_str().unwrap();
    assert!(addresses.iter().any(|address| address.to_string() == evicted), "{event}");
    assert_eq!(event["details"]["max_total_idle"], "1");
    assert!(proxy.get("/api/pool/stats").json()["evicted"].as_u64().unwrap() > 0);
}

#[test]
fn upstream_refused() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    let address = closed();
    refused(&proxy, address);
    let event = told(&proxy, "connection_pool", "warning", "outgoing connection failed");
    assert_eq!(event["details"]["destination"], address.to_string());
    assert_eq!(event["details"]["reason"], "connect_refused");
}

#[test]
fn upstream_timed_out() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n[server]\nconnect_timeout_ms = 300\n");
    // A listener whose queue is full answers no further connection.
    let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let full = socket();
    full.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let fill = |_| {
        let socket = socket();
        socket.set_nonblocking(true).unwrap();
        let _in_progress = socket.connect(&address.into());
        socket
    };
    let _queued: Vec<Socket> = (0..8).map(fill).collect();
    let reply = Client::socks5(proxy.socks(), Command::Connect, &at(address)).refused();
    assert_eq!(reply, Reply::TtlExpired);
    let event = told(&proxy, "connection_pool", "warning", "outgoing connection failed");
    assert_eq!(event["details"]["reason"], "connect_timeout");
}

#[test]
fn upstream_unresolvable() {
    let dns = FakeDns::start(&[]);
    let proxy = proxy(&format!("[sessions]\nstorage = \"memory\"\n{}", dns.config()));
    let reply = Client::socks5(proxy.socks(), Command::Connect, &named("no.test", 80)).refused();
    assert_eq!(reply, Reply::HostUnreachable);
    let event = told(&proxy, "connection_pool", "warning", "outgoing connection failed");
    assert_eq!(event["details"]["destination"], "no.test:80");
    assert_eq!(event["details"]["reason"], "dns_failed");
}

#[test]
fn storage_degraded_and_storage_recovered() {
    let proxy = proxy("");
    let holder = hold(&proxy.folder().join("data/sessions.db"));
    refused(&proxy, closed());
    let event = told(&proxy, "storage", "error", "records cannot be saved; they wait");
    assert!(event["details"]["error"].as_str().unwrap().contains("locked"), "{event}");
    drop(holder);
    told(&proxy, "storage", "info", "records are saved again");
}

#[test]
fn storage_quarantined() {
    let mut proxy = proxy("");
    assert_eq!(proxy.terminate(), Some(0));
    proxy.write("data/sessions.db", "no database, but a letter");
    proxy.restart();
    let event = told(&proxy, "storage", "error", "it was moved aside and a new one begun");
    let moved = event["details"]["moved_to"].as_str().unwrap();
    assert!(proxy.folder().join(moved).exists(), "{event}");
    assert_eq!(proxy.metric("rustsocks_storage_quarantined"), 1);
    assert_eq!(proxy.terminate(), Some(0));
    proxy.restart();
    assert_eq!(proxy.metric("rustsocks_storage_quarantined"), 0);
}

#[test]
fn storage_fell_back_to_the_delete_journal() {
    let mut proxy = proxy("");
    assert_eq!(proxy.terminate(), Some(0));
    // In the way of the shared memory that a write-ahead log needs.
    std::fs::create_dir(proxy.folder().join("data/sessions.db-shm")).unwrap();
    proxy.restart();
    told(&proxy, "storage", "warning", "the slower DELETE journal is used");
    refused(&proxy, closed());
    eventually("the record", || (proxy.records().len() == 1).then_some(()));
}

#[test]
fn journal_filling() {
    let dns = FakeDns::start(&[]);
    let proxy = proxy(&format!("[sessions]\njournal_max_bytes = 1048576\n{}", dns.config()));
    let holder = hold(&proxy.folder().join("data/sessions.db"));
    // Long names fill it soon.
    let name = format!("{0}.{0}.{0}.{0}.test", "x".repeat(60));
    let event = eventually("a filling journal", || {
        for _ in 0..50 {
            Client::socks5(proxy.socks(), Command::Connect, &named(&name, 80)).refused();
        }
        find(&proxy, "storage", "warning", "the journal fills up")
    });
    let number = |key: &str| event["details"][key].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(number("max_bytes"), 1_048_576);
    assert!(number("bytes") > 800_000, "{event}");
    drop(holder);
}

#[test]
fn accept_errors() {
    let words = ["prlimit", "--nofile=30:30"];
    let proxy = Proxy::start_under(PROGRAM, "[sessions]\nstorage = \"memory\"\n", &words);
    let held: Vec<Client> = (0..60).map(|_| Client::connect(proxy.socks())).collect();
    // With every descriptor taken, the API cannot accept either.
    drop(held);
    let event = told(&proxy, "listener", "error", "clients cannot be accepted");
    assert!(event["details"]["error"].as_str().unwrap().contains("os error 24"), "{event}");
    assert!(proxy.metric("rustsocks_accept_errors_total") > 0);
}

#[test]
fn authentication_storm() {
    let proxy = proxy(
        "[sessions]\nstorage = \"memory\"\n[auth]\nsocks_method = \"userpass\"\n\
         [[auth.users]]\nusername = \"alice\"\npassword = \"one\"\n",
    );
    let event = eventually("a storm", || {
        let mut client = Client::connect(proxy.socks());
        assert_eq!(client.log_in("alice", "guess"), Some(AuthStatus::Failure));
        find(&proxy, "security", "warning", "too many failed logins")
    });
    assert_eq!(event["details"]["source"], "127.0.0.1");
    assert!(!event.to_string().contains("guess"), "{event}");
}

#[test]
fn acl_reload_failed() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("acl.toml");
    std::fs::write(&file, "[global]\ndefault_policy = \"allow\"\n").unwrap();
    let proxy = proxy(&format!("[acl]\nenabled = true\nconfig_file = \"{}\"\n", file.display()));
    std::fs::write(&file, "[global]\ndefault_policy = \"alow\"\n").unwrap();
    proxy.signal(rustix::process::Signal::HUP);
    let event = told(&proxy, "acl", "error", "could not be reloaded");
    let error = event["details"]["error"].as_str().unwrap();
    assert!(error.contains(":2:") && error.contains("default_policy"), "{error}");
    // The API tells the same of the same fault.
    assert_eq!(proxy.post("/api/admin/reload-acl", "").status, 422);
    eventually("a count", || (events(&proxy, "category=acl")[0]["count"] == 2).then_some(()));
}

/// Debian's library that gives a process a wall clock of its own.
fn faketime() -> Option<PathBuf> {
    let found = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let paths = found.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    paths.into_iter().find(|path| path.exists())
}

#[test]
fn wall_clock_stepped_back() {
    let Some(library) = faketime() else {
        eprintln!("SKIPPED: libfaketime (Debian package faketime) is not installed");
        return;
    };
    let folder = tempfile::TempDir::new().unwrap();
    let clock = folder.path().join("clock");
    // Replaced by renaming: the process never reads half a file.
    let set = |offset: &str| {
        let new = folder.path().join("new");
        std::fs::write(&new, offset).unwrap();
        std::fs::rename(new, &clock).unwrap();
    };
    set("+0\n");
    let settings = [
        "env".to_owned(),
        format!("LD_PRELOAD={}", library.display()),
        format!("FAKETIME_TIMESTAMP_FILE={}", clock.display()),
        "FAKETIME_NO_CACHE=1".to_owned(),
        "DONT_FAKE_MONOTONIC=1".to_owned(),
    ];
    let proxy = Proxy::start_under(PROGRAM, "", &settings.each_ref().map(String::as_str));
    let (target, address) = listener();
    let mut client = Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
    let source = client.source();
    let peer = target.accept().unwrap();
    client.send(b"before");
    set("-3600\n");
    let event = told(&proxy, "storage", "warning", "the wall clock was set back");
    let seconds: u64 = event["details"]["seconds"].as_str().unwrap().parse().unwrap();
    assert!((3590..=3600).contains(&seconds), "{event}");
    client.send(b" after");
    drop(client);
    drop(peer);
    let record = proxy.record_from(source);
    let time = |key: &str| record[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let lasted = time("end_time").duration_since(time("start_time")).as_millis();
    // Each of the three is cut to whole milliseconds on its own.
    let length = i128::from(record["duration_ms"].as_u64().unwrap());
    assert!(length.abs_diff(lasted) <= 1, "{record}");
    assert!((0..600_000).contains(&lasted), "{record}");
    assert_eq!(end(&record).0, "closed");
    set("+0\n");
    told(&proxy, "storage", "info", "the wall clock was set forward");
}

#[test]
fn equal_events_are_one_with_a_count_and_the_ring_is_bounded() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n[telemetry]\nmax_events = 5\n");
    let address = closed();
    (0..25).for_each(|_| refused(&proxy, address));
    let found = events(&proxy, "");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["count"], 25);
    assert!(found[0]["first_timestamp"].as_str() < found[0]["timestamp"].as_str());
    // Held until all are known: a freed port may be given out again.
    let many: Vec<_> = (0..20).map(|_| listener()).collect();
    let addresses: Vec<SocketAddr> = many.iter().map(|(_, address)| *address).collect();
    drop(many);
    addresses.iter().for_each(|&address| refused(&proxy, address));
    let found = events(&proxy, "minutes=1&limit=100000");
    assert_eq!(found.len(), 5, "{found:?}");
    assert_eq!(found[0]["details"]["destination"], addresses[19].to_string(), "the newest first");
    assert_eq!(events(&proxy, "limit=2").len(), 2);
    let page = proxy.get("/metrics").body;
    let line = r#"rustsocks_events_total{category="connection_pool",severity="warning"} 45"#;
    assert!(page.lines().any(|found| found == line), "{page}");
}

#[test]
fn where_telemetry_is_off_there_are_no_events() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n[telemetry]\nenabled = false\n");
    refused(&proxy, closed());
    assert_eq!(events(&proxy, ""), Vec::<Value>::new());
}
