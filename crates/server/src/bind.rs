//! BIND: open a port, tell it, wait for the peer, tell who came, relay (RFC 1928 §4, §6).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustsocks_access::acl::{Question, Verdict};
use rustsocks_proto::{Host, Protocol, Reply, Target};
use rustsocks_relay::tcp::Ends;
use rustsocks_sessions::{CloseReason, Ending, OpenSession, Wire};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};

use crate::connect::{bound, stopped};
use crate::dial::{DialError, any_of};
use crate::handshake::UNSPECIFIED;
use crate::serve::{Client, Ready, outcome, part, stoppable};
use crate::server::Server;

/// How the wait for the peer ended.
enum Arrival {
    Peer(TcpStream, SocketAddr, Verdict),
    Blocked(Verdict),
    Late,
    ClientGone,
    Failed(io::Error),
}

/// Serves an accepted BIND request as far as relaying.
pub(crate) async fn serve(
    server: &Server,
    session: OpenSession,
    client: Client,
    user: &str,
) -> Option<Ready> {
    let Client { mut stream, answer, target, early } = client;
    let generation = server.acl.generation();
    let listener = match listen(server, &stream, &target).await {
        Ok(listener) => listener,
        Err(error) => {
            let error = DialError::from_connect(error);
            let _gone = answer.send(&mut stream, error.reply(), UNSPECIFIED).await;
            session.finish(error.reason(), error.detail());
            part(stream).await;
            return None;
        }
    };
    let first = match listener.local_addr() {
        Ok(local) => answer.send(&mut stream, Reply::Succeeded, bound(local)).await,
        Err(error) => Err(error),
    };
    if let Err(error) = first {
        session.finish(CloseReason::ClientError, Some(error.to_string().into()));
        return None;
    }
    let arrival = {
        let wait = wait_for_peer(server, &listener, &stream, &target, user);
        stoppable(&session, wait).await
    };
    drop(listener);
    let (peer_stream, peer, verdict) = match arrival {
        Ok(Arrival::Peer(peer_stream, peer, verdict)) => (peer_stream, peer, verdict),
        refused => {
            let (reply, ending) = refusal(&session, refused);
            if let Some(reply) = reply {
                let _gone = answer.send(&mut stream, reply, UNSPECIFIED).await;
            }
            session.end(ending);
            part(stream).await;
            return None;
        }
    };
    session.judged(outcome(&verdict));
    let egress = peer_stream.local_addr().unwrap_or(UNSPECIFIED);
    let wire = Wire {
        dest: bound(peer),
        host: None,
        found_as: None,
        egress: bound(egress),
        connect: None,
    };
    crate::revoke::wire(server, &session, wire, generation);
    if let Err(error) = answer.send(&mut stream, Reply::Succeeded, bound(peer)).await {
        session.finish(CloseReason::ClientError, Some(error.to_string().into()));
        return None;
    }
    session.relaying();
    Some(Ready { session, ends: Ends { client: stream, target: peer_stream }, early })
}

/// What a wait without a peer means: the second reply, and how the session ends.
fn refusal(session: &OpenSession, arrival: Result<Arrival, Ending>) -> (Option<Reply>, Ending) {
    match arrival {
        Err(ending) => (Some(stopped(&ending)), ending),
        Ok(Arrival::Blocked(verdict)) => {
            session.judged(outcome(&verdict));
            (Some(Reply::NotAllowed), CloseReason::RejectedByAcl.into())
        }
        Ok(Arrival::Late) => (Some(Reply::TtlExpired), CloseReason::ConnectTimeout.into()),
        Ok(Arrival::ClientGone) => (None, CloseReason::ClientClosed.into()),
        Ok(Arrival::Failed(error)) => {
            let ending = Ending::detailed(CloseReason::RelayError, error.to_string());
            (Some(Reply::GeneralFailure), ending)
        }
        // The caller has taken this one out.
        Ok(Arrival::Peer(..)) => (None, CloseReason::RelayError.into()),
    }
}

/// A listening socket that the peer can reach: on the address that faces it.
async fn listen(server: &Server, client: &TcpStream, target: &Target) -> io::Result<TcpListener> {
    let same_family = |egress: &IpAddr| match &target.host {
        Host::Ip(ip) if !target.host.is_any() => egress.is_ipv4() == ip.is_ipv4(),
        _ => true,
    };
    let facing = match (server.settings.egress.filter(same_family), &target.host) {
        (Some(egress), _) => egress,
        (None, Host::Ip(ip)) if !target.host.is_any() => {
            let probe = tokio::net::UdpSocket::bind((any_of(*ip), 0)).await?;
            probe.connect((*ip, target.port.max(1))).await?;
            probe.local_addr()?.ip()
        }
        _ => client.local_addr()?.ip(),
    };
    let listener = TcpListener::bind((facing, 0)).await?;
    socket2::SockRef::from(&listener).set_tcp_nodelay(true)?;
    Ok(listener)
}

/// Waits for the peer that the client announced, for as long as the client stays and the limit
/// allows.
async fn wait_for_peer(
    server: &Server,
    listener: &TcpListener,
    client: &TcpStream,
    target: &Target,
    user: &str,
) -> Arrival {
    let limit = server.settings.bind_timeout.unwrap_or(Duration::MAX);
    tokio::select! {
        arrival = accept_announced(server, listener, target, user) => arrival,
        () = gone(client) => Arrival::ClientGone,
        () = tokio::time::sleep(limit) => Arrival::Late,
    }
}

/// Accepts the first connection from the announced address; others are strangers and closed.
async fn accept_announced(
    server: &Server,
    listener: &TcpListener,
    target: &Target,
    user: &str,
) -> Arrival {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => return Arrival::Failed(error),
        };
        let ip = peer.ip().to_canonical();
        let announced = match &target.host {
            Host::Ip(expected) => target.host.is_any() || expected.to_canonical() == ip,
            Host::Name(_) => true,
        };
        if !announced {
            continue;
        }
        let host = Host::Ip(ip);
        let question = Question { user, host: &host, port: peer.port(), protocol: Protocol::Tcp };
        let verdict = server.acl.permits(&question, Some(ip.into()));
        return match verdict.is_allow() {
            true => Arrival::Peer(stream, peer, verdict),
            false => Arrival::Blocked(verdict),
        };
    }
}

/// How often to look whether a client that has sent something has left. Its bytes wait for the
/// relay, so the runtime says that it can be read and no more.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Resolves when the client ends its connection.
async fn gone(client: &TcpStream) {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    loop {
        if client.readable().await.is_err() {
            return;
        }
        let peeked =
            client.try_io(Interest::READABLE, || socket2::SockRef::from(client).peek(&mut byte));
        match peeked {
            Ok(0) => return,
            Ok(_) => return left(client).await,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// Resolves soon after the client has ended its connection, whatever it has sent.
async fn left(client: &TcpStream) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let mut end = [PollFd::new(client, PollFlags::RDHUP)];
        if matches!(poll(&mut end, Some(&Timespec::default())), Ok(1..)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_leaves_is_noticed_and_one_that_speaks_early_is_kept_until_then() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connect = || async {
            let theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (ours, _) = listener.accept().await.unwrap();
            (theirs, ours)
        };
        let (theirs, ours) = connect().await;
        drop(theirs);
        gone(&ours).await;

        let (theirs, ours) = connect().await;
        theirs.writable().await.unwrap();
        theirs.try_write(b"early").unwrap();
        ours.readable().await.unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(20), gone(&ours)).await;
        assert!(waited.is_err());
        drop(theirs);
        gone(&ours).await;
    }
}
