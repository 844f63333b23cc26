//! Requests to the API: one connection for each, bounded patience, no redirections.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::console::address::Address;
use crate::console::answers::Problem;
use crate::console::fault::Fault;
use crate::console::filter::Query;
use crate::console::safe::Text;
use crate::console::wire;

/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long an answer may take to begin. The server gives up after 30 seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(35);

/// How long may pass between two pieces of an answer; a quiet stream sends a sign every 15
/// seconds.
const PIECE_LIMIT: Duration = Duration::from_secs(45);

/// The largest answer that is taken as a whole.
const ANSWER_BYTES: usize = 64 << 20;

/// A server's API.
#[derive(Debug)]
pub(crate) struct Http {
    address: Address,
    /// What the `Authorization` header says, if there is one.
    authorization: Option<HeaderValue>,
}

/// A request.
#[derive(Debug, Default)]
pub(crate) struct Question<'a> {
    pub(crate) method: Method,
    /// Below the base path, beginning with a slash.
    pub(crate) path: &'a str,
    pub(crate) query: Query,
    /// JSON; empty for none.
    pub(crate) body: String,
    /// The last event seen, of a stream that is taken up again.
    pub(crate) last_event: Option<&'a str>,
}

impl Http {
    pub(crate) fn new(address: Address, token: Option<SecretString>) -> Result<Self, Fault> {
        let token = token.filter(|token| !token.expose_secret().is_empty());
        let authorization = token
            .map(|token| {
                let value = format!("Bearer {}", token.expose_secret());
                let mut value = HeaderValue::try_from(value)
                    .map_err(|_| Fault::Usage("--token: no token looks like this".into()))?;
                value.set_sensitive(true);
                Ok(value)
            })
            .transpose()?;
        Ok(Self { address, authorization })
    }

    /// Where the API is.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// A GET whose answer is JSON, as it came.
    pub(crate) async fn get(&self, path: &str, query: Query) -> Result<String, Fault> {
        self.whole(Question { path, query, ..Question::default() }).await
    }

    /// A POST of JSON whose answer is JSON, as it came.
    pub(crate) async fn post(
        &self,
        path: &str,
        query: Query,
        body: &serde_json::Value,
    ) -> Result<String, Fault> {
        let body = body.to_string();
        self.whole(Question { method: Method::POST, path, query, body, ..Question::default() })
            .await
    }

    /// Reads an answer.
    pub(crate) fn read<T: DeserializeOwned>(&self, json: &str) -> Result<T, Fault> {
        serde_json::from_str(json).map_err(|_| self.foreign("its answer is not understood"))
    }

    async fn whole(&self, ask: Question<'_>) -> Result<String, Fault> {
        let mut pieces = self.open(ask).await?;
        let mut whole = Vec::new();
        while let Some(piece) = pieces.next().await? {
            whole.extend_from_slice(&piece);
            if whole.len() > ANSWER_BYTES {
                return Err(self.foreign("its answer does not end"));
            }
        }
        String::from_utf8(whole).map_err(|_| self.foreign("its answer is not text"))
    }

