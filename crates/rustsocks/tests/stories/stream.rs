//! The live stream: what a reader is told, in which order, and what others pay for it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rustsocks_proto::Command;
use rustsocks_testkit::client::{Client, at};
use rustsocks_testkit::stream::Event;
use rustsocks_testkit::{EventStream, Proxy, eventually};

use super::{listener, proxy};

const STREAM: &str = "/api/sessions/stream";

/// A reader that has begun to read: everything that opens from here on is told.
fn reader(proxy: &Proxy, path: &str, last: Option<&str>) -> (EventStream, Event) {
    let mut stream = EventStream::open(proxy.api(), path, last);
    let greeting = stream.event().unwrap();
    (stream, greeting)
}

/// A session with the target's side of it.
fn session(proxy: &Proxy) -> (Client, TcpStream) {
    let (target, address) = listener();
    let client = Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
    (client, target.accept().unwrap().0)
}

/// A session that sends so many bytes and ends.
fn short(proxy: &Proxy, bytes: usize) {
    let (mut client, mut peer) = session(proxy);
    client.send(&vec![1; bytes]);
    peer.read_exact(&mut vec![0; bytes]).unwrap();
}

fn sent(event: &Event) -> u64 {
    event.data["bytes_sent"].as_u64().unwrap()
}

#[test]
fn a_session_is_told_as_it_opens_moves_bytes_and_ends_with_the_right_numbers() {
    let proxy = proxy("");
    let (mut stream, greeting) = reader(&proxy, STREAM, None);
    assert!(greeting.name.is_empty() && !greeting.id.is_empty(), "{greeting:?}");
    let (mut client, mut peer) = session(&proxy);
    let opened = stream.wait_for("the opening", |_| true);
    assert_eq!((opened.name.as_str(), &opened.data["status"]), ("opened", &"active".into()));
    let id = opened.data["session_id"].clone();
    client.send(&[1; 1000]);
    peer.read_exact(&mut [0; 1000]).unwrap();
    peer.write_all(&[2; 500]).unwrap();
    client.stream.read_exact(&mut [0; 500]).unwrap();
    let moved = |event: &Event| sent(event) == 1000 && event.data["bytes_received"] == 500;
    let updated = stream.wait_for("the bytes", moved);
    assert_eq!((updated.name.as_str(), &updated.data["session_id"]), ("updated", &id));
    drop(client);
    drop(peer);
    let ended = stream.wait_for("the end", |event| event.name == "ended");
    let record = proxy.record("the record", |record| record["session_id"] == id);
    assert_eq!(ended.data, record, "the last event is the record");
    short(&proxy, 7);
    let next = stream.wait_for("the next session", |_| true);
    assert_eq!(next.name, "opened");
    stream.wait_for("its end", |event| event.name == "ended" && sent(event) == 7);
}

#[test]
fn a_filter_narrows_the_stream_and_wrong_ones_are_a_400() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    let path = format!("{STREAM}?min_bytes=100&status=closed&user=anonymous");
    let (mut stream, _) = reader(&proxy, &path, None);
    for bytes in [1, 100, 99, 250, 3] {
        short(&proxy, bytes);
        eventually("its end", || proxy.active().is_empty().then_some(()));
    }
    for expected in [100, 250] {
        let event = stream.wait_for("an end", |_| true);
        assert_eq!((event.name.as_str(), sent(&event)), ("ended", expected));
    }
    for wrong in ["page", "page_size", "cursor", "sort_by", "sort_dir"] {
        let answer = proxy.get(&format!("{STREAM}?{wrong}=1"));
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(wrong), "{answer:?}");
    }
    for (elsewhere, name) in [("scope=cluster", "scope: "), ("node=elsewhere", "node: ")] {
        let answer = proxy.get(&format!("{STREAM}?{elsewhere}"));
        assert_eq!(answer.status, 400, "{elsewhere}");
        assert!(answer.json()["detail"].as_str().unwrap().starts_with(name), "{answer:?}");
    }
}

