//! Running sessions: listing them, ending them.

use std::collections::HashSet;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use jiff::Timestamp;
use rustsocks_sessions::{CloseReason, Record, SessionId, Status};
use rustsocks_storage::{Answer, Direction, Filter, Page, Paging, Sort, SortKey, StoreError, time};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Api;
use crate::asker::Asker;
use crate::history;
use crate::params::{Both, Fields, FilterParams, Named, PageParams, PathText, in_both};
use crate::problem::Problem;
use crate::shapes::{SessionPage, SessionView};

/// Running sessions, the newest first.
#[utoipa::path(
    get, path = "/api/sessions/active", tag = "sessions", params(FilterParams, PageParams),
    responses(
        (status = 200, description = "Running sessions", body = SessionPage),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 503, description = "Other nodes are meant, and the store cannot answer now", body = Problem),
    )
)]
pub(crate) async fn active(
    State(api): State<Api>,
    Both(place, wanted): Both<PageParams, FilterParams>,
) -> Result<Json<SessionPage>, Problem> {
    let place = place.check()?;
    let now = api.table.clock().now().wall;
    let wanted = wanted.check(now)?;
    let own = api.table.node();
    let abroad = wanted.abroad(own).is_some();
    let mut filter = wanted.filter;
    if filter.status.is_some_and(|status| status != Status::Active) {
        return Err(Problem::bad_request("status: running sessions are all active"));
    }
    filter.status = Some(Status::Active);
    let Paging::Page(number) = place.paging else {
        return Err(Problem::bad_request("cursor: running sessions have pages alone"));
    };
    let newest = Sort { key: SortKey::StartTime, direction: Direction::Descending };
    let sort = place.sort.unwrap_or(newest);
    let running = api.table.running();
    let mut found: Vec<Record> = running
        .iter()
        .map(|session| session.snapshot())
        .filter(|record| filter.matches(record))
        .collect();
    let size = place.page_size;
    let skip = usize::try_from(number).unwrap_or(usize::MAX).saturating_mul(size);
    let mut total = found.len() as u64;
    if abroad {
        let most = skip.saturating_add(size);
        if most > MOST_ABROAD {
            return Err(Problem::bad_request("page: too far for running sessions of other nodes"));
        }
        filter.not_node = Some(own.as_ref().to_owned());
        let page = elsewhere(&api, &filter.of_running(now), sort, most).await?;
        total += page.total;
        found.extend(page.records);
    }
    found.sort_unstable_by(|left, right| sort.compare(left, right));
    let data = found.iter().skip(skip).take(size).map(SessionView::from).collect();
    Ok(Json(history::page(data, total, place.page, size, None)))
}

/// Running sessions of other nodes are read up to this place in the list.
const MOST_ABROAD: usize = 10_000;

/// The first running sessions of other nodes, as they last told the shared store.
async fn elsewhere(
    api: &Api,
    filter: &Filter,
    sort: Sort,
    most: usize,
) -> Result<Page, StoreError> {
    match &api.ledger {
        Some(ledger) if ledger.store.is_shared() => {
            ledger.store.history(filter, sort, Paging::Page(0), most).await
        }
        _ => Ok(Page { records: Vec::new(), total: 0, next: None }),
    }
}

/// What an operator says when ending a session.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TerminateBody {
    /// Why, for the record.
    #[schema(example = "abuse report 4711", max_length = 1000)]
    reason: Option<String>,
}

/// Ends a running session. Its record keeps the operator's reason.
#[utoipa::path(
    post, path = "/api/sessions/{id}/terminate", tag = "sessions",
    params(("id" = String, Path, description = "The session's UUID", format = "uuid")),
    request_body(content = Option<TerminateBody>, description = "Optional"),
    responses(
        (status = 202, description = "It was asked to end; the session as it is now", body = SessionView),
        (status = 400, description = "The id is no UUID, or the body is wrong", body = Problem),
        (status = 404, description = "There is no such session", body = Problem),
        (status = 409, description = "It has ended already", body = Problem),
        (status = 413, description = "The body is larger than 1 MB", body = Problem),
        (status = 503, description = "The store cannot answer now", body = Problem),
        (status = 504, description = "It runs on another node, which does not answer", body = Problem),
    )
)]
pub(crate) async fn terminate(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    PathText(id): PathText,
    body: Bytes,
) -> Result<(StatusCode, Json<SessionView>), Problem> {
    let id = session_id(&id)?;
    let TerminateBody { reason } = crate::problem::body(&body)?;
    let detail = detail(&asker, reason.as_deref())?;
    match api.table.get(id) {
        Some(session)
            if session.stop(CloseReason::AdminTerminated, Some(detail.as_str().into())) =>
        {
            Ok((StatusCode::ACCEPTED, Json(SessionView::from(&session.snapshot()))))
        }
        Some(_) => Err(ended_already()),
        None => match history::stored(&api, id).await? {
            Some(record)
                if record.status == Status::Active && record.node_id != *api.table.node() =>
            {
                terminate_elsewhere(&api, &record, &detail).await
            }
            Some(_) => Err(ended_already()),
            None => Err(Problem::not_found("there is no such session")),
        },
    }
}

