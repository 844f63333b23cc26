//! Thousands of random sessions against peers that count for themselves.
//!
//! The oracle knows nothing of the proxy: each end of a session writes down what it wrote and
//! what it read. Where both ends finished in order, the record must agree to the byte. Where a
//! session was cut, what was handed to a socket lies between what the reader read and what the
//! writer wrote.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use rustsocks_proto::client::encode_udp;
use rustsocks_proto::udp::decode_udp;
use rustsocks_proto::{Command, Host};
use rustsocks_testkit::client::{Client, Outcome, at};
use rustsocks_testkit::{PATIENCE, Proxy, eventually};

use super::{proxy, reset};

/// A small generator, so that a seed tells the whole run.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Mostly small, sometimes megabytes.
    fn size(&mut self) -> usize {
        let bound = [0, 1, 100, 5000, 70_000, 300_000, 2_500_000][self.below(7) as usize];
        self.below(bound + 1) as usize
    }
}

/// What one end wrote and read.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    wrote: u64,
    read: u64,
    /// Whether it met end of stream, not an error, and wrote all it wanted.
    in_order: bool,
}

/// What both ends say of one session; the client's port names it.
#[derive(Clone, Copy, Debug, Default)]
struct Witness {
    client: Told,
    target: Told,
}

type Book = Arc<Mutex<HashMap<u16, Witness>>>;

/// One end's part: writes `size` bytes in random pieces while reading everything, half-closes,
/// or resets half-way.
fn play(stream: TcpStream, mut random: Random) -> Told {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let size = random.size();
    let resets = random.below(12) == 0;
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        let payload = vec![0xA5_u8; 70_000];
        let mut wrote = 0;
        let stop_at = if resets { size / 2 } else { size };
        while wrote < stop_at {
            let piece = (1 + random.below(66_000) as usize).min(stop_at - wrote);
            match writer.write(&payload[..piece]) {
                Ok(count) => wrote += count,
                Err(_) => return (wrote, false),
            }
        }
        if resets {
            return (wrote, false);
        }
        (wrote, writer.shutdown(Shutdown::Write).is_ok())
    });
    if resets {
        let (wrote, _) = writing.join().unwrap();
        reset(stream);
        return Told { wrote: wrote as u64, read: 0, in_order: false };
    }
    let mut reader = stream;
    let mut buffer = vec![0; 70_000];
    let mut read = 0;
    let ended = loop {
        match reader.read(&mut buffer) {
            Ok(0) => break true,
            Ok(count) => read += count as u64,
            Err(_) => break false,
        }
    };
    if !ended {
        // The writer may still be blocked on a connection that is gone.
        let _gone = reader.shutdown(Shutdown::Both);
    }
    let (wrote, finished) = writing.join().unwrap();
    Told { wrote: wrote as u64, read, in_order: ended && finished }
}

/// A destination; sessions are matched by a tag that the client sends first: its own port.
fn target(book: Book, seed: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let seeds = AtomicUsize::new(0);
        for mut stream in listener.incoming().map_while(Result::ok) {
            let book = Arc::clone(&book);
            let number = seeds.fetch_add(1, Relaxed) as u64;
            std::thread::spawn(move || {
                let mut tag = [0; 2];
                if stream.read_exact(&mut tag).is_err() {
                    return;
                }
                let random = Random(seed ^ (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
                let mut told = play(stream, random);
                told.read += 2;
                let port = u16::from_be_bytes(tag);
                book.lock().unwrap().entry(port).or_default().target = told;
            });
        }
    });
    address
}

fn connect_session(socks: SocketAddr, target: SocketAddr, book: &Book, random: &Random) {
    let Some(mut client) = Client::try_connect(socks) else { return };
    let port = client.source().port();
    let Outcome::Granted(client_granted, _) = ({
        // The proxy may be stopping.
        client.greet_or_gone().then(|| client.ask(Command::Connect, &at(target)))
    })
    .unwrap_or(Outcome::Closed) else {
        return;
    };
    finish(client_granted, port, book, random);
}

fn bind_session(socks: SocketAddr, book: &Book, random: &Random) {
    let Some(mut client) = Client::try_connect(socks) else { return };
    let port = client.source().port();
    if !client.greet_or_gone() {
        return;
    }
    let any = at("0.0.0.0:0".parse().unwrap());
    let Outcome::Granted(client, bound) = client.ask(Command::Bind, &any) else { return };
    let Host::Ip(ip) = bound.host else { return };
    let Ok(mut peer) = TcpStream::connect((ip, bound.port)) else { return };
    let Outcome::Granted(client, _) = client.reply() else { return };
    let book_of_peer = Arc::clone(book);
    let random_of_peer = Random(random.0.rotate_left(17) | 1);
    let playing = std::thread::spawn(move || {
        let mut tag = [0; 2];
        if peer.read_exact(&mut tag).is_err() {
            return;
        }
        let mut told = play(peer, random_of_peer);
        told.read += 2;
        book_of_peer.lock().unwrap().entry(port).or_default().target = told;
    });
    finish(client, port, book, random);
    playing.join().unwrap();
}

