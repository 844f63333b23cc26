//! The commands that ask a running server, as an operator types them.

mod bridge;
mod faults;
mod following;
mod listing;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tui")]
mod top;

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::{Command as Process, Output, Stdio};

use rustsocks_proto::Command;
use rustsocks_testkit::Proxy;
use rustsocks_testkit::client::{Client, at};
use serde_json::Value;

use super::{listener, proxy};

/// The program, which asks the API at this address.
fn program(api: SocketAddr) -> Process {
    let mut program = Process::new(env!("CARGO_BIN_EXE_rustsocks"));
    program.env("RUSTSOCKS_API", api.to_string()).env_remove("RUSTSOCKS_TOKEN").env("TZ", "UTC");
    program.stdin(Stdio::null());
    program
}

/// Runs a command against a proxy.
fn run(proxy: &Proxy, arguments: &[&str]) -> Output {
    program(proxy.api()).args(arguments).output().unwrap()
}

/// Runs a command that must end with this code; gives what it says on standard output.
fn says(proxy: &Proxy, code: i32, arguments: &[&str]) -> String {
    let output = run(proxy, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must end with this code and one line of complaint, and gives that.
fn complains(api: SocketAddr, code: i32, arguments: &[&str]) -> String {
    let output = program(api).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(line.lines().count(), 1, "{line}");
    line
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

/// A session that sends so many bytes, and stays open.
fn session(proxy: &Proxy, sent: usize) -> Client {
    let (target, address) = listener();
    let mut client = Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
    let (mut peer, _) = target.accept().unwrap();
    client.send(&vec![1; sent]);
    peer.read_exact(&mut vec![0; sent]).unwrap();
    // The peer's end stays open with the client's.
    std::thread::spawn(move || peer.read_to_end(&mut Vec::new()));
    client
}

/// The ids of running sessions.
fn running(proxy: &Proxy) -> Vec<String> {
    proxy.active().iter().map(|one| one["session_id"].as_str().unwrap().to_owned()).collect()
}
