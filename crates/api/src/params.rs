//! Query parameters: every known one checked, every unknown one refused.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use jiff::Timestamp;
use rustsocks_proto::Protocol;
use rustsocks_sessions::{CloseReason, Status};
use rustsocks_storage::{Cursor, Direction, Filter, Paging, Sort, SortKey};
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::IntoParams;

use crate::problem::Problem;

/// Query parameters of a type; what does not fit is a problem detail that names it.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _stateless: &S) -> Result<Self, Problem> {
        query(&parts.uri).map(Self)
    }
}

/// A type that knows the names of its parameters, so that it can be read beside another.
pub(crate) trait Named: DeserializeOwned {
    /// The names.
    const NAMES: &'static [&'static str];
}

/// The one parameter in a path, as text.
pub(crate) struct PathText(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let rejected = match Path::from_request_parts(parts, state).await {
            Ok(Path(text)) => return Ok(Self(text)),
            Err(rejected) => rejected,
        };
        Err(match rejected {
            PathRejection::FailedToDeserializePathParams(error) => match error.into_kind() {
                ErrorKind::InvalidUtf8InPathParam { key } => {
                    Problem::bad_request(format!("{key}: is not UTF-8"))
                }
                kind => Problem::bad_request(kind.to_string()),
            },
            rejected => Problem::bad_request(rejected.body_text()),
        })
    }
}

/// Query parameters of two types: those that the first names, and the others.
pub(crate) struct Both<A, B>(pub(crate) A, pub(crate) B);

impl<S: Send + Sync, A: Named, B: DeserializeOwned> FromRequestParts<S> for Both<A, B> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _stateless: &S) -> Result<Self, Problem> {
        let pairs = parts.uri.query().unwrap_or_default().split('&');
        let is_first = |pair: &&str| {
            let name = pair.split('=').next().unwrap_or_default();
            A::NAMES.contains(&name)
        };
        let (first, second): (Vec<&str>, Vec<&str>) = pairs.partition(is_first);
        let part = |pairs: &[&str]| {
            let uri = format!("/?{}", pairs.join("&")).parse::<Uri>();
            uri.map_err(|_| Problem::bad_request("the query is no query"))
        };
        Ok(Self(query(&part(&first)?)?, query(&part(&second)?)?))
    }
}

fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    match Query::<T>::try_from_uri(uri) {
        Ok(Query(params)) => Ok(params),
        Err(rejection) => {
            let text = rejection.body_text();
            let detail = text.split_once(": ").map_or(text.as_str(), |(_, detail)| detail);
            Err(Problem::bad_request(detail))
        }
    }
}

/// Which sessions are meant.
#[derive(Debug, Default, Deserialize, Serialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct FilterParams {
    /// The user's name.
    #[param(example = "alice", max_length = 255)]
    user: Option<String>,
    /// `active`, `closed`, `failed` or `rejected_by_acl`.
    #[param(example = "closed")]
    status: Option<String>,
    /// The node that served it; not together with `scope`.
    #[param(example = "gateway-1", max_length = 255)]
    node: Option<String>,
    /// `node` for this node alone, `cluster` for every node that shares the database. Running
    /// sessions are this node's where it is not said, ended ones everybody's.
    #[param(example = "cluster")]
    scope: Option<String>,
    /// `tcp` or `udp`.
    #[param(example = "tcp")]
    protocol: Option<String>,
    /// The destination's name, in any case, or its address.
    #[param(example = "example.com", max_length = 255)]
    dest: Option<String>,
    /// The address really connected.
    #[param(example = "192.0.2.1", max_length = 255)]
    dest_ip: Option<String>,
    /// The client's address.
    #[param(example = "198.51.100.7")]
    source_ip: Option<String>,
    /// Our address of the outgoing connection.
    #[param(example = "203.0.113.5")]
    egress_ip: Option<String>,
    /// Our port of the outgoing connection.
    #[param(example = 40000, maximum = 65535)]
    egress_port: Option<u16>,
    /// An instant at which the session was running (RFC 3339).
    #[param(example = "2026-01-02T03:04:05Z")]
    at: Option<String>,
    /// Why it ended.
    #[param(example = "client_closed")]
    close_reason: Option<String>,
    /// Started at this time or later (RFC 3339).
    #[param(example = "2026-01-01T00:00:00Z")]
    start_after: Option<String>,
    /// Started before this time (RFC 3339).
    #[param(example = "2026-02-01T00:00:00Z")]
    start_before: Option<String>,
    /// Started within the last so many hours.
    #[param(example = 24, minimum = 1, maximum = 87600)]
    hours: Option<u64>,
    /// At least so many bytes, both directions together.
    #[param(example = 1_000_000, maximum = 9_223_372_036_854_775_807_i64)]
    min_bytes: Option<u64>,
    /// Lasted at least so many seconds; what runs, so far.
    #[param(example = 60, maximum = 9_223_372_036_854_775_807_i64)]
    min_duration_secs: Option<u64>,
}

