//! Why somebody is not let in: told to them, to the log and to the operators' events.
//!
//! No proof is ever quoted, and a name only where it is one that is configured: people type
//! passwords into the wrong field.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rustsocks_access::operators::{Operator, Outcome};
use rustsocks_telemetry::{Category, Events, Occurrence, Severity};

use crate::Api;
use crate::problem::Problem;

/// By what somebody tried to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Means {
    Password,
    Token,
    /// An `Authorization` header that holds neither.
    Unknown,
}

impl Means {
    fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Token => "token",
            Self::Unknown => "unknown",
        }
    }
}

/// Somebody is not let in.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Nothing was shown, or a login that is over.
    NoLogin,
    /// What was shown is wrong.
    Denied,
    /// Too many failures.
    Throttled { retry_after: Duration },
    /// Too many try at once.
    Busy { retry_after: Duration },
}

impl Refusal {
    /// The operator whom a proof was of. `claimed` is the name that came with it.
    ///
    /// # Errors
    /// The refusal, of which operators are told.
    pub(crate) fn unless_granted(
        api: &Api,
        outcome: Outcome,
        source: IpAddr,
        means: Means,
        claimed: Option<&str>,
    ) -> Result<Operator, Self> {
        match outcome {
            Outcome::Granted(operator) => Ok(operator),
            Outcome::Denied => {
                let knows = |name: &&str| api.operators.as_ref().is_some_and(|all| all.knows(name));
                Err(Self::denied(&api.events, source, means, claimed.filter(knows)))
            }
            Outcome::Throttled { retry_after } => {
                Err(Self::throttled(&api.events, source, retry_after))
            }
            Outcome::Busy { retry_after } => Err(Self::Busy { retry_after }),
        }
    }

    /// A proof was wrong. `user` is a configured user's name.
    fn denied(events: &Events, source: IpAddr, means: Means, user: Option<&str>) -> Self {
        let by = means.name();
        // Bounded: a source fails a few times and is not heard then.
        tracing::warn!(%source, by, user, "a login to the API failed");
        let mut details = vec![("source", source.to_string()), ("by", by.to_owned())];
        details.extend(user.map(|user| ("user", user.to_owned())));
        events.raise(occurrence("a login to the API failed", details));
        Self::Denied
    }

    /// A proof was not looked at.
    fn throttled(events: &Events, source: IpAddr, retry_after: Duration) -> Self {
        let message = "a source is not heard by the API for a while after too many failed logins";
        let details = vec![("source", source.to_string())];
        // Such a source may go on at full speed: one line a minute, and a count.
        if events.raise(occurrence(message, details)) {
            tracing::warn!(%source, "{message}");
        }
        Self::Throttled { retry_after }
    }
}

fn occurrence(message: &str, details: Vec<(&'static str, String)>) -> Occurrence {
    let (severity, category) = (Severity::Warning, Category::Security);
    Occurrence { severity, category, message: message.into(), details }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let unauthorized = |detail: &str| {
            let mut response = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
            // Basic is taken and not asked for: a browser would answer with a dialog of its own,
            // over the dashboard's.
            let challenge = HeaderValue::from_static("Bearer realm=\"rustsocks\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            response
        };
        let later = |why: &str, retry_after: Duration| {
            let seconds = retry_after.as_secs().saturating_add(1);
            let detail = format!("{why}; try again in {seconds} s");
            let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).into_response();
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            response
        };
        match self {
            Self::NoLogin => unauthorized("log in, or send a token or a name and a password"),
            Self::Denied => unauthorized("this is no operator's name and password, nor a token"),
            Self::Throttled { retry_after } => later("too many failed logins", retry_after),
            Self::Busy { retry_after } => later("too many logins at once", retry_after),
        }
    }
}
