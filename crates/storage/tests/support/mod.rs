//! Records and stores for the storage tests.

use std::time::Duration;

use jiff::Timestamp;
use rustsocks_proto::{Command, Protocol};
use rustsocks_sessions::{CloseReason, Record, SessionId, Status};
use rustsocks_storage::{Durability, SqliteOptions};

/// 2026-01-01, in seconds since 1970.
const NEW_YEAR: i64 = 1_767_225_600;

/// A time so many milliseconds after the new year.
pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(NEW_YEAR * 1000 + millis).unwrap()
}

/// An id that grows with its number.
pub(crate) fn id(number: u64) -> SessionId {
    format!("01a209d1-312c-7766-9078-{number:012x}").parse().unwrap()
}

/// A running session.
pub(crate) fn active(number: u64) -> Record {
    Record {
        session_id: id(number),
        user: "alice".into(),
        start_time: at(1000),
        end_time: None,
        duration: None,
        source_ip: "198.51.100.7".parse().unwrap(),
        source_port: 50_000,
        dest_ip: "192.0.2.1".into(),
        dest_port: 443,
        dest_host: Some("example.com".into()),
        protocol: Protocol::Tcp,
        command: Some(Command::Connect),
        bytes_sent: 1,
        bytes_received: 2,
        packets_sent: 1,
        packets_received: 1,
        status: Status::Active,
        close_reason: None,
        close_detail: None,
        acl_rule_matched: Some("all".into()),
        acl_decision: Some("allow"),
        egress_ip: Some("203.0.113.5".parse().unwrap()),
        egress_port: Some(40_000),
        connect: Some(Duration::from_millis(12)),
        node_id: "node".into(),
        updated_at: at(1500),
    }
}

/// The same session, ended so many milliseconds after the new year.
pub(crate) fn ended(number: u64, end: i64) -> Record {
    Record {
        end_time: Some(at(end)),
        duration: Some(Duration::from_millis(u64::try_from(end - 1000).unwrap())),
        status: Status::Closed,
        close_reason: Some(CloseReason::ClientClosed),
        bytes_sent: 10 * number,
        updated_at: at(end),
        ..active(number)
    }
}

/// How tests open a file.
pub(crate) fn options(path: &std::path::Path, durability: Durability) -> SqliteOptions {
    SqliteOptions {
        path: path.to_owned(),
        durability,
        backup_keep: 3,
        now: at(0),
        readers_niceness: None,
    }
}
