//! CONNECT: dial, answer, relay (RFC 1928 §4, §6).

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustsocks_access::acl::{Decision, Question, Resolved, RuleName, Verdict};
use rustsocks_proto::{Protocol, Reply};
use rustsocks_relay::tcp::Ends;
use rustsocks_sessions::{CloseReason, Ending, OpenSession, Wire};
use tokio::time::Instant;

use crate::dial::{DialError, Dialled};
use crate::handshake::UNSPECIFIED;
use crate::notice::Notice;
use crate::resolve::ResolveError;
use crate::serve::{Client, Ready, outcome, part, stoppable};
use crate::server::Server;

/// The rule, in records, that keeps clients of other machines from passing for this one.
const OWN_PORTS: &str = "built in: loopback ports of this server are for this machine alone";

/// Serves an accepted CONNECT request as far as relaying.
pub(crate) async fn serve(
    server: &Server,
    session: OpenSession,
    client: Client,
    user: &str,
) -> Option<Ready> {
    let Client { mut stream, answer, target, early } = client;
    let started = Instant::now();
    let source = session.opening().source;
    let generation = server.acl.generation();
    let judge = |found: Resolved<'_>| {
        if server.settings.keeps_away(source, SocketAddr::new(found.address, target.port)) {
            let rule = Some(RuleName::built_in(OWN_PORTS));
            return Verdict { decision: Decision::Block, rule };
        }
        let question =
            Question { user, host: &target.host, port: target.port, protocol: Protocol::Tcp };
        server.acl.judge_resolved(&question, found)
    };
    let found = AtomicBool::new(false);
    let dialled = {
        let dial = server.dialer.dial(&target, &judge, &found);
        stoppable(&session, tokio::time::timeout(server.settings.connect_timeout, dial)).await
    };
    let dialled = match dialled {
        Ok(Ok(dialled)) => dialled,
        Ok(Err(_late)) if found.load(Relaxed) => Err(DialError::TimedOut),
        Ok(Err(_late)) => Err(ResolveError::TimedOut.into()),
        Err(ending) => {
            let _gone = answer.send(&mut stream, stopped(&ending), UNSPECIFIED).await;
            session.end(ending);
            part(stream).await;
            return None;
        }
    };
    let Dialled { stream: outgoing, peer, egress, verdict, found_as } = match dialled {
        Ok(dialled) => dialled,
        Err(error) => {
            if let DialError::Blocked { verdict, .. } = &error {
                session.judged(outcome(verdict));
            } else {
                let reason = error.reason();
                (server.notices)(Notice::UpstreamFailed { target, reason });
            }
            let _gone = answer.send(&mut stream, error.reply(), UNSPECIFIED).await;
            session.finish(error.reason(), error.detail());
            part(stream).await;
            return None;
        }
    };
    session.judged(outcome(&verdict));
    let connect = Some(started.elapsed());
    let wire = Wire { dest: peer, host: None, found_as, egress, connect };
    crate::revoke::wire(server, &session, wire, generation);
    if let Err(error) = answer.send(&mut stream, Reply::Succeeded, bound(egress)).await {
        session.finish(CloseReason::ClientError, Some(error.to_string().into()));
        return None;
    }
    session.relaying();
    Some(Ready { session, ends: Ends { client: stream, target: outgoing }, early })
}

/// The reply to a client whose session is ended before it is served.
pub(crate) fn stopped(ending: &Ending) -> Reply {
    match ending.reason {
        CloseReason::AclRevoked => Reply::NotAllowed,
        _ => Reply::GeneralFailure,
    }
}

/// An address in the family that it really is, for replies, records and comparisons.
pub(crate) fn bound(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
