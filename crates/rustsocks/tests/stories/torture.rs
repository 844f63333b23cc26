//! `kill -9` under load at random moments, checked against what the test's own peers saw.
//!
//! Each session has a destination address of its own in 127.0.0.0/8, so its record is found
//! without asking the proxy anything. `cargo xtask torture ROUNDS` holds the journal to the 50 ms that
//! are promised. Without it, where other programs may keep this one from the processor and the disk, it
//! gets [`PATIENT_WINDOW`], in `RUSTSOCKS_TORTURE_ROUNDS` rounds.

use std::collections::HashMap;
use std::fmt;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command as Process;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustsocks_testkit::{Proxy, eventually};
use serde_json::Value;

use super::ledger::hold;
use super::proxy;

/// The journal follows events within this time, also on a machine that does other work.
const PATIENT_WINDOW: Duration = Duration::from_millis(500);

/// A setting of the run in the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Counters of an open session are at most this old.
const COUNTERS: Duration = Duration::from_secs(1);

/// A small generator, so that a seed tells the whole run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Monotonic time since the test began; the peers and the killer share it.
fn now() -> Duration {
    use std::sync::OnceLock;
    static BEGAN: OnceLock<tokio::time::Instant> = OnceLock::new();
    BEGAN.get_or_init(tokio::time::Instant::now).elapsed()
}

/// What the peers of one session saw.
#[derive(Clone, Debug, Default)]
struct Seen {
    granted: Option<Duration>,
    /// When the client had read to the end, and what it had sent and got.
    ended: Option<(Duration, u64, u64)>,
    /// Bytes that the client had got so far, at these times.
    progress: Vec<(Duration, u64)>,
    /// The most that either side may have sent.
    offered: (u64, u64),
}

#[derive(Debug, Default)]
struct Book {
    sessions: Mutex<HashMap<Ipv4Addr, Seen>>,
    next: AtomicU32,
    stop: AtomicBool,
}

impl Book {
    /// An address that no session had before.
    fn address(&self) -> Ipv4Addr {
        let number = self.next.fetch_add(1, Relaxed) + 2;
        Ipv4Addr::from(0x7F00_0000 | (number & 0x00FF_FFFF))
    }

    fn note(&self, address: Ipv4Addr, change: impl FnOnce(&mut Seen)) {
        change(self.sessions.lock().unwrap().entry(address).or_default());
    }
}

/// Reads how much to take and how much to give, does so, and closes after the client.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    let number = |part: &[u8]| u32::from_le_bytes(part.try_into().unwrap());
    let (take, give) = (number(&head[..4]), number(&head[4..]));
    std::io::copy(&mut (&stream).take(u64::from(take)), &mut std::io::sink())?;
    let block = [7; 8192];
    let mut left = give as usize;
    while left > 0 {
        let count = stream.write(&block[..left.min(block.len())])?;
        left -= count;
        if give == u32::MAX {
            // A stream at a pace, so that what is sent is read at once.
            std::thread::park_timeout(Duration::from_millis(3));
        }
    }
    std::io::copy(&mut stream, &mut std::io::sink())?;
    Ok(())
}

/// One session of `take` bytes up and `give` bytes down; errors are the proxy's death.
fn session(proxy: SocketAddr, port: u16, book: &Book, sizes: (u32, u32)) -> Option<()> {
    let address = book.address();
    let (up, down) = sizes;
    book.note(address, |seen| seen.offered = (8 + u64::from(up), u64::from(down)));
    let mut stream = TcpStream::connect(proxy).ok()?;
    stream.set_nodelay(true).ok()?;
    // By hand, greeting and request at once: the shared client panics when the proxy is gone.
    let [a, b, c, d] = address.octets();
    let [high, low] = port.to_be_bytes();
    stream.write_all(&[5, 1, 0, 5, 1, 0, 1, a, b, c, d, high, low]).ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).ok()?;
    assert_eq!(answer[..4], [5, 0, 5, 0], "not granted");
    book.note(address, |seen| seen.granted = Some(now()));
    stream.write_all(&[up.to_le_bytes(), down.to_le_bytes()].concat()).ok()?;
    stream.write_all(&vec![1; up as usize]).ok()?;
    let mut buffer = [0; 16_384];
    let mut got = 0;
    while got < u64::from(down) {
        match stream.read(&mut buffer).ok()? {
            0 => return None,
            count => got += count as u64,
        }
        if down == u32::MAX {
            book.note(address, |seen| seen.progress.push((now(), got)));
        }
    }
    stream.shutdown(Shutdown::Write).ok()?;
    match stream.read(&mut buffer) {
        Ok(0) => {}
        _ => return None,
    }
    let ended = now();
    book.note(address, |seen| seen.ended = Some((ended, 8 + u64::from(up), got)));
    Some(())
}