fn finish(client: Client, port: u16, book: &Book, random: &Random) {
    let mut stream = client.stream;
    if stream.write_all(&port.to_be_bytes()).is_err() {
        return;
    }
    let mut told = play(stream, random.clone());
    told.wrote += 2;
    book.lock().unwrap().entry(port).or_default().client = told;
}

/// An association whose every datagram is awaited, so that nothing is lost on the way.
fn udp_session(socks: SocketAddr, echo: SocketAddr, book: &Book, random: &mut Random) {
    let Some(mut control) = Client::try_connect(socks) else { return };
    let port = control.source().port();
    if !control.greet_or_gone() {
        return;
    }
    let any = at("0.0.0.0:0".parse().unwrap());
    let Outcome::Granted(control, bound) = control.ask(Command::UdpAssociate, &any) else { return };
    let Host::Ip(ip) = bound.host else { return };
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect((ip, bound.port)).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    let (mut wrote, mut read, mut in_order) = (0, 0, true);
    let mut buffer = vec![0; 70_000];
    for _ in 0..random.below(60) {
        let payload = vec![3; random.below(9000) as usize];
        let mut datagram = Vec::new();
        encode_udp(&at(echo), &payload, &mut datagram);
        // Counted before it is known to arrive: a cut may come between.
        wrote += payload.len() as u64;
        let answered = socket.send(&datagram).and_then(|_| socket.recv(&mut buffer));
        let Ok(length) = answered else {
            in_order = false;
            break;
        };
        let (_, offset) = decode_udp(&buffer[..length]).unwrap();
        read += (length - offset) as u64;
    }
    drop(control);
    let client = Told { wrote, read, in_order };
    // What came back has been there; what did not may have been.
    let target = Told { wrote, read, in_order };
    book.lock().unwrap().insert(port, Witness { client, target });
}

/// Lets a client notice that the proxy is stopping without failing the test.
trait OrGone {
    fn greet_or_gone(&mut self) -> bool;
}

impl OrGone for Client {
    fn greet_or_gone(&mut self) -> bool {
        self.stream.write_all(&[5, 1, 0]).is_ok()
            && self.message(rustsocks_proto::client::decode_method).is_some()
    }
}

fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 70_000];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _lost = socket.send_to(&buffer[..length], from);
        }
    });
    address
}

/// What the run does to sessions besides running them.
fn disturb(proxy_api: SocketAddr, done: &AtomicBool, mut random: Random) -> usize {
    let mut kills = 0;
    let ask = |method: &str, path: &str| {
        rustsocks_testkit::http::request(proxy_api, method, path, "").ok()
    };
    while !done.load(Relaxed) {
        let active = ask("GET", "/api/sessions/active?page_size=20").map(|answer| answer.json());
        let list = active.as_ref().and_then(|page| page["data"].as_array());
        if let Some(session) = list.and_then(|list| list.get(random.below(20) as usize)) {
            let id = session["session_id"].as_str().unwrap();
            let answer = ask("POST", &format!("/api/sessions/{id}/terminate"));
            kills += usize::from(answer.is_some_and(|answer| answer.status == 202));
        }
        let _reloaded = ask("POST", "/api/admin/reload-acl");
        std::thread::park_timeout(std::time::Duration::from_millis(30));
    }
    kills
}

/// Runs sessions from many threads until `count` were begun or the proxy is gone.
fn run(proxy: &Proxy, count: usize, seed: u64, book: &Book) {
    let (target, echo) = (target(Arc::clone(book), seed), echo());
    let begun = AtomicUsize::new(0);
    let socks = proxy.socks();
    std::thread::scope(|scope| {
        for thread in 0..24_u64 {
            let begun = &begun;
            scope.spawn(move || {
                let mut random = Random(seed.wrapping_mul(2 * thread + 3) | 1);
                while begun.fetch_add(1, Relaxed) < count {
                    if TcpStream::connect(socks).is_err() {
                        return;
                    }
                    let one = Random(random.next() | 1);
                    match random.below(10) {
                        0 => bind_session(socks, book, &one),
                        1 => udp_session(socks, echo, book, &mut random),
                        _ => connect_session(socks, target, book, &one),
                    }
                }
            });
        }
    });
}