/// What an operator's wish leaves in the record.
fn detail(asker: &Asker, reason: Option<&str>) -> Result<String, Problem> {
    let who = asker.signature();
    match reason {
        Some(reason) if reason.len() > 1000 => {
            Err(Problem::bad_request("reason: longer than 1000 bytes"))
        }
        Some(reason) => Ok(format!("ended by {who} through the API: {reason}")),
        None => Ok(format!("ended by {who} through the API")),
    }
}

/// What an operator says when ending many sessions.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct TerminateManyBody {
    /// Why, for the records.
    #[schema(example = "abuse report 4711", max_length = 1000)]
    reason: Option<String>,
    /// Whether to tell only which sessions would be ended.
    #[schema(example = true)]
    dry_run: Option<bool>,
    /// Whether every session is really meant, where there is no filter.
    #[schema(example = false)]
    all: Option<bool>,
    /// Of the sessions that the filter finds, these alone: those that a dry run showed.
    #[schema(example = json!(["01a209d1-312c-7766-9078-e3ca9fe9a20f"]))]
    only: Option<Vec<String>>,
    /// The parameters of the filter, as in the query.
    #[serde(flatten)]
    #[schema(ignore)]
    filter: Fields,
}

/// The same in the query.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct TerminateManyParams {
    /// Why, for the records.
    #[param(example = "abuse report 4711", max_length = 1000)]
    reason: Option<String>,
    /// Whether to tell only which sessions would be ended.
    #[param(example = true)]
    dry_run: Option<bool>,
    /// Whether every session is really meant, where there is no filter.
    #[param(example = false)]
    all: Option<bool>,
}

impl Named for TerminateManyParams {
    const NAMES: &'static [&'static str] = &["reason", "dry_run", "all"];
}

/// What the query or the body gives, but not both.
fn either<T>(name: &str, query: Option<T>, body: Option<T>) -> Result<Option<T>, Problem> {
    match query.is_some() && body.is_some() {
        true => Err(in_both(name)),
        false => Ok(query.or(body)),
    }
}

/// What became of a wish to end many sessions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Terminated {
    /// Whether nothing was ended.
    #[schema(example = false)]
    dry_run: bool,
    /// Running sessions that the filter finds.
    #[schema(example = 17)]
    matched: u64,
    /// Sessions that were asked to end; the others had ended meanwhile.
    #[schema(example = 17)]
    terminated: u64,
    /// The sessions that the filter finds, a hundred at most.
    sessions: Vec<SessionView>,
    /// All that the filter finds started before this time; as a parameter it keeps what opens
    /// later out of the next request. Null where it finds none.
    #[schema(format = "date-time", example = "2026-01-02T03:04:05.679+00:00")]
    start_before: Option<String>,
}

/// Sessions that are shown of those that were ended.
const MOST_SHOWN: usize = 100;

