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
mod disks;
mod endings;
mod hostile;
mod interop;
mod ledger;
mod openapi;
mod operations;
mod oracle;
mod pool;
mod servers;
mod shutdown;
mod stats;
mod torture;
mod udp;

use std::net::{SocketAddr, TcpListener, TcpStream};

use rustsocks_testkit::Proxy;
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
