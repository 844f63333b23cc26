//! Following the stream of sessions, through every break.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command as Process, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustsocks_testkit::client::Client;
use rustsocks_testkit::{PATIENCE, Proxy, eventually};

use super::bridge::Bridge;
use super::{json, program, proxy, running, session};

/// A command that runs on. Killed when dropped.
struct Following {
    child: Child,
    said: mpsc::Receiver<String>,
    complained: mpsc::Receiver<String>,
}

impl Following {
    fn start(api: SocketAddr, arguments: &[&str]) -> Self {
        Self::of(program(api), arguments)
    }

    fn of(mut program: Process, arguments: &[&str]) -> Self {
        program.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().unwrap();
        let said = lines(child.stdout.take().unwrap());
        let complained = lines(child.stderr.take().unwrap());
        Self { child, said, complained }
    }

    fn line(&self) -> String {
        self.said.recv_timeout(PATIENCE).unwrap()
    }

    fn complaint(&self) -> String {
        self.complained.recv_timeout(PATIENCE).unwrap()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A session of which the tail tells that it opened, as soon as there is one: a tail tells what
/// happens from when it is connected.
fn opened(tail: &Following, proxy: &Proxy) -> (Client, String) {
    eventually("a session that is told", || {
        let client = session(proxy, 2048);
        let source = client.source().to_string();
        while let Ok(line) = tail.said.recv_timeout(Duration::from_secs(2)) {
            if line.contains("opened") && line.contains(&source) {
                return Some((client, line));
            }
        }
        None
    })
}

fn lines(output: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // The test may have ended.
            let _unheard = tell.send(line);
        }
    });
    told
}

const MEMORY: &str = "[sessions]\nstorage = \"memory\"\n";

#[test]
fn a_tail_tells_sessions_as_they_open_and_end() {
    let proxy = proxy(MEMORY);
    let tail = Following::start(proxy.api(), &["sessions", "tail"]);
    let (client, opened) = opened(&tail, &proxy);
    let id = running(&proxy).into_iter().find(|id| opened.contains(id)).unwrap();
    drop(client);
    let ended = eventually("its end", || {
        Some(tail.line()).filter(|line| line.contains(&id) && line.contains("ended"))
    });
    assert!(ended.contains("client_closed, sent 2.0 KiB, received 0 B in"), "{ended}");
}

#[test]
fn a_tail_for_programs_is_a_json_object_per_line_with_its_updates() {
    let proxy = proxy(MEMORY);
    let filter = ["--json", "--updates", "--min-bytes", "1"];
    let tail = Following::start(proxy.api(), &[&["sessions", "tail"][..], &filter].concat());
    let line = eventually("an event", || {
        let mut client = session(&proxy, 7);
        client.send(&[0; 3]);
        tail.said.recv_timeout(Duration::from_secs(1)).ok()
    });
    let event = json(&line);
    assert!(["opened", "updated", "ended"].contains(&event["event"].as_str().unwrap()), "{line}");
    assert!(event["session"]["bytes_sent"].as_u64().unwrap() >= 7, "{line}");
}

#[test]
fn a_tail_comes_back_where_it_was_and_says_what_it_cannot_know() {
    let mut proxy = proxy(MEMORY);
    let bridge = Bridge::to(proxy.api());
    let tail = Following::start(bridge.address(), &["sessions", "tail"]);
    let (client, _) = opened(&tail, &proxy);
    bridge.cut();
    let lost = tail.complaint();
    assert!(lost.contains("trying again"), "{lost}");
    // What happens meanwhile is told afterwards, without a gap.
    let source = client.source();
    drop(client);
    proxy.record_from(source);
    bridge.lead_to(proxy.api());
    assert!(tail.complaint().contains("the connection is back"));
    let ended = eventually("the end", || {
        let line = tail.line();
        assert!(!line.contains("gap"), "{line}");
        Some(line).filter(|line| line.contains(&source.to_string()) && line.contains("ended"))
    });
    assert!(ended.contains("client_closed"));
    // Another run knows nothing of what was told before.
    bridge.cut();
    assert!(tail.complaint().contains("trying again"));
    proxy.terminate();
    proxy.restart();
    bridge.lead_to(proxy.api());
    assert!(tail.complaint().contains("the connection is back"));
    eventually("the gap", || tail.line().contains("-- gap: ").then_some(()));
}

#[test]
fn a_tail_ends_when_nobody_reads_it() {
    let proxy = proxy(MEMORY);
    let script = format!("{} sessions tail | true", env!("CARGO_BIN_EXE_rustsocks"));
    let mut shell = Process::new("bash");
    let api = proxy.api().to_string();
    let shell = shell.args(["-c", &format!("set -o pipefail; {script}")]);
    let output = shell.env("RUSTSOCKS_API", api).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_tail_ends_with_the_signal_of_the_keyboard() {
    let proxy = proxy(MEMORY);
    // As at a keyboard: what a shell runs in the background is told to ignore this signal.
    let command = program(proxy.api());
    let mut attentive = Process::new("env");
    attentive.arg("--default-signal=INT").arg(command.get_program());
    attentive.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut tail = Following::of(attentive, &["sessions", "tail"]);
    opened(&tail, &proxy);
    kill_process(Pid::from_child(&tail.child), Signal::INT).unwrap();
    let child = &mut tail.child;
    eventually("the tail to end", || child.try_wait().unwrap());
}

#[test]
fn events_are_followed_as_they_come() {
    use rustsocks_proto::Command;
    use rustsocks_testkit::client::at;
    let proxy = proxy(MEMORY);
    let events = Following::start(proxy.api(), &["events", "--follow", "--json"]);
    let (target, closed) = super::listener();
    drop(target);
    Client::socks5(proxy.socks(), Command::Connect, &at(closed)).refused();
    let told = eventually("the event", || {
        Some(json(&events.line())).filter(|event| event["category"] == "connection_pool")
    });
    assert_eq!(told["severity"], "warning");
    Client::socks5(proxy.socks(), Command::Connect, &at(closed)).refused();
    let again = eventually("its count", || {
        Some(json(&events.line())).filter(|event| event["category"] == "connection_pool")
    });
    assert_eq!(again["count"], 2);
}
