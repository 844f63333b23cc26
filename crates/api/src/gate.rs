//! The gate: nobody passes without a proof, and nobody changes anything without the role for it.
//!
//! It surrounds every route but those that are open by name (`routes::open`), so that a route that
//! nobody thought of is closed.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::StreamExt as _;
use rustsocks_access::operators::{Operator, Operators};

use crate::asker::Asker;
use crate::problem::Problem;
use crate::refusal::{Means, Refusal};
use crate::source::Source;
use crate::{Api, cookie};

/// Requests that ask and change nothing, although they have a body.
const QUESTIONS: [&str; 1] = ["/api/acl/test"];

/// What an operator may do to its own login, whatever its role.
const OWN: [&str; 1] = ["/api/auth/logout"];

/// What a page of ours sends with each change, beside the cookie.
const CSRF_HEADER: &str = "x-csrf-token";

/// What a request needs to pass the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A proof of who sends it.
    Proof,
    /// Also, from a browser, a sign that a page of ours sends it.
    Page,
    /// Also the role that may change something.
    Role,
}

impl Need {
    /// What is not known to ask or to be one's own business needs everything.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        match *method {
            Method::GET | Method::HEAD | Method::OPTIONS => Self::Proof,
            _ if QUESTIONS.contains(&path) => Self::Proof,
            _ if OWN.contains(&path) => Self::Page,
            _ => Self::Role,
        }
    }
}

/// Lets a request through if its sender may do what it asks.
pub(crate) async fn gate(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let asker = match asker(&api, &parts).await {
        Ok(asker) => asker,
        Err(refusal) => return refusal.into_response(),
    };
    if let Some(operator) = asker.operator()
        && let Err(problem) = may(operator, &parts)
    {
        return problem.into_response();
    }
    parts.extensions.insert(asker.clone());
    let response = next.run(Request::from_parts(parts, body)).await;
    match (api.operators, asker.operator()) {
        (Some(operators), Some(operator)) => while_it_holds(response, operators, operator.clone()),
        _ => response,
    }
}

/// Who sent this. An `Authorization` header decides alone where there is one.
async fn asker(api: &Api, parts: &Parts) -> Result<Asker, Refusal> {
    let Some(operators) = &api.operators else { return Ok(Asker::anybody()) };
    let Source(source) = Source::of(parts, &api.options.trusted_proxies);
    let Some(authorization) = parts.headers.get(header::AUTHORIZATION) else {
        let mut ids = cookie::ids(&parts.headers);
        return match ids.find_map(|id| operators.by_login(&id)) {
            Some(operator) => Ok(operator.into()),
            None => Err(Refusal::NoLogin),
        };
    };
    let (means, claimed, outcome) = match Credentials::read(authorization) {
        Some(Credentials::Token(token)) => {
            (Means::Token, None, operators.check_token(token, source))
        }
        Some(Credentials::Password { name, password }) => {
            let outcome = operators.check_password(&name, &password, source).await;
            (Means::Password, Some(name), outcome)
        }
        None => (Means::Unknown, None, operators.count_failure(source)),
    };
    Refusal::unless_granted(api, outcome, source, means, claimed.as_deref()).map(Into::into)
}

/// What an `Authorization` header holds (RFC 6750 §2.1, RFC 7617).
enum Credentials<'a> {
    Token(&'a str),
    Password { name: String, password: String },
}

impl<'a> Credentials<'a> {
    fn read(header: &'a HeaderValue) -> Option<Self> {
        let (scheme, rest) = header.to_str().ok()?.split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Token(rest));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let pair = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
        let (name, password) = pair.split_once(':')?;
        Some(Self::Password { name: name.to_owned(), password: password.to_owned() })
    }
}

/// Whether an operator may send this.
fn may(operator: &Operator, parts: &Parts) -> Result<(), Problem> {
    let need = Need::of(&parts.method, parts.uri.path());
    if need == Need::Proof {
        return Ok(());
    }
    let forbidden = |detail: &str| Err(Problem::new(StatusCode::FORBIDDEN, detail));
    if let Some(login) = operator.login()
        && !csrf_tokens(&parts.headers).any(|shown| login.is_csrf_token(shown))
    {
        return forbidden("X-CSRF-Token: send the csrf_token of this login with each change");
    }
    if need == Need::Role && !operator.role().may_change() {
        return forbidden("this operator has the role read and may change nothing");
    }
    Ok(())
}

fn csrf_tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(CSRF_HEADER).iter().filter_map(|value| value.to_str().ok())
}

/// Ends a live stream as soon as its reader would not be let in any more: each piece is handed on
/// only while the proof holds, and a stream has at least a heartbeat.
fn while_it_holds(response: Response, operators: Operators, operator: Operator) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_stream = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if !is_stream {
        return response;
    }
    let (parts, body) = response.into_parts();
    let pieces = body.into_data_stream();
    let pieces = pieces.take_while(move |_| std::future::ready(operators.holds(&operator)));
    Response::from_parts(parts, Body::from_stream(pieces))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_in_any_case_and_garbage_is_none() {
        let read = |text: &str| match Credentials::read(&text.parse().unwrap()) {
            Some(Credentials::Token(token)) => format!("token {token}"),
            Some(Credentials::Password { name, password }) => format!("{name}/{password}"),
            None => "none".to_owned(),
        };
        assert_eq!(read("Bearer rst_1"), "token rst_1");
        assert_eq!(read("bearer  rst_1 "), "token rst_1");
        assert_eq!(read("Basic YTpiOmM="), "a/b:c");
        for garbage in ["", "Basic", "Basic YTpi*", "Basic YWI=", "Basic /w==", "Digest a=b"] {
            assert_eq!(read(garbage), "none", "{garbage}");
        }
    }
}