/// Sums over all rounds.
#[derive(Debug, Default)]
struct Sums {
    /// The journal follows events within this time.
    window: Duration,
    rounds: u64,
    sessions: u64,
    ended: u64,
    open: u64,
    young: u64,
    young_unrecorded: u64,
    lost: u64,
    doubled: u64,
    byte_differences: u64,
    wrong_endings: u64,
    oldest_counters: Duration,
    /// The longest time before a kill of an end that the ledger does not have.
    latest: Duration,
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let window = format!("{:?}", self.window);
        writeln!(f, "rounds                                    {}", self.rounds)?;
        writeln!(f, "sessions                                  {}", self.sessions)?;
        writeln!(f, "  ended more than {window:>5} before the kill  {}", self.ended)?;
        writeln!(f, "  open, for more than {window:>5}              {}", self.open)?;
        writeln!(f, "  opened or ended in the last {window:>5}      {}", self.young)?;
        writeln!(f, "    of these without a record             {}", self.young_unrecorded)?;
        writeln!(f, "lost                                      {}", self.lost)?;
        writeln!(f, "doubled                                   {}", self.doubled)?;
        writeln!(f, "byte differences                          {}", self.byte_differences)?;
        writeln!(f, "wrong endings                             {}", self.wrong_endings)?;
        writeln!(f, "oldest counters of an open session        {:?}", self.oldest_counters)?;
        write!(f, "earliest end without a final record       {:?} before the kill", self.latest)
    }
}

impl Sums {
    /// Compares what the peers saw with the ledger's rows of this round.
    fn check(&mut self, seen: &HashMap<Ipv4Addr, Seen>, rows: &[Value], kill: &Kill) {
        let mut records: HashMap<&str, Vec<&Value>> = HashMap::new();
        for row in rows {
            records.entry(row["dest_ip"].as_str().unwrap()).or_default().push(row);
        }
        self.rounds += 1;
        for (address, seen) in seen {
            let Some(granted) = seen.granted else { continue };
            self.sessions += 1;
            let name = address.to_string();
            let found = records.get(name.as_str()).map_or(&[][..], Vec::as_slice);
            self.doubled += u64::from(found.len() > 1);
            let is_ended = seen.ended.is_some_and(|(at, ..)| at + self.window < kill.at);
            let is_open = seen.ended.is_none() && granted + self.window < kill.at;
            match (is_ended, is_open) {
                (true, _) => self.ended += 1,
                (_, true) => self.open += 1,
                _ => self.young += 1,
            }
            let Some(record) = found.first() else {
                match is_ended
                    || is_open
                    || seen.granted.is_some_and(|at| at + self.window < kill.at)
                {
                    true => {
                        eprintln!("lost: {address} {seen:?}");
                        self.lost += 1;
                    }
                    false => self.young_unrecorded += 1,
                }
                continue;
            };
            self.check_record(seen, record, is_ended, kill);
        }
    }

    fn check_record(&mut self, seen: &Seen, record: &Value, is_ended: bool, kill: &Kill) {
        let number = |column: &str| record[column].as_u64().unwrap();
        let (sent, received) = (number("bytes_sent"), number("bytes_received"));
        let crashed = record["close_reason"] == "server_crash";
        let end = record["end_time"].as_str().unwrap_or("9");
        if let Some((at, ..)) = seen.ended.filter(|_| crashed) {
            self.latest = self.latest.max(kill.at.saturating_sub(at));
        }
        if (is_ended && record["status"] != "closed")
            || end > kill.wall.as_str()
            || end < record["start_time"].as_str().unwrap()
            || (seen.ended.is_none() && !crashed && record["status"] != "closed")
        {
            eprintln!("wrong ending: {record} {:?}", seen.ended);
            self.wrong_endings += 1;
        }
        let exact = seen.ended.is_some_and(|(_, up, down)| (up, down) == (sent, received));
        let within = sent <= seen.offered.0 && received <= seen.offered.1;
        // What the client had got a second before the kill must be counted.
        let due = kill.at.saturating_sub(COUNTERS + self.window);
        let least = seen.progress.iter().take_while(|(at, _)| *at <= due).last();
        let fresh = least.is_none_or(|(_, bytes)| *bytes <= received);
        if (is_ended && !exact) || !within || !fresh {
            eprintln!("bytes: {record} {:?} {:?} least {least:?}", seen.ended, seen.offered);
            self.byte_differences += 1;
        }
        if crashed && let Some((at, _)) = seen.progress.iter().find(|(_, bytes)| *bytes > received)
        {
            self.oldest_counters = self.oldest_counters.max(kill.at.saturating_sub(*at));
        }
    }
}