/// Ends every running session of this node that a filter finds; the filter is that of the
/// session lists. Each record keeps the operator's reason.
///
/// Everything but `only` may be in the query or in the body, nothing in both.
///
/// What opens after a dry run is found as well, unless `only` or `start_before` keep to what that
/// showed.
#[utoipa::path(
    post, path = "/api/sessions/terminate", tag = "sessions",
    params(TerminateManyParams, FilterParams),
    request_body(content = Option<TerminateManyBody>, description = "Optional"),
    responses(
        (status = 200, description = "With `dry_run`: what would be ended", body = Terminated),
        (status = 202, description = "They were asked to end", body = Terminated),
        (status = 400, description = "A parameter or the body is wrong, or nothing says which sessions", body = Problem),
        (status = 413, description = "The body is larger than 1 MB", body = Problem),
    )
)]
pub(crate) async fn terminate_many(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    Both(asked, wanted): Both<TerminateManyParams, FilterParams>,
    body: Bytes,
) -> Result<(StatusCode, Json<Terminated>), Problem> {
    let body: TerminateManyBody = crate::problem::body(&body)?;
    let request = wanted.with(body.filter)?.check(api.table.clock().now().wall)?;
    let reason = either("reason", asked.reason, body.reason)?;
    let dry_run = either("dry_run", asked.dry_run, body.dry_run)?.unwrap_or(false);
    let all = either("all", asked.all, body.all)?.unwrap_or(false);
    let only = body.only;
    let detail = detail(&asker, reason.as_deref())?;
    let only = only.map(ids).transpose()?;
    if let Some(name) = request.abroad(api.table.node()) {
        let problem = "many sessions are ended on their own node; ask that one";
        return Err(Problem::bad_request(format!("{name}: {problem}")));
    }
    let mut filter = request.filter;
    if filter.status.is_some_and(|status| status != Status::Active) {
        return Err(Problem::bad_request("status: only running sessions can be ended"));
    }
    filter.status = None;
    if filter == Filter::default() && !all {
        let problem = "all: give a filter, or say that all are meant";
        return Err(Problem::bad_request(problem));
    }
    filter.status = Some(Status::Active);
    let (mut matched, mut terminated, mut sessions) = (0, 0, Vec::new());
    let mut newest = None;
    for session in api.table.running() {
        let record = session.snapshot();
        let is_among = |ids: &HashSet<SessionId>| ids.contains(&record.session_id);
        if !filter.matches(&record) || !only.as_ref().is_none_or(is_among) {
            continue;
        }
        matched += 1;
        newest = newest.max(Some(record.start_time));
        let wish = || session.stop(CloseReason::AdminTerminated, Some(detail.as_str().into()));
        if !dry_run && wish() {
            terminated += 1;
        }
        if sessions.len() < MOST_SHOWN {
            sessions.push(SessionView::from(&record));
        }
    }
    let status = if dry_run { StatusCode::OK } else { StatusCode::ACCEPTED };
    let start_before = newest.map(|newest| time::to_text(right_after(newest)));
    Ok((status, Json(Terminated { dry_run, matched, terminated, sessions, start_before })))
}

/// Reads ids from a body.
fn ids(texts: Vec<String>) -> Result<HashSet<SessionId>, Problem> {
    let id = |text: String| text.parse();
    let ids: Result<_, _> = texts.into_iter().map(id).collect();
    ids.map_err(|_| Problem::bad_request("only: must be a list of UUIDs"))
}

/// The next time that is told apart: filters look at whole milliseconds.
fn right_after(time: Timestamp) -> Timestamp {
    time.checked_add(Duration::from_millis(1)).unwrap_or(Timestamp::MAX)
}

/// How long another node may take to answer.
const NODE_PATIENCE: Duration = Duration::from_secs(3);

/// Asks the node on which a session runs to end it.
async fn terminate_elsewhere(
    api: &Api,
    record: &Record,
    detail: &str,
) -> Result<(StatusCode, Json<SessionView>), Problem> {
    let node = &record.node_id;
    let answer = match &api.ledger {
        Some(ledger) => {
            let store = &ledger.store;
            store.ask_elsewhere(record.session_id, node, detail, NODE_PATIENCE).await?
        }
        None => Answer::Silence,
    };
    match answer {
        Answer::Ending => Ok((StatusCode::ACCEPTED, Json(SessionView::from(record)))),
        Answer::Ended => Err(ended_already()),
        Answer::Silence => {
            let detail = format!("the session runs on node {node}, which does not answer");
            Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, &detail))
        }
    }
}

fn ended_already() -> Problem {
    Problem::new(StatusCode::CONFLICT, "the session has ended, or was asked to, already")
}

/// Reads an id from a path.
pub(crate) fn session_id(text: &str) -> Result<SessionId, Problem> {
    text.parse().map_err(|_| Problem::bad_request("id: must be a UUID"))
}
