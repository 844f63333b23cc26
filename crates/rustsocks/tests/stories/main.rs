//! The whole proxy as a process, told story by story: what a client sees, and what the ledger
//! says of it afterwards.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod acl;
mod api;
mod auth;
mod bind;
mod command_line;
mod connect;
#[cfg(feature = "dashboard")]
mod dashboard;
mod deploy;
mod disks;
mod endings;
mod events;
mod export;
mod hostile;
mod interop;
mod ledger;
mod logins;
mod openapi;
mod operations;
mod oracle;
mod pool;
mod servers;
mod shutdown;
mod stats;
mod stream;
mod terminate;
mod torture;
mod udp;
mod verify;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use rustsocks_proto::Command;
use rustsocks_testkit::Proxy;
use rustsocks_testkit::client::{Client, at};
use serde_json::Value;

/// A proxy with this configuration.
fn proxy(config: &str) -> Proxy {
    Proxy::start(env!("CARGO_BIN_EXE_rustsocks"), config)
}

/// A listening socket on a free loopback port.
fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Goes through the proxy so many times, five bytes there and three back; gives the client
/// ports, of which one may come twice: the system hands out those that are free again.
fn some_sessions(proxy: &Proxy, count: usize) -> Vec<u16> {
    let (target, address) = listener();
    (0..count)
        .map(|_| {
            let mut client =
                Client::socks5(proxy.socks(), Command::Connect, &at(address)).granted();
            let (mut peer, _) = target.accept().unwrap();
            client.send(b"12345");
            peer.read_exact(&mut [0; 5]).unwrap();
            peer.write_all(b"123").unwrap();
            client.stream.read_exact(&mut [0; 3]).unwrap();
            client.source().port()
        })
        .collect()
}

/// The client ports of records, in their order.
fn ports_of(records: &[Value]) -> Vec<u16> {
    sorted(records.iter().map(|one| one["source_port"].as_u64().unwrap() as u16).collect())
}

fn sorted(mut ports: Vec<u16>) -> Vec<u16> {
    ports.sort_unstable();
    ports
}

/// Makes closing a connection a reset.
fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
}

/// Status and reason of a record.
fn end(record: &Value) -> (&str, &str) {
    (record["status"].as_str().unwrap(), record["close_reason"].as_str().unwrap())
}

/// Bytes sent and received of a record.
fn bytes(record: &Value) -> (u64, u64) {
    (record["bytes_sent"].as_u64().unwrap(), record["bytes_received"].as_u64().unwrap())
}
