//! JSON shapes of sessions: column names as keys.

use rustsocks_sessions::Record;
use rustsocks_sessions::clock::millis;
use rustsocks_storage::time;
use serde::Serialize;
use utoipa::ToSchema;

/// A session.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct SessionView {
    /// UUID of version 7.
    #[schema(format = "uuid", example = "01a209d1-312c-7766-9078-e3ca9fe9a20f")]
    session_id: String,
    /// The authenticated name, the anonymous name, or empty where authentication failed.
    #[schema(example = "alice")]
    user: String,
    /// When the request was understood, UTC.
    #[schema(format = "date-time", example = "2026-01-02T03:04:05.678+00:00")]
    start_time: String,
    /// When it ended, UTC; null while it runs.
    #[schema(format = "date-time", example = "2026-01-02T03:05:05.678+00:00")]
    end_time: Option<String>,
    /// How long it lasted, whole seconds; null while it runs.
    #[schema(example = 60)]
    duration_secs: Option<u64>,
    /// How long it lasted, milliseconds; null while it runs.
    #[schema(example = 60000)]
    duration_ms: Option<u64>,
    /// The client's address.
    #[schema(example = "198.51.100.7")]
    source_ip: String,
    /// The client's port.
    #[schema(example = 50123, maximum = 65535)]
    source_port: u16,
    /// The address really connected, or the requested text where nothing was resolved.
    #[schema(example = "192.0.2.1")]
    dest_ip: String,
    /// The destination's port.
    #[schema(example = 443, maximum = 65535)]
    dest_port: u16,
    /// The requested name; null for requests by address.
    #[schema(example = "example.com")]
    dest_host: Option<String>,
    /// `tcp` or `udp`.
    #[schema(example = "tcp")]
    protocol: String,
    /// `connect`, `bind` or `udp_associate`; null where no request was read.
    #[schema(example = "connect")]
    command: Option<String>,
    /// Payload bytes, client to destination.
    #[schema(example = 1234)]
    bytes_sent: u64,
    /// Payload bytes, destination to client.
    #[schema(example = 567890)]
    bytes_received: u64,
    /// Relayed reads or datagrams, client to destination.
    #[schema(example = 3)]
    packets_sent: u64,
    /// Relayed reads or datagrams, destination to client.
    #[schema(example = 42)]
    packets_received: u64,
    /// `active`, `closed`, `failed` or `rejected_by_acl`.
    #[schema(example = "closed")]
    status: String,
    /// Why it ended; null while it runs.
    #[schema(example = "client_closed")]
    close_reason: Option<String>,
    /// Free text beside the reason.
    close_detail: Option<String>,
    /// The description of the access rule that decided.
    #[schema(example = "Development servers")]
    acl_rule_matched: Option<String>,
    /// `allow` or `block`; null where the access rules are off.
    #[schema(example = "allow")]
    acl_decision: Option<String>,
    /// Our address of the outgoing connection.
    #[schema(example = "203.0.113.5")]
    egress_ip: Option<String>,
    /// Our port of the outgoing connection.
    #[schema(example = 40000, maximum = 65535)]
    egress_port: Option<u16>,
    /// How long resolving and connecting took, milliseconds.
    #[schema(example = 12)]
    connect_ms: Option<u64>,
    /// The node that served it.
    #[schema(example = "gateway-1")]
    node_id: String,
    /// When these values were read, UTC.
    #[schema(format = "date-time", example = "2026-01-02T03:05:05.678+00:00")]
    updated_at: String,
}

impl SessionView {
    /// The names of the fields, in their order.
    pub(crate) const COLUMNS: [&str; 27] = [
        "session_id",
        "user",
        "start_time",
        "end_time",
        "duration_secs",
        "duration_ms",
        "source_ip",
        "source_port",
        "dest_ip",
        "dest_port",
        "dest_host",
        "protocol",
        "command",
        "bytes_sent",
        "bytes_received",
        "packets_sent",
        "packets_received",
        "status",
        "close_reason",
        "close_detail",
        "acl_rule_matched",
        "acl_decision",
        "egress_ip",
        "egress_port",
        "connect_ms",
        "node_id",
        "updated_at",
    ];
}

impl From<&Record> for SessionView {
    fn from(record: &Record) -> Self {
        Self {
            session_id: record.session_id.to_string(),
            user: record.user.to_string(),
            start_time: time::to_text(record.start_time),
            end_time: record.end_time.map(time::to_text),
            duration_secs: record.duration.map(|duration| duration.as_secs()),
            duration_ms: record.duration.map(millis),
            source_ip: record.source_ip.to_string(),
            source_port: record.source_port,
            dest_ip: record.dest_ip.to_string(),
            dest_port: record.dest_port,
            dest_host: record.dest_host.as_deref().map(str::to_owned),
            protocol: record.protocol.name().to_owned(),
            command: record.command.map(|command| command.name().to_owned()),
            bytes_sent: record.bytes_sent,
            bytes_received: record.bytes_received,
            packets_sent: record.packets_sent,
            packets_received: record.packets_received,
            status: record.status.name().to_owned(),
            close_reason: record.close_reason.map(|reason| reason.name().to_owned()),
            close_detail: record.close_detail.as_deref().map(str::to_owned),
            acl_rule_matched: record.acl_rule_matched.as_deref().map(str::to_owned),
            acl_decision: record.acl_decision.map(str::to_owned),
            egress_ip: record.egress_ip.map(|ip| ip.to_string()),
            egress_port: record.egress_port,
            connect_ms: record.connect.map(millis),
            node_id: record.node_id.to_string(),
            updated_at: time::to_text(record.updated_at),
        }
    }
}

/// A page of sessions.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct SessionPage {
    /// The sessions.
    pub(crate) data: Vec<SessionView>,
    /// How many sessions the filter finds in all.
    #[schema(example = 1234)]
    pub(crate) total: u64,
    /// This page, counted from 1; 1 where a cursor was given.
    #[schema(example = 1)]
    pub(crate) page: u64,
    /// Sessions per page.
    #[schema(example = 50)]
    pub(crate) page_size: u64,
    /// How many pages there are.
    #[schema(example = 25)]
    pub(crate) total_pages: u64,
    /// Where the next page begins, for `cursor`; null at the end, or in another order.
    pub(crate) next_cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use rustsocks_sessions::{AclOutcome, Clock, Identity, Opening, Rules, Table};

    use super::*;

    #[test]
    fn the_columns_of_an_export_are_the_fields_of_a_session_in_their_order() {
        let table = Table::new(Clock::system(), "node".into(), Rules::default());
        let session = table.open(Opening {
            identity: Identity::Anonymous("anonymous".into()),
            source: ([127, 0, 0, 1], 4000).into(),
            target: None,
            command: None,
            acl: AclOutcome::Off,
        });
        let json = serde_json::to_string(&SessionView::from(&session.snapshot())).unwrap();
        let fields = serde_json::from_str::<serde_json::Value>(&json).unwrap();
        assert_eq!(fields.as_object().unwrap().len(), SessionView::COLUMNS.len());
        let places = SessionView::COLUMNS.map(|column| json.find(&format!("\"{column}\":")));
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{json}");
    }
}
