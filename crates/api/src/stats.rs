//! Statistics of a window, what failed in it, and usage over time.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use rustsocks_storage::{Failures, Statistics, Sums, WindowQuery, time};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Api;
use crate::params::{Params, moment, number, optional, text};
use crate::problem::Problem;

/// The longest window: ten years.
const HOURS_MAX: u64 = 87_600;

/// Points per answer.
const MOST_POINTS: i64 = 10_000;

/// Which statistics to show.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatsParams {
    /// How many hours to look back; `stats_window_hours` of the configuration where left out.
    #[param(example = 48, minimum = 1, maximum = 87600)]
    window_hours: Option<u64>,
    /// How many entries of each list; 10 where left out.
    #[param(example = 10, minimum = 1, maximum = 100)]
    top: Option<u64>,
}

impl StatsParams {
    /// The window that ends now.
    fn check(self, api: &Api) -> Result<WindowQuery, Problem> {
        let hours = self.window_hours.unwrap_or(api.options.stats_window_hours);
        let hours = number("window_hours", hours, 1, HOURS_MAX)?;
        let top = number("top", self.top.unwrap_or(10), 1, 100)?;
        let now = api.table.clock().now().wall;
        Ok(WindowQuery { hours, top: usize::try_from(top).unwrap_or(100), now })
    }
}

/// The sessions that started within a window, running, failed and rejected ones included.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatsView {
    /// How many hours the window is long.
    #[schema(example = 48)]
    window_hours: u64,
    /// Sessions that run now, whenever they started.
    #[schema(example = 42)]
    active_sessions: u64,
    /// Sessions that started within the window.
    #[schema(example = 15234)]
    total_sessions: u64,
    /// Their payload bytes, client to destination.
    #[schema(example = 523423123)]
    total_bytes_sent: u64,
    /// Their payload bytes, destination to client.
    #[schema(example = 234234234)]
    total_bytes_received: u64,
    /// The users with the most bytes; equal ones by name. Failed logins have no user.
    top_users: Vec<TopUser>,
    /// The destinations with the most sessions; equal ones by name.
    top_destinations: Vec<TopDestination>,
    /// Those of the sessions that the access rules refused.
    #[schema(example = 12)]
    rejected_sessions: u64,
    /// Those of the sessions that failed.
    #[schema(example = 3)]
    failed_sessions: u64,
    /// When this was true, UTC; the window ends here.
    #[schema(format = "date-time", example = "2026-01-02T03:05:05.678+00:00")]
    generated_at: String,
}

/// What a user used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TopUser {
    /// The user's name.
    #[schema(example = "alice")]
    user: String,
    /// Sessions.
    #[schema(example = 523)]
    sessions: u64,
    /// Payload bytes of both directions.
    #[schema(example = 523423123)]
    bytes: u64,
}

/// How a destination was used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TopDestination {
    /// The requested name or address with its port, IPv6 in brackets.
    #[schema(example = "example.com:443")]
    dest: String,
    /// Sessions.
    #[schema(example = 1234)]
    sessions: u64,
    /// Payload bytes of both directions.
    #[schema(example = 93423123)]
    bytes: u64,
}

/// Statistics of the sessions that started within the last hours.
#[utoipa::path(
    get, path = "/api/sessions/stats", tag = "statistics", params(StatsParams),
    responses(
        (status = 200, description = "Statistics", body = StatsView),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 503, description = "The store cannot answer now", body = Problem),
    )
)]
pub(crate) async fn stats(
    State(api): State<Api>,
    Params(params): Params<StatsParams>,
) -> Result<Json<StatsView>, Problem> {
    let query = params.check(&api)?;
    let statistics = match &api.ledger {
        Some(ledger) => ledger.store.statistics(query, &api.table).await?,
        // Nothing is recorded: what runs is all that is known.
        None => Statistics { active: api.table.active() as u64, ..Statistics::default() },
    };
    Ok(Json(shown(&query, &statistics)))
}

fn count(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

fn shown(query: &WindowQuery, statistics: &Statistics) -> StatsView {
    let Sums { sessions, failed, rejected, sent, received } = statistics.total;
    StatsView {
        window_hours: query.hours,
        active_sessions: statistics.active,
        total_sessions: count(sessions),
        total_bytes_sent: count(sent),
        total_bytes_received: count(received),
        top_users: statistics
            .users
            .iter()
            .map(|(user, sums)| TopUser {
                user: user.to_string(),
                sessions: count(sums.sessions),
                bytes: count(sums.bytes()),
            })
            .collect(),
        top_destinations: statistics
            .dests
            .iter()
            .map(|(dest, sums)| TopDestination {
                dest: dest.to_string(),
                sessions: count(sums.sessions),
                bytes: count(sums.bytes()),
            })
            .collect(),
        rejected_sessions: count(rejected),
        failed_sessions: count(failed),
        generated_at: time::to_text(query.now),
    }
}

/// What failed or was refused of the sessions that started within a window.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailuresView {
    /// How many hours the window is long.
    #[schema(example = 24)]
    window_hours: u64,
    /// Sessions that the access rules refused.
    #[schema(example = 12)]
    rejected_sessions: u64,
    /// Sessions that failed.
    #[schema(example = 3)]
    failed_sessions: u64,
    /// By `close_reason`, the most frequent first; equal ones by name, as in each list.
    by_reason: Vec<FailureCount>,
    /// The rules that refused sessions, by their first 255 characters.
    by_rule: Vec<FailureCount>,
    /// By user; failed logins have none.
    by_user: Vec<FailureCount>,
    /// By destination with its port, IPv6 in brackets.
    by_destination: Vec<FailureCount>,
}

