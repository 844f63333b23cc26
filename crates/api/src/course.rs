//! The metrics history.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use rustsocks_storage::{Course, Rates, time};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Api;
use crate::params::{Params, number};
use crate::problem::Problem;

/// The longest time to look back: ten years.
const MINUTES_MAX: u64 = 5_256_000;

/// Points per answer at most.
const POINTS_MAX: u64 = 10_000;

/// How much of the metrics history to show.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct CourseParams {
    /// Look back this many minutes; 60 where left out.
    #[param(example = 60, minimum = 1, maximum = 5_256_000)]
    minutes: Option<u64>,
    /// So many points at most, each the average of its part of the time; 10000 where left out.
    #[param(example = 200, minimum = 1, maximum = 10_000)]
    points: Option<u64>,
}

/// What the process did over time. Where it did not run there are no points.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CourseView {
    /// Seconds from one point to the next.
    #[schema(example = 5, minimum = 1)]
    interval_secs: u64,
    /// The points, the oldest first.
    data: Vec<PointView>,
}

/// One point: averages over the time since the point before.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PointView {
    /// The end of its time, UTC.
    #[schema(format = "date-time", example = "2026-01-02T03:04:05.678+00:00")]
    timestamp: String,
    /// Sessions that ran, rounded.
    #[schema(example = 42, minimum = 0)]
    active_sessions: u64,
    /// Sessions that began, per second.
    #[schema(example = 12.4, minimum = 0)]
    sessions_per_sec: f64,
    /// Payload bytes per second, client to destination.
    #[schema(example = 52_000.5, minimum = 0)]
    bytes_sent_per_sec: f64,
    /// Payload bytes per second, destination to client.
    #[schema(example = 1_250_000.0, minimum = 0)]
    bytes_received_per_sec: f64,
    /// Ended sessions whose record the store did not have yet, rounded.
    #[schema(example = 0, minimum = 0)]
    journal_backlog: u64,
}

impl From<Rates> for PointView {
    fn from(rates: Rates) -> Self {
        Self {
            timestamp: time::to_text(rates.at),
            active_sessions: rates.active.round() as u64,
            sessions_per_sec: rates.sessions,
            bytes_sent_per_sec: rates.sent,
            bytes_received_per_sec: rates.received,
            journal_backlog: rates.backlog.round() as u64,
        }
    }
}

/// Sessions and traffic over time, for charts.
#[utoipa::path(
    get, path = "/api/metrics/history", tag = "telemetry", operation_id = "metrics_history",
    params(CourseParams),
    responses(
        (status = 200, description = "The metrics history", body = CourseView),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 404, description = "Metrics are switched off", body = Problem),
    )
)]
pub(crate) async fn history(
    State(api): State<Api>,
    Params(params): Params<CourseParams>,
) -> Result<Json<CourseView>, Problem> {
    let minutes = number("minutes", params.minutes.unwrap_or(60), 1, MINUTES_MAX)?;
    let most = number("points", params.points.unwrap_or(POINTS_MAX), 1, POINTS_MAX)?;
    let Some(points) = &api.points else {
        return Err(Problem::not_found("metrics are switched off; set metrics.enabled = true"));
    };
    let now = api.table.clock().now().wall;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let Course { interval, rates } = points.course(now, Duration::from_secs(minutes * 60), most);
    let data = rates.into_iter().map(PointView::from).collect();
    Ok(Json(CourseView { interval_secs: interval.as_secs(), data }))
}