/// Order and paging of session lists.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// The page, counted from 1.
    #[param(example = 1, minimum = 1, maximum = 1_000_000_000)]
    page: Option<u64>,
    /// Sessions per page.
    #[param(example = 50, minimum = 1, maximum = 1000)]
    page_size: Option<u64>,
    /// `next_cursor` of the answer before; not together with `page`.
    cursor: Option<String>,
    /// `end_time`, `start_time`, `duration`, `bytes_sent`, `bytes_received`, `bytes` or `user`.
    #[param(example = "end_time")]
    sort_by: Option<String>,
    /// `asc` or `desc`.
    #[param(example = "desc")]
    sort_dir: Option<String>,
}

/// Whose sessions are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// This node's.
    Node,
    /// Those of every node that shares the database.
    Cluster,
}

/// A checked filter.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) filter: Filter,
    /// None where the caller did not say.
    pub(crate) scope: Option<Scope>,
}

impl Wanted {
    /// The parameter that asks for other nodes than this one, if one does.
    pub(crate) fn abroad(&self, own: &str) -> Option<&'static str> {
        match (&self.filter.node, self.scope) {
            (Some(node), _) if node != own => Some("node"),
            (_, Some(Scope::Cluster)) => Some("scope"),
            _ => None,
        }
    }
}

/// A checked place in a list.
#[derive(Debug)]
pub(crate) struct Place {
    /// None where the caller did not say.
    pub(crate) sort: Option<Sort>,
    pub(crate) paging: Paging,
    /// The page, counted from 1.
    pub(crate) page: u64,
    pub(crate) page_size: usize,
}

/// Lists are this long where the caller does not say.
const PAGE_SIZE: u64 = 50;

impl Named for PageParams {
    const NAMES: &'static [&'static str] = &["page", "page_size", "cursor", "sort_by", "sort_dir"];
}

impl PageParams {
    /// Checks every parameter.
    pub(crate) fn check(self) -> Result<Place, Problem> {
        let page = number("page", self.page.unwrap_or(1), 1, 1_000_000_000)?;
        let page_size = number("page_size", self.page_size.unwrap_or(PAGE_SIZE), 1, 1000)?;
        let sort = sort(self.sort_by.as_deref(), self.sort_dir.as_deref())?;
        let paging = match &self.cursor {
            None => Paging::Page(page - 1),
            Some(_) if self.page.is_some() => {
                return Err(Problem::bad_request("cursor: not together with page"));
            }
            Some(_) if sort.is_some_and(|sort| sort != Sort::default()) => {
                return Err(Problem::bad_request("cursor: only with the default order"));
            }
            Some(text) => {
                Paging::Behind(parsed("cursor", text, |text| text.parse::<Cursor>().ok())?)
            }
        };
        let page_size = usize::try_from(page_size).unwrap_or(usize::MAX);
        Ok(Place { sort, paging, page, page_size })
    }
}

/// Further fields of a JSON object. None is there twice.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Fields(Map<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Map::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if fields.contains_key(&name) {
                        let problem = format_args!("duplicate field `{name}`");
                        return Err(serde::de::Error::custom(problem));
                    }
                    fields.insert(name, value);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Reading)
    }
}

/// The query and the body say the same thing.
pub(crate) fn in_both(name: &str) -> Problem {
    Problem::bad_request(format!("{name}: is in the query and in the body"))
}

impl FilterParams {
    /// These parameters, and those of a body.
    pub(crate) fn with(self, body: Fields) -> Result<Self, Problem> {
        let wrong = |error: serde_json::Error| Problem::bad_request(format!("body: {error}"));
        let mut all = match serde_json::to_value(self).map_err(wrong)? {
            Value::Object(query) => query,
            _ => Map::new(),
        };
        all.retain(|_, value| !value.is_null());
        for (name, value) in body.0 {
            if all.contains_key(&name) {
                return Err(in_both(&name));
            }
            all.insert(name, value);
        }
        serde_json::from_value(Value::Object(all)).map_err(wrong)
    }

