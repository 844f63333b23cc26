//! The metrics page.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rustsocks_telemetry::metrics::Format;

use crate::Api;
use crate::problem::Problem;

/// All metrics, in Prometheus' text format, or in OpenMetrics where `Accept` asks for it.
#[utoipa::path(
    get, path = "/metrics", tag = "system",
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/plain"),
        (status = 404, description = "Metrics are switched off", body = Problem),
    )
)]
pub(crate) async fn metrics(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(metrics) = &api.metrics else {
        return Err(Problem::not_found("metrics are switched off; set metrics.enabled = true"));
    };
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::from_accept(accept.unwrap_or_default());
    let page = metrics.render(format).map_err(|_| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be written")
    })?;
    Ok(([(header::CONTENT_TYPE, format.content_type())], page).into_response())
}
