//! Ended sessions, and any one session.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use rustsocks_sessions::{Record, SessionId, Status};

use crate::Api;
use crate::live::session_id;
use crate::params::{Both, FilterParams, PageParams, PathText, Place, Scope, Wanted, text};
use crate::problem::Problem;
use crate::shapes::{SessionPage, SessionView};

/// How long a query waits for the recorder to save what has just ended.
const FLUSH_LIMIT: Duration = Duration::from_millis(500);

/// Ended sessions, the newest end first.
#[utoipa::path(
    get, path = "/api/sessions/history", tag = "sessions", params(FilterParams, PageParams),
    responses(
        (status = 200, description = "Ended sessions", body = SessionPage),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 503, description = "The store cannot answer now", body = Problem),
    )
)]
pub(crate) async fn history(
    State(api): State<Api>,
    Both(place, wanted): Both<PageParams, FilterParams>,
) -> Result<Json<SessionPage>, Problem> {
    let wanted = wanted.check(api.table.clock().now().wall)?;
    find(&api, wanted, place.check()?).await
}

/// Ended sessions of one user, the newest end first.
#[utoipa::path(
    get, path = "/api/users/{user}/sessions", tag = "sessions",
    params(("user" = String, Path, description = "The user's name"), FilterParams, PageParams),
    responses(
        (status = 200, description = "Ended sessions of the user", body = SessionPage),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 503, description = "The store cannot answer now", body = Problem),
    )
)]
pub(crate) async fn of_user(
    State(api): State<Api>,
    PathText(user): PathText,
    Both(place, wanted): Both<PageParams, FilterParams>,
) -> Result<Json<SessionPage>, Problem> {
    let mut wanted = wanted.check(api.table.clock().now().wall)?;
    if wanted.filter.user.as_ref().is_some_and(|asked| *asked != user) {
        return Err(Problem::bad_request("user: differs from the one in the path"));
    }
    wanted.filter.user = text("user", Some(user))?;
    find(&api, wanted, place.check()?).await
}

async fn find(api: &Api, wanted: Wanted, place: Place) -> Result<Json<SessionPage>, Problem> {
    let size = place.page_size;
    let Some(ledger) = &api.ledger else {
        return Ok(Json(page(Vec::new(), 0, place.page, size, None)));
    };
    bring_up_to_date(api).await;
    let sort = place.sort.unwrap_or_default();
    let mut filter = wanted.filter;
    if wanted.scope == Some(Scope::Node) {
        filter.node = Some(api.table.node().as_ref().to_owned());
    }
    if filter.status == Some(Status::Active) {
        filter = filter.of_running(api.table.clock().now().wall);
    }
    let store = &ledger.store;
    let found = store.whole_history(&filter, sort, place.paging, size, &api.table).await?;
    let data = found.records.iter().map(SessionView::from).collect();
    let next = found.next.map(|cursor| cursor.to_string());
    Ok(Json(page(data, found.total, place.page, size, next)))
}

/// Has what has ended and still waits for its batch saved, so that SQL over the table gives what
/// an answer gives; where that takes long, the answer is completed from memory.
pub(crate) async fn bring_up_to_date(api: &Api) {
    if let Some(ledger) = &api.ledger
        && !api.table.outbox().is_empty()
    {
        ledger.flusher.flush(FLUSH_LIMIT).await;
    }
}

pub(crate) fn page(
    data: Vec<SessionView>,
    total: u64,
    page: u64,
    page_size: usize,
    next_cursor: Option<String>,
) -> SessionPage {
    let page_size = page_size as u64;
    SessionPage {
        data,
        total,
        page,
        page_size,
        total_pages: total.div_ceil(page_size),
        next_cursor,
    }
}

/// One session, running or ended.
#[utoipa::path(
    get, path = "/api/sessions/{id}", tag = "sessions",
    params(("id" = String, Path, description = "The session's UUID", format = "uuid")),
    responses(
        (status = 200, description = "The session", body = SessionView),
        (status = 400, description = "The id is no UUID", body = Problem),
        (status = 404, description = "There is no such session", body = Problem),
        (status = 503, description = "The store cannot answer now", body = Problem),
    )
)]
pub(crate) async fn one(
    State(api): State<Api>,
    PathText(id): PathText,
) -> Result<Json<SessionView>, Problem> {
    let id = session_id(&id)?;
    // The table holds an ended session until it is stored, so there is no gap between the two.
    if let Some(session) = api.table.get(id) {
        return Ok(Json(SessionView::from(&session.snapshot())));
    }
    match stored(&api, id).await? {
        Some(record) => Ok(Json(SessionView::from(&record))),
        None => Err(Problem::not_found("there is no such session")),
    }
}

pub(crate) async fn stored(api: &Api, id: SessionId) -> Result<Option<Record>, Problem> {
    match &api.ledger {
        Some(ledger) => Ok(ledger.store.find(id).await?),
        None => Ok(None),
    }
}
