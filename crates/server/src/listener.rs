//! Accepting clients: as many as fit, politely refusing a few more, never spinning on an error.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rustsocks_relay::tcp::reset_on_close;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::connect::bound;
use crate::notice::{Notice, TurnedAway};
use crate::serve::{self, Room};
use crate::server::Server;

/// Clients beyond `max_connections` whose request is read at once, to refuse it by name.
const POLITE_REFUSALS: usize = 256;

/// The pauses after failed accept calls: doubled from the first to the last.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Sets what accepted connections inherit.
pub(crate) fn prepare(listener: &TcpListener) -> io::Result<()> {
    // Inherited by each accepted connection, which saves a system call apiece.
    socket2::SockRef::from(listener).set_tcp_nodelay(true)
}

/// Accepts clients until `stop` is cancelled. Their tasks are tracked by the server.
pub(crate) async fn accept_loop(
    server: &Arc<Server>,
    listener: &TcpListener,
    stop: &CancellationToken,
) {
    let places = Arc::new(Semaphore::new(server.settings.max_connections));
    let refusals = Arc::new(Semaphore::new(POLITE_REFUSALS));
    let mut pause = PAUSE_MIN;
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, source)) => {
                pause = PAUSE_MIN;
                server.figures.accepted.fetch_add(1, Relaxed);
                // A listener on `::` sees IPv4 clients in IPv6 clothing; everybody who asks for
                // such a client means the address that it has.
                admit(server, stream, bound(source), &places, &refusals);
            }
            Err(error) if concerns_one_client(&error) => {}
            Err(error) => {
                server.figures.accept_errors.fetch_add(1, Relaxed);
                (server.notices)(Notice::AcceptFailed(error));
                // Out of descriptors, most likely: spinning would only burn the core that the
                // clients need to finish.
                let _stopped = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Errors of a connection that died in the queue, not of the listener (accept(2)).
fn concerns_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

fn admit(
    server: &Arc<Server>,
    stream: TcpStream,
    source: SocketAddr,
    places: &Arc<Semaphore>,
    refusals: &Arc<Semaphore>,
) {
    if server.table.is_full() {
        return turn_away(server, &stream, TurnedAway::LedgerFull);
    }
    let take = |semaphore: &Arc<Semaphore>| -> Option<OwnedSemaphorePermit> {
        Arc::clone(semaphore).try_acquire_owned().ok()
    };
    let place = take(places).map(|permit| (Room::Free, permit));
    let Some((room, permit)) = place.or_else(|| take(refusals).map(|permit| (Room::Full, permit)))
    else {
        return turn_away(server, &stream, TurnedAway::MaxConnections);
    };
    let server_of_client = Arc::clone(server);
    server.clients.spawn(async move {
        let server = &*server_of_client;
        // Boxed, so that the task keeps only what relaying needs once the client is served.
        let ready = Box::pin(serve::prepare(server, stream, source, room)).await;
        if let Some(ready) = ready {
            ready.relay(server).await;
        }
        drop(permit);
    });
}

fn turn_away(server: &Server, stream: &TcpStream, why: TurnedAway) {
    server.figures.turned_away.fetch_add(1, Relaxed);
    reset_on_close(stream);
    (server.notices)(Notice::TurnedAway(why));
}