#[test]
fn a_reader_that_comes_back_misses_nothing_and_sees_nothing_twice() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    let (_keeps_it_going, _) = reader(&proxy, STREAM, None);
    let (mut stream, greeting) = reader(&proxy, STREAM, None);
    let mut last = greeting.id;
    let mut ended = Vec::new();
    let mut bytes = 0;
    // It leaves after each few events, wherever that may be, while sessions come and go.
    for round in 0..12 {
        for _ in 0..5 {
            bytes += 1;
            short(&proxy, bytes);
        }
        for _ in 0..round {
            let event = stream.event().unwrap();
            if event.name == "ended" {
                ended.push(sent(&event));
            }
            assert_ne!(event.name, "gap");
            last = event.id;
        }
        drop(stream);
        stream = reader(&proxy, STREAM, Some(&last)).0;
    }
    while ended.len() < bytes {
        let event = stream.wait_for("every end", |event| event.name != "updated");
        assert_ne!(event.name, "gap");
        if event.name == "ended" {
            ended.push(sent(&event));
        }
    }
    ended.sort_unstable();
    let expected: Vec<u64> = (1..=bytes as u64).collect();
    assert_eq!(ended, expected, "each end once");
}

#[test]
fn an_unknown_place_is_a_gap_of_unknown_length() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    let (_stream, greeting) = reader(&proxy, STREAM, None);
    let (run, number) = greeting.id.split_once('.').unwrap();
    let later = format!("{run}.{}", number.parse::<u64>().unwrap() + 1_000_000);
    for unknown in ["", "x", "1.1", ".", &format!("{run}."), &later, &format!("{run}.-1")] {
        let (mut stream, gap) = reader(&proxy, STREAM, Some(unknown));
        assert_eq!(gap.name, "gap", "{unknown:?}");
        assert!(gap.data["missed"].is_null(), "{gap:?}");
        short(&proxy, 1);
        stream.wait_for("what comes next", |event| event.name == "ended");
        let (mut again, known) = reader(&proxy, STREAM, Some(&gap.id));
        assert_eq!(known.name, "", "a gap's id resumes");
        again.wait_for("the same", |event| event.name == "ended");
    }
}

#[test]
fn a_slow_reader_is_told_how_much_it_missed_and_goes_on() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    // With little room on the way, so that the program notices soon.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&proxy.api().into()).unwrap();
    let mut slow = EventStream::over(socket.into(), STREAM, None);
    let greeting = slow.event().unwrap();
    let number = |event: &Event| event.id.split_once('.').unwrap().1.parse::<u64>().unwrap();
    let began = number(&greeting);
    let (mut quick, _) = reader(&proxy, &format!("{STREAM}?min_bytes=1"), None);
    rush(&proxy, 7000);
    eventually("all but the last 8192 events to be forgotten", || {
        short(&proxy, 1);
        let (mut late, _) = reader(&proxy, STREAM, Some(&greeting.id));
        let missed = late.event().unwrap().data["missed"].as_u64();
        missed.filter(|missed| *missed >= 14_000 - 8192)
    });
    short(&proxy, 5);
    let is_last = |event: &Event| event.name == "ended" && event.data["bytes_sent"] == 5;
    let last = quick.wait_for("the last end", is_last);
    // What its connection holds comes first, then the gap, then what is still there.
    let mut seen = began;
    let mut missed = 0;
    while seen < number(&last) {
        let event = slow.event().unwrap();
        if event.name == "gap" {
            let gap = event.data["missed"].as_u64().unwrap();
            assert_eq!(number(&event), seen + gap, "a gap counts what is not told");
            missed += gap;
        } else {
            assert_eq!(number(&event), seen + 1);
        }
        seen = number(&event);
    }
    assert!(missed > 0, "14 000 events fit nowhere");
}

/// So many short sessions that send nothing, over a few threads.
fn rush(proxy: &Proxy, sessions: usize) {
    let (target, address) = listener();
    let socks = proxy.socks();
    std::thread::scope(|scope| {
        scope.spawn(move || (0..sessions).for_each(|_| drop(target.accept().unwrap())));
        for _ in 0..4 {
            scope.spawn(move || {
                for _ in 0..sessions / 4 {
                    Client::socks5(socks, Command::Connect, &at(address)).granted();
                }
            });
        }
    });
}

#[test]
fn a_quiet_stream_says_that_it_is_alive() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    let (mut stream, greeting) = reader(&proxy, STREAM, None);
    let quiet = stream.event().unwrap();
    assert!(quiet.name.is_empty() && quiet.data.is_null(), "{quiet:?}");
    assert_eq!(quiet.id, greeting.id, "and from where to resume");
}

