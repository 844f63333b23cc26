//! A session's durable form: one row of the `sessions` table.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustsocks_proto::{Command, Protocol};

use crate::ending::{CloseReason, Status};
use crate::id::SessionId;

/// Everything that is kept of a session. Field names are the published column names, but for
/// durations, which carry their unit in the column and their type here.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The session's id.
    pub session_id: SessionId,
    /// The authenticated name, the configured anonymous name, or empty where authentication
    /// failed.
    pub user: Arc<str>,
    /// When the request was understood.
    pub start_time: Timestamp,
    /// When it ended; none while it is active.
    pub end_time: Option<Timestamp>,
    /// How long it lasted, by the monotonic clock; none while it is active.
    pub duration: Option<Duration>,
    /// The client's address.
    pub source_ip: IpAddr,
    /// The client's port.
    pub source_port: u16,
    /// The address really connected, or the requested text where nothing was resolved.
    pub dest_ip: Box<str>,
    /// The destination's port.
    pub dest_port: u16,
    /// The requested name; none for requests by address.
    pub dest_host: Option<Box<str>>,
    /// The transport.
    pub protocol: Protocol,
    /// The command; none where no request was read.
    pub command: Option<Command>,
    /// Payload bytes, client to destination.
    pub bytes_sent: u64,
    /// Payload bytes, destination to client.
    pub bytes_received: u64,
    /// Packets, client to destination.
    pub packets_sent: u64,
    /// Packets, destination to client.
    pub packets_received: u64,
    /// What became of it.
    pub status: Status,
    /// Why it ended; none while it is active.
    pub close_reason: Option<CloseReason>,
    /// Free text beside the reason.
    pub close_detail: Option<Box<str>>,
    /// The description of the access rule that decided.
    pub acl_rule_matched: Option<Arc<str>>,
    /// `allow` or `block`; none where the access rules are off.
    pub acl_decision: Option<&'static str>,
    /// Our address of the outgoing connection.
    pub egress_ip: Option<IpAddr>,
    /// Our port of the outgoing connection.
    pub egress_port: Option<u16>,
    /// How long resolving and connecting took.
    pub connect: Option<Duration>,
    /// The node that served it.
    pub node_id: Arc<str>,
    /// When these values were read.
    pub updated_at: Timestamp,
}

impl Record {
    /// The destination as people write it: the name or address with its port, IPv6 in brackets.
    pub fn dest(&self) -> String {
        with_port(self.dest_host.as_deref().unwrap_or(&self.dest_ip), self.dest_port)
    }
}

/// A name or address with a port; IPv6 in brackets.
pub fn with_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
