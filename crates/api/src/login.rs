//! Logging in and out, and who one is.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use rustsocks_access::operators::{Operator, Role};
use rustsocks_storage::time;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::asker::Asker;
use crate::problem::Problem;
use crate::refusal::{Means, Refusal};
use crate::source::Source;
use crate::{Api, cookie};

/// A user's name and password. Has no `Debug`: nothing may print it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginBody {
    /// The name of a dashboard user.
    #[schema(example = "admin", max_length = 255)]
    username: String,
    /// The password.
    #[schema(example = "correct horse", max_length = 255, format = Password)]
    password: String,
}

/// Who the asker is, and what the asker may do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LoginView {
    /// Whether a login is needed at all.
    #[schema(example = true)]
    auth_enabled: bool,
    /// The user's or the token's name; null where no login is needed.
    #[schema(example = "admin")]
    user: Option<String>,
    /// `read` or `operate`.
    #[schema(example = "operate")]
    role: String,
    /// To be sent as `X-CSRF-Token` with each request that changes something; null for whoever is
    /// not known by the cookie.
    #[schema(example = "0f3c9a8e5b7d416283e0c4d1f6a29b5708c3d7e1f4a6b2905d8e7c1b3a4f6d20")]
    csrf_token: Option<String>,
    /// When the login ends by itself, UTC; null for whoever is not known by the cookie.
    #[schema(format = "date-time", example = "2026-01-02T03:04:05.678+00:00")]
    expires_at: Option<String>,
}

impl LoginView {
    fn new(api: &Api, operator: Option<&Operator>) -> Self {
        let login = operator.and_then(Operator::login);
        let role = operator.map_or(Role::Operate, Operator::role);
        let now = api.table.clock().now();
        Self {
            auth_enabled: api.operators.is_some(),
            user: operator.map(|operator| operator.name().to_string()),
            role: role.name().to_owned(),
            csrf_token: login.map(|login| login.csrf_token().expose_secret().to_owned()),
            expires_at: login.map(|login| time::to_text(now.wall_at(login.expires()))),
        }
    }
}

/// Logs a dashboard user in: sets the cookie `rustsocks_session`.
#[utoipa::path(
    post, path = "/api/auth/login", tag = "auth", request_body = LoginBody,
    responses(
        (status = 200, description = "Logged in", body = LoginView,
            headers(("Set-Cookie" = String, description = "The login's cookie"))),
        (status = 400, description = "The body is wrong", body = Problem),
        (status = 401, description = "Name or password is wrong", body = Problem),
        (status = 409, description = "No login is needed: logins are switched off", body = Problem),
        (status = 413, description = "The body is larger than 1 MB", body = Problem),
        (status = 429, description = "Too many failed logins from this source", body = Problem,
            headers(("Retry-After" = u64, description = "Seconds"))),
    )
)]
pub(crate) async fn login(
    State(api): State<Api>,
    Source(source): Source,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Response> {
    let LoginBody { username, password } = read(&body).map_err(Problem::into_response)?;
    let Some(operators) = &api.operators else {
        let detail = "logins are switched off: nobody needs one";
        return Err(Problem::new(StatusCode::CONFLICT, detail).into_response());
    };
    let outcome = operators.check_password(&username, &password, source).await;
    let claimed = Some(username.as_str());
    let operator = Refusal::unless_granted(&api, outcome, source, Means::Password, claimed)
        .map_err(IntoResponse::into_response)?;
    // A browser has one login: the one before ends, and its id is of no use to who may know it.
    cookie::ids(&headers).for_each(|id| operators.log_out(&id));
    let (id, operator) = match operators.log_in(&operator) {
        Ok(Some(begun)) => begun,
        Ok(None) | Err(_) => {
            let detail = "no login could be begun; the system gave no randomness";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response());
        }
    };
    tracing::info!(user = %operator.name(), %source, "an operator logged in");
    let expires = operator.login().map(|login| login.expires());
    let lasts = expires.map(|at| at.saturating_duration_since(Instant::now())).unwrap_or_default();
    let mut response = Json(LoginView::new(&api, Some(&operator))).into_response();
    let scope = cookie::Scope::of(&headers, &api.options.base_path);
    if let Some(cookie) = scope.set(id.expose_secret(), lasts) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Reads name and password. What is wrong is not quoted: it may be the password.
fn read(body: &[u8]) -> Result<LoginBody, Problem> {
    let wrong =
        || Problem::bad_request("body: must be an object of two texts, username and password");
    // The JSON library would take a list for an object's fields in order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(wrong());
    }
    serde_json::from_slice(body).map_err(|_| wrong())
}

/// Ends the asker's login. A program has none, which is no error.
#[utoipa::path(
    post, path = "/api/auth/logout", tag = "auth",
    responses((status = 204, description = "The login is over"))
)]
pub(crate) async fn logout(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let (Some(operators), Some(operator)) = (&api.operators, asker.operator()) {
        cookie::ids(&headers).for_each(|id| operators.log_out(&id));
        tracing::info!(user = %operator.name(), "an operator logged out");
        if let Some(cookie) = cookie::Scope::of(&headers, &api.options.base_path).remove() {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
    }
    response
}

/// Who the asker is. Where no login is needed, everybody may do everything.
#[utoipa::path(
    get, path = "/api/auth/session", tag = "auth",
    responses((status = 200, description = "The asker", body = LoginView))
)]
pub(crate) async fn session(
    State(api): State<Api>,
    Extension(asker): Extension<Asker>,
) -> Json<LoginView> {
    Json(LoginView::new(&api, asker.operator()))
}