    /// Checks every parameter. `now` is what `hours` counts from.
    pub(crate) fn check(self, now: Timestamp) -> Result<Wanted, Problem> {
        let start_after = match (self.hours, &self.start_after) {
            (Some(_), Some(_)) => {
                return Err(Problem::bad_request("hours: not together with start_after"));
            }
            (Some(hours), None) => {
                let hours = number("hours", hours, 1, 87_600)?;
                now.checked_sub(Duration::from_secs(hours * 3600)).ok()
            }
            (None, text) => optional("start_after", text.as_deref(), moment)?,
        };
        // As records have them.
        let ip = |text: &str| text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        let spelled = |text: String| ip(&text).map_or(text, |ip| ip.to_string());
        let scopes = |text: &str| match text {
            "node" => Some(Scope::Node),
            "cluster" => Some(Scope::Cluster),
            _ => None,
        };
        let scope = optional("scope", self.scope.as_deref(), scopes)?;
        if scope.is_some() && self.node.is_some() {
            return Err(Problem::bad_request("scope: not together with node"));
        }
        let filter = Filter {
            user: text("user", self.user)?,
            status: optional("status", self.status.as_deref(), Status::from_name)?,
            protocol: optional("protocol", self.protocol.as_deref(), protocol)?,
            dest: text("dest", self.dest)?.map(spelled),
            dest_ip: text("dest_ip", self.dest_ip)?.map(spelled),
            source_ip: optional("source_ip", self.source_ip.as_deref(), ip)?,
            egress_ip: optional("egress_ip", self.egress_ip.as_deref(), ip)?,
            egress_port: self.egress_port,
            at: optional("at", self.at.as_deref(), moment)?,
            close_reason: optional(
                "close_reason",
                self.close_reason.as_deref(),
                CloseReason::from_name,
            )?,
            start_after,
            start_before: optional("start_before", self.start_before.as_deref(), moment)?,
            min_bytes: least("min_bytes", self.min_bytes)?,
            min_duration: least("min_duration_secs", self.min_duration_secs)?
                .map(Duration::from_secs),
            node: text("node", self.node)?,
            not_node: None,
        };
        Ok(Wanted { filter, scope })
    }
}

fn sort(key: Option<&str>, direction: Option<&str>) -> Result<Option<Sort>, Problem> {
    let key = optional("sort_by", key, SortKey::from_name)?;
    let direction = optional("sort_dir", direction, |text| match text {
        "asc" => Some(Direction::Ascending),
        "desc" => Some(Direction::Descending),
        _ => None,
    })?;
    if key.is_none() && direction.is_none() {
        return Ok(None);
    }
    Ok(Some(Sort { key: key.unwrap_or_default(), direction: direction.unwrap_or_default() }))
}

/// The transport of this name.
pub(crate) fn protocol(name: &str) -> Option<Protocol> {
    [Protocol::Tcp, Protocol::Udp].into_iter().find(|protocol| protocol.name() == name)
}

/// An instant as RFC 3339 writes it, from 1970 on.
pub(crate) fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|time| *time >= Timestamp::UNIX_EPOCH)
}

/// A number within bounds.
pub(crate) fn number(name: &str, value: u64, least: u64, most: u64) -> Result<u64, Problem> {
    match (least..=most).contains(&value) {
        true => Ok(value),
        false => Err(Problem::bad_request(format!("{name}: must be {least} to {most}"))),
    }
}

/// A lower bound, no larger than what a database can hold.
fn least(name: &str, value: Option<u64>) -> Result<Option<u64>, Problem> {
    value.map(|value| number(name, value, 0, MOST)).transpose()
}

/// The largest number that every engine, and every reader of JSON numbers of 64 bits, can take.
pub(crate) const MOST: u64 = i64::MAX.unsigned_abs();

/// Free text to compare with: not empty, not longer than any name, without NUL, which no name has
/// and not every database takes.
pub(crate) fn text(name: &str, value: Option<String>) -> Result<Option<String>, Problem> {
    match &value {
        Some(text) if text.is_empty() => {
            Err(Problem::bad_request(format!("{name}: must not be empty")))
        }
        Some(text) if text.chars().count() > 255 => {
            Err(Problem::bad_request(format!("{name}: longer than 255 characters")))
        }
        Some(text) if text.contains('\0') => {
            Err(Problem::bad_request(format!("{name}: must not contain NUL")))
        }
        _ => Ok(value),
    }
}

/// A parameter through `parse`, if it is there.
pub(crate) fn optional<T>(
    name: &str,
    value: Option<&str>,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    value.map(|text| parsed(name, text, parse)).transpose()
}

fn parsed<T>(name: &str, text: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Problem> {
    parse(text).ok_or_else(|| {
        let shown: String = text.chars().take(60).collect();
        Problem::bad_request(format!("{name}: cannot be {shown:?}"))
    })
}