/// When the process was killed, on the test's clock and on the wall.
struct Kill {
    at: Duration,
    wall: String,
}

/// Asks the file, not the proxy.
fn sql(proxy: &Proxy, statement: &str) -> Vec<Value> {
    let output = Process::new("sqlite3")
        .arg("-json")
        .arg(proxy.folder().join("data/sessions.db"))
        .args([".timeout 10000", statement])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    match output.stdout.as_slice() {
        [] => Vec::new(),
        json => serde_json::from_slice(json).unwrap(),
    }
}

/// The wall clock as the ledger writes it.
fn wall(proxy: &Proxy) -> String {
    let now = "SELECT strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now') AS now";
    sql(proxy, now)[0]["now"].as_str().unwrap().to_owned()
}

/// One round: load, kill, restart, compare.
fn round(proxy: &mut Proxy, book: &Arc<Book>, random: &mut Random, sums: &mut Sums) {
    let target = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = target.local_addr().unwrap().port();
    let accepting = target.try_clone().unwrap();
    std::thread::spawn(move || {
        for stream in accepting.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(stream));
        }
    });
    book.sessions.lock().unwrap().clear();
    book.stop.store(false, Relaxed);
    let lock = (random.below(4) == 0).then(|| hold(&proxy.folder().join("data/sessions.db")));
    let socks = proxy.socks();
    let load: Vec<_> = (0..8_u64)
        .map(|number| {
            let (book, seed) = (Arc::clone(book), random.below(u64::MAX) | 1);
            std::thread::spawn(move || {
                let mut random = Random(seed);
                // Some stream for as long as they live, some are quiet, most are short.
                let endless = match number {
                    0 | 1 => Some((100, u32::MAX)),
                    2 => Some((u32::MAX >> 8, 0)),
                    _ => None,
                };
                while !book.stop.load(Relaxed) {
                    let short = (random.below(20_000) as u32, random.below(60_000) as u32);
                    session(socks, port, &book, endless.unwrap_or(short));
                }
            })
        })
        .collect();
    std::thread::park_timeout(Duration::from_millis(100 + random.below(2400)));
    let at = now();
    proxy.kill();
    let kill = Kill { at, wall: wall(proxy) };
    book.stop.store(true, Relaxed);
    load.into_iter().for_each(|thread| thread.join().unwrap());
    drop(lock);
    proxy.restart();
    if random.below(3) == 0 {
        // Once more, in the middle of the replay.
        proxy.kill();
        proxy.restart();
    }
    eventually("the replay", || {
        (proxy.get("/health").json()["journal"]["replaying"] == false).then_some(())
    });
    let rows = sql(proxy, &format!("SELECT * FROM sessions WHERE dest_port = {port}"));
    let seen = book.sessions.lock().unwrap().clone();
    // A port may come back in a later round; its sessions have other addresses.
    sums.check(&seen, &rows, &kill);
    let running = sql(proxy, "SELECT session_id FROM sessions WHERE status = 'active'");
    assert_eq!(running, Vec::<Value>::new(), "nothing runs after a restart");
}

#[test]
fn after_kill_9_at_random_moments_every_session_is_recorded_once_and_exactly() {
    let rounds = setting("RUSTSOCKS_TORTURE_ROUNDS").unwrap_or(5);
    let mut random = Random(setting("RUSTSOCKS_TORTURE_SEED").unwrap_or(20_261_123));
    let window = setting("RUSTSOCKS_TORTURE_WINDOW_MS").map(Duration::from_millis);
    let mut proxy = proxy("");
    let book = Arc::new(Book::default());
    let mut sums = Sums { window: window.unwrap_or(PATIENT_WINDOW), ..Sums::default() };
    for _ in 0..rounds {
        round(&mut proxy, &book, &mut random, &mut sums);
    }
    println!("{sums}");
    let failures = sums.lost + sums.doubled + sums.byte_differences + sums.wrong_endings;
    assert_eq!(failures, 0, "\n{sums}");
    assert!(sums.ended > 0 && sums.open > 0, "\n{sums}");
}
