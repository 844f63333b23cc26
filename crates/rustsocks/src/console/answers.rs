//! What these commands read of the API's answers: no more than they show, so that a server of
//! another version is understood as far as the two agree. A test holds the names against
//! `openapi.json`.

use serde::Deserialize;

use crate::console::safe::Text;

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
    pub(crate) start_before: Option<Text>,
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
    pub(crate) unreadable: u64,
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

#[cfg(test)]
mod tests {
    use serde::de::value::Error;
    use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
    use serde_json::Value;

    use super::*;

    /// Refuses everything, and keeps the names that a structure asks for.
    struct Names<'a>(&'a mut Vec<&'static str>);

    impl<'de> Deserializer<'de> for Names<'_> {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
            Err(Error::custom("nothing is read"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _name: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Error> {
            self.0.extend(fields);
            self.deserialize_any(visitor)
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
            option unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier
            ignored_any
        }
    }

    fn names<T: DeserializeOwned>() -> Vec<&'static str> {
        let mut names = Vec::new();
        let refused = T::deserialize(Names(&mut names));
        assert!(refused.is_err() && !names.is_empty());
        names
    }

    #[test]
    fn every_name_that_is_read_is_one_of_the_api() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi.json");
        let text = std::fs::read_to_string(path).unwrap();
        let description: Value = serde_json::from_str(&text).unwrap();
        for (schema, names) in [
            ("SessionView", names::<Session>()),
            ("SessionPage", names::<SessionPage>()),
            ("Terminated", names::<Terminated>()),
            ("Problem", names::<Problem>()),
            ("HealthView", names::<Health>()),
            ("StorageView", names::<Storage>()),
            ("JournalView", names::<Journal>()),
            ("StatsView", names::<Statistics>()),
            ("TopUser", names::<TopUser>()),
            ("TopDestination", names::<TopDestination>()),
            ("EventView", names::<Event>()),
            #[cfg(feature = "database")]
            ("CountersView", names::<crate::console::Counters>()),
        ] {
            let fields = &description["components"]["schemas"][schema]["properties"];
            for name in names {
                assert!(fields.get(name).is_some(), "{schema} has no {name}");
            }
        }
    }
}
