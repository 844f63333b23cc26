//! The operator events.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use rustsocks_storage::time;
use rustsocks_telemetry::{Category, Event, Query, Severity};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Api;
use crate::params::{MOST, Params, number, optional};
use crate::problem::Problem;

/// Which events to show.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventParams {
    /// Look back this many minutes; the whole buffer where left out.
    #[param(example = 60, minimum = 1, maximum = 5_256_000)]
    minutes: Option<u64>,
    /// How many at most; larger numbers count as 500.
    #[param(example = 50, minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    limit: Option<u64>,
    /// `info`, `warning` or `error`.
    #[param(example = "warning")]
    severity: Option<String>,
    /// `connection_pool`, `storage`, `security`, `listener` or `acl`.
    #[param(example = "connection_pool")]
    category: Option<String>,
}

/// An operator event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventView {
    /// When it came last, UTC.
    #[schema(format = "date-time", example = "2026-01-02T03:04:05.678+00:00")]
    timestamp: String,
    /// When it came first, UTC.
    #[schema(format = "date-time", example = "2026-01-02T03:04:01.000+00:00")]
    first_timestamp: String,
    /// How often it came.
    #[schema(example = 3)]
    count: u64,
    /// `info`, `warning` or `error`.
    #[schema(example = "warning")]
    severity: String,
    /// What it is about.
    #[schema(example = "connection_pool")]
    category: String,
    /// What happened.
    #[schema(example = "an outgoing connection failed")]
    message: String,
    /// Particulars.
    details: BTreeMap<String, String>,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        let Event { first, last, count, occurrence } = event;
        let details = occurrence.details.into_iter();
        Self {
            timestamp: time::to_text(last),
            first_timestamp: time::to_text(first),
            count,
            severity: occurrence.severity.name().to_owned(),
            category: occurrence.category.name().to_owned(),
            message: occurrence.message,
            details: details.map(|(key, value)| (key.to_owned(), value)).collect(),
        }
    }
}

/// Recent operator events, the newest first.
#[utoipa::path(
    get, path = "/api/telemetry/events", tag = "telemetry", params(EventParams),
    responses(
        (status = 200, description = "Events", body = Vec<EventView>),
        (status = 400, description = "A parameter is wrong", body = Problem),
    )
)]
pub(crate) async fn events(
    State(api): State<Api>,
    Params(params): Params<EventParams>,
) -> Result<Json<Vec<EventView>>, Problem> {
    let minutes = params.minutes.map(|minutes| number("minutes", minutes, 1, 5_256_000));
    let limit = number("limit", params.limit.unwrap_or(100), 1, MOST)?.min(500);
    let query = Query {
        within: minutes.transpose()?.map(|minutes| Duration::from_secs(minutes * 60)),
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        severity: optional("severity", params.severity.as_deref(), Severity::from_name)?,
        category: optional("category", params.category.as_deref(), Category::from_name)?,
    };
    Ok(Json(api.events.recent(query).into_iter().map(EventView::from).collect()))
}
