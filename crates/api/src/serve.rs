//! Serving over TCP: bounded connections, bounded patience.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::guard::Hosts;
use crate::problem::Problem;
use crate::source::Peer;
use crate::stall::Unstalled;
use crate::stream::Hub;
use crate::{Api, guard, headers, routes};

/// Connections at once; further ones wait in the listener's queue. Readers of the live stream may
/// hold three quarters of them.
const MOST_CONNECTIONS: usize = 2048;

/// What a connection may hold of a request's head, and of an answer that its client does not read.
const CONNECTION_BUFFER: usize = 16 << 10;

/// What the system takes of an answer beyond what is on its way; it would take megabytes for each
/// client that does not read.
const UNSENT_BYTES: u32 = 64 << 10;

/// The largest body.
const BODY_BYTES: usize = 1 << 20;

/// How long a client may take to send its request's head, and to send the next piece of a body.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a client may take no byte of an answer that waits for it.
const STALL_LIMIT: Duration = Duration::from_secs(300);

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// How long connections may take to finish after the stop.
const GRACE: Duration = Duration::from_secs(2);

impl Api {
    /// Serves until `stop` is cancelled, then lets answers under way finish for two seconds.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let (ledger, table) = (self.ledger.clone(), self.table.clone());
        let app = self.router(stop.clone());
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let connections = TaskTracker::new();
        let accepting = async {
            loop {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        // An older kernel takes more, that is all.
                        let _unbounded = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES);
                        let (app, stop) = (app.clone(), stop.clone());
                        connections.spawn(async move {
                            serve_connection(stream, Peer(peer.ip()), app, stop).await;
                            drop(place);
                        });
                    }
                    // Out of descriptors, most likely: do not spin.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        };
        let following = async {
            match &ledger {
                Some(ledger) => ledger.store.follow(&table).await,
                None => std::future::pending().await,
            }
        };
        stop.run_until_cancelled(async { tokio::join!(accepting, following) }).await;
        connections.close();
        let _late = tokio::time::timeout(GRACE, connections.wait()).await;
    }

    /// The routes with everything that surrounds them.
    pub(crate) fn router(self, stop: CancellationToken) -> Router {
        let hub = Hub::new(self.table.clone(), stop);
        let hosts = match self.operators {
            Some(_) => Hosts::Any,
            None => Hosts::Loopback,
        };
        routes::router(self)
            .layer(Extension(hub))
            .layer(middleware::from_fn_with_state(hosts, guard::guard))
            .layer(middleware::from_fn(limit_time))
            .layer(middleware::from_fn(limit_body))
            .layer(DefaultBodyLimit::max(BODY_BYTES))
            .layer(RequestBodyTimeoutLayer::new(PATIENCE))
            .layer(middleware::from_fn(one_form_of_errors))
            .layer(CatchPanicLayer::custom(|_| panicked()))
            .layer(middleware::from_fn(headers::protect))
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: Peer,
    app: Router,
    stop: CancellationToken,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(CONNECTION_BUFFER);
    let app = TowerToHyperService::new(app);
    let with_peer = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        app.call(request)
    });
    let connection =
        http.serve_connection(TokioIo::new(Unstalled::new(stream, STALL_LIMIT)), with_peer);
    let mut connection = std::pin::pin!(connection);
    // An error is the client's: it sent no HTTP, was too slow, or went away.
    tokio::select! {
        _done = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _done = connection.await;
}

async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(ANSWER_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the answer took too long")
            .into_response(),
    }
}

/// Says "too large" as a problem detail, also where the length is announced and never sent.
async fn limit_body(request: Request, next: Next) -> Response {
    let announced = request
        .headers()
        .get(axum::http::header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let too_large =
        || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body: larger than 1 MB").into_response();
    if announced.is_some_and(|length| length > BODY_BYTES as u64) {
        return too_large();
    }
    let response = next.run(request).await;
    match response.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => response,
    }
}

/// Gives errors that some layer wrote in its own way the one form that all errors have.
async fn one_form_of_errors(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let status = response.status();
    let kind = response.headers().get(axum::http::header::CONTENT_TYPE);
    let is_problem = kind.is_some_and(|kind| kind == "application/problem+json");
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    Problem::new(status, format!("{path} cannot be answered")).into_response()
}

fn panicked() -> Response {
    tracing::error!("an API handler panicked; please report it");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the server made a mistake").into_response()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::body::{Body, Bytes};
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::task::JoinSet;
    use tokio::time::{Instant, sleep};

    use super::*;

    /// A connection that was asked for an answer without an end.
    async fn asked(served: &mut JoinSet<()>) -> DuplexStream {
        let endless = || async {
            let pieces = futures_util::stream::repeat_with(|| {
                Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b'x'; 1000]))
            });
            Body::from_stream(pieces)
        };
        let app = Router::new().route("/", get(endless));
        let (mut client, server) = tokio::io::duplex(4096);
        let peer = Peer(Ipv4Addr::LOCALHOST.into());
        served.spawn(serve_connection(server, peer, app, CancellationToken::new()));
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        client
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_reads_its_answer_is_cut() {
        let (began, mut served) = (Instant::now(), JoinSet::new());
        let _client = asked(&mut served).await;
        served.join_next().await.unwrap().unwrap();
        let took = began.elapsed();
        assert!((STALL_LIMIT..STALL_LIMIT * 2).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_is_not() {
        let mut served = JoinSet::new();
        let mut client = asked(&mut served).await;
        for _ in 0..100 {
            sleep(STALL_LIMIT - Duration::from_secs(1)).await;
            assert!(client.read(&mut [0; 100]).await.unwrap() > 0);
        }
        assert!(served.try_join_next().is_none(), "it is still served");
        drop(client);
        served.join_next().await.unwrap().unwrap();
    }
}
