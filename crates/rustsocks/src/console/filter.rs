//! Which sessions are meant: the filters of the API as options, and the query made of them.

use clap::Args;
use clap::builder::PossibleValuesParser;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustsocks_sessions::{CloseReason, Status};

/// Pairs of a query, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Adds a pair.
    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.0.push((name, value.to_string()));
        self
    }

    /// Adds a pair where there is a value.
    pub(crate) fn maybe(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// As it stands behind the question mark.
    pub(crate) fn encoded(&self) -> String {
        let mut encoder = form_urlencoded::Serializer::new(String::new());
        encoder.extend_pairs(&self.0).finish()
    }
}

/// Reads the id of a session, so that nothing else gets into a path.
pub(crate) fn session_id(text: &str) -> Result<String, String> {
    match text.parse::<rustsocks_sessions::SessionId>() {
        Ok(id) => Ok(id.to_string()),
        Err(_) => {
            Err("the id of a session is a UUID, as `rustsocks sessions list` shows it".into())
        }
    }
}

/// Which sessions are meant.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct Filter {
    /// The user's name.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// What became of it.
    #[arg(long, value_parser = statuses())]
    status: Option<String>,
    /// The destination's name, in any case, or its address.
    #[arg(long, value_name = "HOST")]
    dest: Option<String>,
    /// The address really connected.
    #[arg(long, value_name = "IP")]
    dest_ip: Option<String>,
    /// The client's address.
    #[arg(long, value_name = "IP")]
    source_ip: Option<String>,
    /// Our address of the outgoing connection.
    #[arg(long, value_name = "IP")]
    egress_ip: Option<String>,
    /// Our port of the outgoing connection.
    #[arg(long, value_name = "PORT")]
    egress_port: Option<u16>,
    /// Running at this time: "2026-01-02 15:04" in the local zone, or as in RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Timestamp>,
    /// Started at this time or later.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    start_after: Option<Timestamp>,
    /// Started before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    start_before: Option<Timestamp>,
    /// Started within the last so many hours.
    #[arg(long, value_name = "HOURS", conflicts_with = "start_after")]
    hours: Option<u64>,
    /// At least so many bytes, both directions together.
    #[arg(long, value_name = "BYTES")]
    min_bytes: Option<u64>,
    /// Lasted at least so many seconds.
    #[arg(long, value_name = "SECONDS")]
    min_duration_secs: Option<u64>,
    /// Why it ended.
    #[arg(long, value_name = "REASON", value_parser = reasons(), hide_possible_values = true)]
    close_reason: Option<String>,
    /// The transport.
    #[arg(long, value_parser = ["tcp", "udp"])]
    protocol: Option<String>,
    /// The node that served it.
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// This node alone, or every node that shares the database.
    #[arg(long, value_parser = ["node", "cluster"], conflicts_with = "node")]
    scope: Option<String>,
}

fn statuses() -> PossibleValuesParser {
    Status::ALL.map(Status::name).into()
}

fn reasons() -> PossibleValuesParser {
    CloseReason::ALL.iter().map(|reason| reason.name()).collect::<Vec<_>>().into()
}

/// Reads a time: RFC 3339, or a local date with or without a time of day.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    // A date without a time of day is its midnight.
    text.parse::<DateTime>()
        .and_then(|local| TimeZone::system().to_timestamp(local))
        .map_err(|_| "write it like \"2026-01-02 15:04\" or 2026-01-02T15:04:05Z".to_owned())
}

impl Filter {
    /// Whether every session is meant.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it speaks of running sessions alone.
    pub(crate) fn is_of_running(&self) -> bool {
        self.status.as_deref() == Some(Status::Active.name())
    }

    /// Whether it speaks of what became of sessions.
    pub(crate) fn has_status(&self) -> bool {
        self.status.is_some()
    }

    /// Whether it speaks of why sessions ended.
    pub(crate) fn has_close_reason(&self) -> bool {
        self.close_reason.is_some()
    }

    /// The same for what started before a time.
    pub(crate) fn before(&self, time: Timestamp) -> Self {
        let bound = self.start_before.map_or(time, |own| own.min(time));
        Self { start_before: Some(bound), ..self.clone() }
    }

    /// As the API takes it.
    pub(crate) fn query(&self) -> Query {
        Query::default()
            .maybe("user", self.user.as_ref())
            .maybe("status", self.status.as_ref())
            .maybe("node", self.node.as_ref())
            .maybe("scope", self.scope.as_ref())
            .maybe("protocol", self.protocol.as_ref())
            .maybe("dest", self.dest.as_ref())
            .maybe("dest_ip", self.dest_ip.as_ref())
            .maybe("source_ip", self.source_ip.as_ref())
            .maybe("egress_ip", self.egress_ip.as_ref())
            .maybe("egress_port", self.egress_port)
            .maybe("at", self.at)
            .maybe("close_reason", self.close_reason.as_ref())
            .maybe("start_after", self.start_after)
            .maybe("start_before", self.start_before)
            .maybe("hours", self.hours)
            .maybe("min_bytes", self.min_bytes)
            .maybe("min_duration_secs", self.min_duration_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_or_local() {
        assert_eq!(moment("2026-01-02T03:04:05Z").unwrap().to_string(), "2026-01-02T03:04:05Z");
        let local = moment("2026-01-02 03:04").unwrap().to_zoned_datetime(TimeZone::system());
        assert_eq!(local.datetime(), "2026-01-02T03:04:00".parse().unwrap());
        let midnight = moment("2026-01-02").unwrap().to_zoned_datetime(TimeZone::system());
        assert_eq!(midnight.datetime(), "2026-01-02T00:00:00".parse().unwrap());
        assert!(moment("yesterday").is_err());
    }

    #[test]
    fn the_earlier_of_two_bounds_holds() {
        let [early, late] = ["2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z"].map(|text| {
            let time: Timestamp = text.parse().unwrap();
            time
        });
        let own = Filter { start_before: Some(early), ..Filter::default() };
        assert_eq!(own.before(late), own);
        assert_eq!(Filter::default().before(late).before(early), own);
    }

    #[test]
    fn every_byte_of_a_value_survives_the_query() {
        let query = Query::default().with("user", "a b&c=d%\u{1b}é").maybe("dest", None::<&str>);
        assert_eq!(query.encoded(), "user=a+b%26c%3Dd%25%1B%C3%A9");
    }
}
