//! UDP ASSOCIATE: a relay address for the client, rules for every datagram (RFC 1928 §4, §7).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustsocks_access::acl::{Judgement, Question, Resolved, Verdict};
use rustsocks_proto::{Host, HostName, Protocol, Reply, Target};
use rustsocks_relay::udp::{
    Association, ClientAddress, Gate, Place, Refusal, Resolving, bind, has_route, relay,
};
use rustsocks_sessions::{AclOutcome, CloseReason, OpenSession};
use tokio::net::UdpSocket;

use crate::connect::bound;
use crate::handshake::UNSPECIFIED;
use crate::resolve::interleave;
use crate::serve::{Client, outcome, part};
use crate::server::Server;

/// Serves a UDP ASSOCIATE request to its end.
pub(crate) async fn serve(server: &Server, session: OpenSession, client: Client, user: &str) {
    let Client { mut stream, answer, target, .. } = client;
    let opened = open(&stream);
    let (socket, local) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            let _gone = answer.send(&mut stream, Reply::GeneralFailure, UNSPECIFIED).await;
            session.finish(CloseReason::RelayError, Some(error.to_string().into()));
            return part(stream).await;
        }
    };
    if let Err(error) = answer.send(&mut stream, Reply::Succeeded, bound(local)).await {
        return session.finish(CloseReason::ClientError, Some(error.to_string().into()));
    }
    let source = session.opening().source;
    let gate = Rules {
        session: &session,
        server,
        user,
        allowed: AtomicBool::new(false),
        blocked: OnceLock::new(),
    };
    session.relaying();
    let association = Association {
        control: stream,
        relay: socket,
        client: ClientAddress { ip: source.ip(), port: announced_port(&target, source.ip()) },
        egress: server.settings.egress,
        drops: &server.figures.datagrams,
    };
    let ending = relay(&session, association, &gate).await;
    if let (false, Some(verdict)) = (gate.allowed.into_inner(), gate.blocked.into_inner()) {
        session.judged(verdict);
    }
    session.end(ending);
}

/// The client's port, if its request tells it (RFC 1928 §7: zeros where it does not know).
fn announced_port(target: &Target, client: IpAddr) -> Option<u16> {
    let own = match &target.host {
        Host::Ip(ip) => target.host.is_any() || ip.to_canonical() == client.to_canonical(),
        Host::Name(_) => false,
    };
    (own && target.port != 0).then_some(target.port)
}

/// A socket on the address by which the client has reached us, so that it reaches this as well.
fn open(control: &tokio::net::TcpStream) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = bind(SocketAddr::new(control.local_addr()?.ip(), 0))?;
    let local = socket.local_addr()?;
    Ok((socket, local))
}

/// The access rules for one association's datagrams.
struct Rules<'a> {
    session: &'a OpenSession,
    server: &'a Server,
    user: &'a str,
    allowed: AtomicBool,
    blocked: OnceLock<AclOutcome>,
}

impl Rules<'_> {
    /// The first allowed destination is the one that the record's verdict is about.
    fn note(&self, verdict: &Verdict) -> Result<(), Refusal> {
        if verdict.is_allow() {
            if !self.allowed.swap(true, Relaxed) {
                self.session.judged(outcome(verdict));
            }
            return Ok(());
        }
        self.blocked.get_or_init(|| outcome(verdict));
        Err(Refusal::Blocked)
    }
}

impl Gate for Rules<'_> {
    fn judge(&self, place: &Place) -> Result<(), Refusal> {
        let Place { to, name, found_as } = place;
        let host = name.clone().map_or(Host::Ip(to.ip()), Host::Name);
        let target = Target { host, port: to.port() };
        let resolved = Resolved { address: to.ip(), found_as: found_as.as_ref() };
        let question = question(self.user, &target);
        self.note(&self.server.acl.judge_resolved(&question, resolved))
    }

    fn resolve(&self, name: HostName, port: u16) -> Resolving<'_> {
        Box::pin(async move {
            let Server { acl, dialer, settings, .. } = self.server;
            let target = Target { host: Host::Name(name.clone()), port };
            let question = question(self.user, &target);
            if let Judgement::Block(verdict) = acl.judge(&question) {
                self.note(&verdict)?;
            }
            let found = dialer.resolver.resolve(&name).await.map_err(|_| Refusal::Unresolved)?;
            let found_as = found.found_as.as_ref();
            let judged = interleave(&found.addresses).into_iter().map(|address| {
                let verdict = acl.judge_resolved(&question, Resolved { address, found_as });
                (SocketAddr::new(address, port), verdict)
            });
            let (allowed, blocked): (Vec<_>, Vec<_>) =
                judged.partition(|(_, verdict)| verdict.is_allow());
            let reachable = allowed.iter().find(|(to, _)| has_route(*to, settings.egress));
            let chosen = reachable.or(allowed.first()).or(blocked.first());
            let (to, verdict) = chosen.ok_or(Refusal::Unresolved)?;
            self.note(verdict)?;
            let to = *to;
            Ok(Place { to, name: Some(name), found_as: found.found_as })
        })
    }

    fn generation(&self) -> u64 {
        self.server.acl.generation()
    }
}

fn question<'a>(user: &'a str, target: &'a Target) -> Question<'a> {
    Question { user, host: &target.host, port: target.port, protocol: Protocol::Udp }
}