/// Compares the ledger with the witnesses, record by record. Returns the sums of the records.
fn compare(proxy: &Proxy, book: &Book, seed: u64) -> (u64, u64) {
    let records = proxy.records();
    let book = book.lock().unwrap();
    let mut by_port: HashMap<u16, Vec<&serde_json::Value>> = HashMap::new();
    for record in &records {
        let port = u16::try_from(record["source_port"].as_u64().unwrap()).unwrap();
        by_port.entry(port).or_default().push(record);
    }
    let mut exact = 0;
    for (port, witness) in book.iter() {
        let found = by_port.get(port).map(Vec::as_slice).unwrap_or_default();
        // A port that the system gave out twice within the run tells two sessions as one.
        let [record] = found else {
            assert!(!found.is_empty(), "seed {seed}: no record of port {port}: {witness:?}");
            continue;
        };
        let (sent, received) = super::bytes(record);
        let Witness { client, target } = witness;
        let why = format!("seed {seed}: {witness:#?} {record:#}");
        if client.in_order && target.in_order {
            assert_eq!((sent, received), (client.wrote, client.read), "{why}");
            assert_eq!((received, sent), (target.wrote, target.read), "{why}");
            exact += 1;
        } else {
            assert!(target.read <= sent && sent <= client.wrote.max(target.read), "{why}");
            assert!(client.read <= received, "{why}");
            assert!(target.wrote == 0 || received <= target.wrote, "{why}");
        }
    }
    assert!(exact * 2 > book.len(), "seed {seed}: only {exact} of {} ended in order", book.len());
    let sum = |pick: fn(&serde_json::Value) -> u64| records.iter().map(pick).sum();
    (sum(|record| super::bytes(record).0), sum(|record| super::bytes(record).1))
}

fn count() -> usize {
    let set = std::env::var("RUSTSOCKS_ORACLE_SESSIONS").ok();
    set.and_then(|count| count.parse().ok()).unwrap_or(1500)
}

fn rules_folder() -> (tempfile::TempDir, String) {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("acl.toml");
    std::fs::write(&file, "[global]\ndefault_policy = \"allow\"\n").unwrap();
    let config = format!(
        "[acl]\nenabled = true\nconfig_file = \"{}\"\n[server]\nshutdown_grace_secs = 0\n",
        file.display()
    );
    (folder, config)
}

#[test]
fn every_record_agrees_with_what_both_ends_counted() {
    let seed = u64::from(std::process::id()) << 20 | 0x5EED;
    let (_folder, config) = rules_folder();
    let proxy = proxy(&config);
    let book = Book::default();
    let done = AtomicBool::new(false);
    let kills = std::thread::scope(|scope| {
        let disturbing = scope.spawn(|| disturb(proxy.api(), &done, Random(seed | 1)));
        run(&proxy, count(), seed, &book);
        done.store(true, Relaxed);
        disturbing.join().unwrap()
    });
    eventually("every session to be stored", || {
        (proxy.metric("rustsocks_outbox_unsaved") == 0).then_some(())
    });
    let (sent, received) = compare(&proxy, &book, seed);
    assert_eq!(proxy.metric("rustsocks_sessions_total"), proxy.records().len() as u64);
    eprintln!("seed {seed}: {kills} sessions killed, {sent} bytes sent, {received} received");
    // The totals owe at most what was undone at a cut, which only ever is taken off the next.
    assert!(proxy.metric("rustsocks_bytes_sent_total") >= sent);
    assert!(proxy.metric("rustsocks_bytes_received_total") >= received);
}

#[test]
fn a_stop_in_the_middle_leaves_every_session_recorded_once() {
    let seed = u64::from(std::process::id()) << 20 | 0xDEAD;
    let (_folder, config) = rules_folder();
    let mut proxy = proxy(&config);
    let book = Book::default();
    let pid = proxy.pid();
    std::thread::scope(|scope| {
        let api = proxy.api();
        scope.spawn(move || {
            eventually("some sessions", || {
                let page = rustsocks_testkit::http::request(api, "GET", "/metrics", "").ok()?.body;
                let line =
                    page.lines().find(|line| line.starts_with("rustsocks_sessions_total"))?;
                let sessions: u64 = line.split(' ').nth(1)?.parse().ok()?;
                (sessions > 150).then_some(())
            });
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        });
        run(&proxy, 100_000, seed, &book);
    });
    assert_eq!(proxy.wait().code(), Some(0));
    proxy.restart();
    compare(&proxy, &book, seed);
    let database = proxy.folder().join("data/sessions.db");
    let twice = "SELECT count(*) - count(DISTINCT session_id) FROM sessions";
    let output = std::process::Command::new("sqlite3").arg(database).arg(twice).output().unwrap();
    assert_eq!(output.stdout, b"0\n");
}
