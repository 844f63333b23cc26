//! What these commands read of the API's answers: no more than they show, so that a server of
//! another version is understood as far as the two agree. A test holds the names against
//! `openapi.json`.

use serde::Deserialize;

use crate::client::safe::Text;

/// A session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Session {
    pub(crate) session_id: Text,
    pub(crate) user: Text,
    pub(crate) start_time: Text,
    pub(crate) end_time: Option<Text>,
    pub(crate) duration_ms: Option<u64>,
    pub(crate) source_ip: Text,
    pub(crate) source_port: u16,
    pub(crate) dest_ip: Text,
    pub(crate) dest_port: u16,
    pub(crate) dest_host: Option<Text>,
    pub(crate) protocol: Text,
    pub(crate) command: Option<Text>,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) packets_sent: u64,
    pub(crate) packets_received: u64,
    pub(crate) status: Text,
    pub(crate) close_reason: Option<Text>,
    pub(crate) close_detail: Option<Text>,
    pub(crate) acl_rule_matched: Option<Text>,
    pub(crate) acl_decision: Option<Text>,
    pub(crate) egress_ip: Option<Text>,
    pub(crate) egress_port: Option<u16>,
    pub(crate) connect_ms: Option<u64>,
    pub(crate) node_id: Text,
    pub(crate) updated_at: Text,
}

impl Session {
    /// Where it came from.
    pub(crate) fn client(&self) -> String {
        with_port(self.source_ip.as_str(), self.source_port)
    }

    /// What was asked for: the name where there is one.
    pub(crate) fn destination(&self) -> String {
        let host = self.dest_host.as_ref().unwrap_or(&self.dest_ip);
        with_port(host.as_str(), self.dest_port)
    }

    /// Whether it runs.
    pub(crate) fn is_running(&self) -> bool {
        self.end_time.is_none()
    }
}

/// Host and port, IPv6 in brackets.
pub(crate) fn with_port(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// A page of sessions.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SessionPage {
    pub(crate) data: Vec<Session>,
    pub(crate) total: u64,
    pub(crate) page: u64,
    pub(crate) total_pages: u64,
    pub(crate) next_cursor: Option<Text>,
}

/// What became of a wish to end many sessions.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Terminated {
    pub(crate) matched: u64,
    pub(crate) terminated: u64,
    pub(crate) sessions: Vec<Session>,
}

/// A problem detail (RFC 9457).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    pub(crate) detail: Text,
}

/// How a server is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Health {
    pub(crate) status: Text,
    pub(crate) version: Text,
    pub(crate) uptime_secs: u64,
    pub(crate) active_sessions: u64,
    pub(crate) storage: Storage,
    pub(crate) journal: Journal,
}

/// How the store is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Storage {
    pub(crate) engine: Text,
    pub(crate) status: Text,
    pub(crate) degraded_since: Option<Text>,
    pub(crate) last_error: Option<Text>,
    pub(crate) quarantined: Option<Text>,
    pub(crate) batches: u64,
    pub(crate) failures: u64,
}

/// What waits for the store.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Journal {
    pub(crate) status: Text,
    pub(crate) last_error: Option<Text>,
    pub(crate) bytes: u64,
    pub(crate) max_bytes: u64,
    pub(crate) unsaved: u64,
    pub(crate) lost: u64,
    pub(crate) replaying: bool,
    pub(crate) waiting_since: Option<Text>,
}

/// Statistics of a window.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Statistics {
    pub(crate) window_hours: u64,
    pub(crate) active_sessions: u64,
    pub(crate) total_sessions: u64,
    pub(crate) total_bytes_sent: u64,
    pub(crate) total_bytes_received: u64,
    pub(crate) rejected_sessions: u64,
    pub(crate) failed_sessions: u64,
    pub(crate) top_users: Vec<TopUser>,
    pub(crate) top_destinations: Vec<TopDestination>,
    pub(crate) generated_at: Text,
}

/// What a user used.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TopUser {
    pub(crate) user: Text,
    pub(crate) sessions: u64,
    pub(crate) bytes: u64,
}

/// How a destination was used.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TopDestination {
    pub(crate) dest: Text,
    pub(crate) sessions: u64,
    pub(crate) bytes: u64,
}

/// An operator event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Event {
    pub(crate) timestamp: Text,
    pub(crate) first_timestamp: Text,
    pub(crate) count: u64,
    pub(crate) severity: Text,
    pub(crate) category: Text,
    pub(crate) message: Text,
    pub(crate) details: std::collections::BTreeMap<Text, Text>,
}

/// How many events a slow reader of the stream missed; none where that is unknown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Gap {
    pub(crate) missed: Option<u64>,
}
