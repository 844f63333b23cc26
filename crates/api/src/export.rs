//! Ended sessions as a file, piece by piece: memory does not grow with their number.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use rustsocks_sessions::{Record, Status};
use rustsocks_storage::{Cursor, Filter, Page};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Api;
use crate::history::bring_up_to_date;
use crate::params::{Both, FilterParams, Named, Scope};
use crate::problem::Problem;
use crate::shapes::SessionView;

/// Sessions per piece.
const PIECE: usize = 1000;

/// The form of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    Ndjson,
}

/// The form of an export.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct FormatParams {
    /// `csv` (RFC 4180, a line of column names first) or `ndjson` (a JSON object per line).
    #[param(example = "csv", required = true)]
    format: Option<String>,
}

impl Named for FormatParams {
    const NAMES: &'static [&'static str] = &["format"];
}

/// Ended sessions that a filter finds, the newest end first, as one file of any length; with
/// `status=active` those that run on this node. The columns are the fields of a session, in
/// their order.
///
/// Should the store fail half-way, the connection is cut, so that a part is not taken for all.
#[utoipa::path(
    get, path = "/api/sessions/export", tag = "sessions", 
    params(FormatParams, FilterParams),
    responses(
        (status = 200, description = "The file", content(
            (String = "text/csv"), (String = "application/x-ndjson"),
        )),
        (status = 400, description = "A parameter is wrong", body = Problem),
        (status = 503, description = "The store cannot answer now", body = Problem),
    )
)]
pub(crate) async fn export(
    State(api): State<Api>,
    Both(form, wanted): Both<FormatParams, FilterParams>,
) -> Result<Response, Problem> {
    let format = match form.format.as_deref() {
        Some("csv") => Format::Csv,
        Some("ndjson") => Format::Ndjson,
        Some(_) => return Err(Problem::bad_request("format: must be csv or ndjson")),
        None => return Err(Problem::bad_request("format: is missing; csv or ndjson")),
    };
    let request = wanted.check(api.table.clock().now().wall)?;
    let abroad = request.abroad(api.table.node());
    let mut filter = request.filter;
    if let (Some(Status::Active), Some(name)) = (filter.status, abroad) {
        let detail = "an export of running sessions is that of this node alone";
        return Err(Problem::bad_request(format!("{name}: {detail}")));
    }
    if request.scope == Some(Scope::Node) {
        filter.node = Some(api.table.node().as_ref().to_owned());
    }
    let first = match filter.status {
        Some(Status::Active) => Page { records: running(&api, &filter), total: 0, next: None },
        _ => {
            bring_up_to_date(&api).await;
            part(&api, &filter, None).await?
        }
    };
    let head = match format {
        Format::Csv => csv_head(),
        Format::Ndjson => Vec::new(),
    };
    let state = (api, filter, Some(first), head);
    let pieces = stream::try_unfold(state, move |(api, filter, page, head)| async move {
        let Some(page) = page else { return Ok(None) };
        let mut piece = head;
        write(format, &page.records, &mut piece)?;
        let next = match page.next {
            Some(cursor) => {
                let next = part(&api, &filter, Some(cursor)).await;
                Some(next.map_err(|_| std::io::Error::other("the store cannot answer now"))?)
            }
            None => None,
        };
        Ok::<_, std::io::Error>(Some((Bytes::from(piece), (api, filter, next, Vec::new()))))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let (kind, name) = match format {
        Format::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"sessions.csv\""),
        Format::Ndjson => ("application/x-ndjson", "attachment; filename=\"sessions.ndjson\""),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(name));
    Ok(response)
}

fn running(api: &Api, filter: &Filter) -> Vec<Record> {
    let sessions = api.table.running();
    sessions.iter().map(|one| one.snapshot()).filter(|one| filter.matches(one)).collect()
}

async fn part(api: &Api, filter: &Filter, behind: Option<Cursor>) -> Result<Page, Problem> {
    match &api.ledger {
        Some(ledger) => Ok(ledger.store.walk(filter, behind, PIECE, &api.table).await?),
        None => Ok(Page { records: Vec::new(), total: 0, next: None }),
    }
}

/// The line of column names.
fn csv_head() -> Vec<u8> {
    let mut line = SessionView::COLUMNS.join(",").into_bytes();
    line.extend_from_slice(b"\r\n");
    line
}

fn write(format: Format, records: &[Record], piece: &mut Vec<u8>) -> std::io::Result<()> {
    match format {
        Format::Csv => {
            let mut writer = csv::WriterBuilder::new()
                .has_headers(false)
                .terminator(csv::Terminator::CRLF)
                .from_writer(piece);
            for record in records {
                writer.serialize(SessionView::from(record)).map_err(std::io::Error::other)?;
            }
            writer.flush()
        }
        Format::Ndjson => {
            for record in records {
                serde_json::to_writer(&mut *piece, &SessionView::from(record))?;
                piece.push(b'\n');
            }
            Ok(())
        }
    }
}