#[test]
fn the_stream_tells_the_last_ends_and_ends_with_the_program() {
    let mut proxy = proxy("[server]\nshutdown_grace_secs = 1\n");
    let (mut stream, _) = reader(&proxy, STREAM, None);
    let idle: Vec<EventStream> = (0..50).map(|_| reader(&proxy, STREAM, None).0).collect();
    let (_client, _peer) = session(&proxy);
    stream.wait_for("the opening", |event| event.name == "opened");
    assert_eq!(proxy.terminate(), Some(0));
    let ended = stream.wait_for("the end", |event| event.name == "ended");
    assert_eq!(ended.data["close_reason"], "server_shutdown");
    assert!(stream.event().is_none(), "the stream has ended");
    drop(idle);
}

/// Memory that a process holds, in bytes.
fn resident(proxy: &Proxy) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Readers that read nothing of what they are sent.
fn sleepers(api: SocketAddr, count: usize) -> Vec<TcpStream> {
    let sleeper = |_| {
        let mut stream = TcpStream::connect(api).unwrap();
        let head = format!("GET {STREAM} HTTP/1.1\r\nHost: {api}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // The head of the answer: it reads from here on, as far as the program knows.
        stream.read_exact(&mut [0; 15]).unwrap();
        stream
    };
    (0..count).map(sleeper).collect()
}

/// `RUSTSOCKS_READERS=1000 cargo test --release -p rustsocks --test stories slow_readers -- --nocapture`
/// prints what docs/manual/performance.md says.
#[test]
fn slow_readers_cost_bounded_memory_and_starve_nobody() {
    let count = std::env::var("RUSTSOCKS_READERS").map_or(200, |text| text.parse().unwrap());
    let proxy = proxy("[sessions]\nstorage = \"memory\"\nmemory_max_sessions = 100\n");
    rush(&proxy, 4000);
    let (mut quick, _) = reader(&proxy, &format!("{STREAM}?min_bytes=1"), None);
    let before = resident(&proxy);
    let readers = sleepers(proxy.api(), count);
    let stop = AtomicBool::new(false);
    let most = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut most = 0;
            while !stop.load(Relaxed) {
                most = resident(&proxy).max(most);
                std::thread::park_timeout(Duration::from_millis(20));
            }
            most
        });
        rush(&proxy, 8000);
        stop.store(true, Relaxed);
        watching.join().unwrap()
    });
    short(&proxy, 5);
    quick.wait_for("the last end", |event| event.name == "ended");
    assert_eq!(proxy.get("/health").status, 200);
    let grown = most.saturating_sub(before);
    let each = grown / count as u64;
    println!("{count} readers that do not read: {} KiB, {each} bytes each", grown >> 10);
    // The ring at its fullest, and what a connection may hold for each.
    assert!(grown < (96 << 20) + count as u64 * (48 << 10), "{grown} bytes");
    let queued = queued_by_the_system(proxy.api().port());
    println!("the system holds {} KiB for the slowest", queued >> 10);
    assert!(queued < 192 << 10, "{queued} bytes");
    drop(readers);
}

/// The most bytes that the system holds for a client of a port which has not taken them.
fn queued_by_the_system(port: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let queue = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let ours = fields.next()?.ends_with(&format!(":{port:04X}"));
        let (sent, _) = fields.nth(2)?.split_once(':')?;
        ours.then(|| u64::from_str_radix(sent, 16).ok())?
    };
    table.lines().filter_map(queue).max().unwrap()
}

#[test]
fn readers_beyond_the_limit_are_turned_away_and_others_are_served() {
    let proxy = proxy("[sessions]\nstorage = \"memory\"\n");
    let readers = sleepers(proxy.api(), 1536);
    let refused = proxy.get(STREAM);
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(proxy.get("/health").status, 200);
    assert_eq!(proxy.get("/api/sessions/active").status, 200);
    drop(readers);
    eventually("room", || {
        let mut stream = TcpStream::connect(proxy.api()).unwrap();
        let head = format!("GET {STREAM} HTTP/1.1\r\nHost: {}\r\n\r\n", proxy.api());
        stream.write_all(head.as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        (&status == b"HTTP/1.1 200").then_some(())
    });
}