    /// Asks, and gives the answer piece by piece, where it is no refusal.
    pub(crate) async fn open(&self, ask: Question<'_>) -> Result<Pieces, Fault> {
        let address = &self.address;
        let stream = match timeout(CONNECT_LIMIT, wire::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(self.unreachable(&error)),
            Err(_) => return Err(self.unreachable(&"it does not answer in time")),
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.unreachable(&error))?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // What goes wrong shows at the request and at the body.
            let _shown_there = connection.await;
        });
        let path = ask.path.to_owned();
        let response = match timeout(ANSWER_LIMIT, sender.send_request(self.request(ask)?)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if error.is_parse() => {
                return Err(self.foreign("it does not speak HTTP"));
            }
            Ok(Err(error)) if error.is_incomplete_message() => {
                return Err(self.broken(&"it ended without an answer; is this the API's port?"));
            }
            Ok(Err(error)) => return Err(self.broken(&error)),
            Err(_) => return Err(self.broken(&"no answer in time; is this the API's port?")),
        };
        let status = response.status();
        let kind = response.headers().get(header::CONTENT_TYPE);
        let is_problem = kind.is_some_and(|kind| kind == "application/problem+json");
        let pieces = Pieces { address: address.clone(), body: response, _driver: driver };
        match (status.is_success(), is_problem) {
            (true, _) => Ok(pieces),
            (false, true) => Err(self.refusal(status, &path, pieces).await),
            (false, false) => Err(self.refused_on_the_way(status)),
        }
    }

    fn request(&self, ask: Question<'_>) -> Result<Request<Full<Bytes>>, Fault> {
        let Address { base_path, .. } = &self.address;
        let uri = match ask.query.encoded() {
            query if query.is_empty() => format!("{base_path}{}", ask.path),
            query => format!("{base_path}{}?{query}", ask.path),
        };
        let mut request = Request::builder()
            .method(ask.method)
            .uri(uri)
            .header(header::HOST, self.address.authority())
            .header(header::USER_AGENT, concat!("rustsocks/", env!("CARGO_PKG_VERSION")));
        if !ask.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(last) = ask.last_event {
            request = request.header("last-event-id", last);
        }
        let body = Full::new(Bytes::from(ask.body));
        request.body(body).map_err(|_| Fault::Usage(format!("--api: {} is no URL", self.address)))
    }

    /// What a problem detail means.
    async fn refusal(&self, status: StatusCode, path: &str, mut pieces: Pieces) -> Fault {
        let mut body = Vec::new();
        while let Ok(Some(piece)) = pieces.next().await
            && body.len() < ANSWER_BYTES
        {
            body.extend_from_slice(&piece);
        }
        let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
        let detail = match problem.detail.is_empty() {
            true => status.to_string(),
            false => problem.detail.to_string(),
        };
        match status {
            StatusCode::UNAUTHORIZED => Fault::Unknown { detail },
            StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => Fault::Forbidden { detail },
            // Nothing at a path that every server has: the base path is another.
            StatusCode::NOT_FOUND if detail.ends_with(&format!("{}{path}", self.base_path())) => {
                self.foreign(&detail)
            }
            StatusCode::NOT_FOUND | StatusCode::CONFLICT => Fault::Negative { detail },
            status if status.is_client_error() => Fault::Question { detail },
            _ => Fault::Unable { detail },
        }
    }

    /// What a refusal means that is not the API's own: a proxy before it may have written it.
    fn refused_on_the_way(&self, status: StatusCode) -> Fault {
        let detail = format!("{status}, says what stands before it");
        match status {
            StatusCode::UNAUTHORIZED => Fault::Unknown { detail },
            StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => Fault::Forbidden { detail },
            status if status.is_server_error() => Fault::Unable { detail },
            _ => self.foreign(&format!("it answers with {status}")),
        }
    }

    fn base_path(&self) -> &str {
        &self.address.base_path
    }

    fn unreachable(&self, problem: &dyn std::fmt::Display) -> Fault {
        let problem = Text::from(problem.to_string().as_str()).to_string();
        Fault::Unreachable { api: self.address.to_string(), problem }
    }

    pub(crate) fn foreign(&self, problem: &str) -> Fault {
        Fault::Foreign { api: self.address.to_string(), problem: problem.to_owned() }
    }

    pub(crate) fn broken(&self, problem: &dyn std::fmt::Display) -> Fault {
        Fault::Broken { api: self.address.to_string(), problem: problem.to_string() }
    }
}

/// An answer, piece by piece.
#[derive(Debug)]
pub(crate) struct Pieces {
    address: Address,
    body: Response<Incoming>,
    /// Owns the connection, which ends with the answer.
    _driver: JoinSet<()>,
}

impl Pieces {
    /// The next piece; none at the end. An answer that is cut is a fault, never an end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let broken = |problem: String| {
            let api = self.address.to_string();
            Fault::Broken { api, problem }
        };
        loop {
            match timeout(PIECE_LIMIT, self.body.body_mut().frame()).await {
                Err(_) => return Err(broken("nothing came for too long".into())),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(broken(error.to_string())),
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    Err(_trailers) => {}
                },
            }
        }
    }
}