/// How many sessions failed or were refused under a name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureCount {
    /// The reason, rule, user or destination.
    #[schema(example = "connect_refused")]
    name: String,
    /// Sessions, failed and refused ones together.
    #[schema(example = 3)]
    sessions: u64,
}

/// Why, by which rule, whose and where sessions failed or were refused within the last hours.
#[utoipa::path(
    get, path = "/api/stats/failures", tag = "statistics", params(StatsParams),
    responses(
        (status = 200, description = "Failed and refused sessions", body = FailuresView),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 503, description = "The store cannot answer now", body = Problem),
    )
)]
pub(crate) async fn failures(
    State(api): State<Api>,
    Params(params): Params<StatsParams>,
) -> Result<Json<FailuresView>, Problem> {
    let query = params.check(&api)?;
    let failures = match &api.ledger {
        Some(ledger) => ledger.store.failures(query, &api.table).await?,
        None => Failures::default(),
    };
    let counts = |list: &[(Arc<str>, Sums)]| {
        let shown = |(name, sums): &(Arc<str>, Sums)| FailureCount {
            name: name.to_string(),
            sessions: count(sums.unsuccessful()),
        };
        list.iter().map(shown).collect()
    };
    Ok(Json(FailuresView {
        window_hours: query.hours,
        rejected_sessions: count(failures.total.rejected),
        failed_sessions: count(failures.total.failed),
        by_reason: counts(&failures.reasons),
        by_rule: counts(&failures.rules),
        by_user: counts(&failures.users),
        by_destination: counts(&failures.dests),
    }))
}

/// Whose usage to show, and when.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageParams {
    /// The user's name; everybody together where left out.
    #[param(example = "alice", max_length = 255)]
    user: Option<String>,
    /// `hour` or `day` (of UTC); `hour` where left out.
    #[param(example = "day")]
    bucket: Option<String>,
    /// The first instant (RFC 3339), cut to the beginning of its bucket; a day before `to` by
    /// the hour, 30 days before it by the day, where left out.
    #[param(example = "2026-01-01T00:00:00Z")]
    from: Option<String>,
    /// The end (RFC 3339), its bucket included; now where left out.
    #[param(example = "2026-02-01T00:00:00Z")]
    to: Option<String>,
}

/// Bytes over time, booked when they flowed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageView {
    /// Whose; null for everybody together.
    #[schema(example = "alice")]
    user: Option<String>,
    /// `hour` or `day`.
    #[schema(example = "day")]
    bucket: String,
    /// Every bucket of the range, the oldest first.
    data: Vec<UsagePoint>,
}

/// One bucket.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsagePoint {
    /// Where it begins, UTC.
    #[schema(format = "date-time", example = "2026-01-02T00:00:00.000+00:00")]
    start: String,
    /// Payload bytes, client to destination.
    #[schema(example = 1234)]
    bytes_sent: u64,
    /// Payload bytes, destination to client.
    #[schema(example = 567890)]
    bytes_received: u64,
}

/// Bytes by the hour or day in which they flowed, so that a long session shows in each of them.
#[utoipa::path(
    get, path = "/api/stats/usage", tag = "statistics", params(UsageParams),
    responses(
        (status = 200, description = "Usage over time", body = UsageView),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 503, description = "The store cannot answer now", body = Problem),
    )
)]
pub(crate) async fn usage(
    State(api): State<Api>,
    Params(params): Params<UsageParams>,
) -> Result<Json<UsageView>, Problem> {
    let user = text("user", params.user)?;
    let (bucket, span, default) =
        optional("bucket", params.bucket.as_deref(), |name| match name {
            "hour" => Some(("hour", 3600, 86_400)),
            "day" => Some(("day", 86_400, 30 * 86_400)),
            _ => None,
        })?
        .unwrap_or(("hour", 3600, 86_400));
    let now = api.table.clock().now().wall;
    let to = optional("to", params.to.as_deref(), moment)?.unwrap_or(now).as_second();
    let from = optional("from", params.from.as_deref(), moment)?;
    let from = from.map_or(to - default, |from| from.as_second());
    let first = from.div_euclid(span) * span;
    let end = (to.div_euclid(span) + 1) * span;
    if from > to {
        return Err(Problem::bad_request("from: must not be after to"));
    }
    if (end - first) / span > MOST_POINTS {
        return Err(Problem::bad_request(format!(
            "from: more than {MOST_POINTS} buckets; ask for fewer, or for bucket=day"
        )));
    }
    let found = match &api.ledger {
        Some(ledger) => {
            let range = (first, end);
            ledger.store.usage(user.as_deref(), span, range, &api.table, now).await?
        }
        None => Vec::new(),
    };
    let mut found = found.into_iter().peekable();
    let mut data = Vec::new();
    let mut start = first;
    while start < end {
        let part = found.next_if(|part| part.0 == start).unwrap_or((start, 0, 0));
        let begins = Timestamp::from_second(start).unwrap_or(Timestamp::UNIX_EPOCH);
        data.push(UsagePoint {
            start: time::to_text(begins),
            bytes_sent: count(part.1),
            bytes_received: count(part.2),
        });
        start += span;
    }
    Ok(Json(UsageView { user, bucket: bucket.to_owned(), data }))
}
