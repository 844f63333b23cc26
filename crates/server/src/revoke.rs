//! Ending sessions that changed access rules no longer allow.

use rustsocks_access::acl::{Question, Resolved};
use rustsocks_proto::{Command, Host};
use rustsocks_sessions::{CloseReason, OpenSession, Session, Wire};

use crate::notice::Notice;
use crate::server::Server;

/// Judges all running sessions again after each change of the rules. Never ends.
pub(crate) async fn revoke_on_change(server: &Server) {
    let mut changes = server.acl.changes();
    while changes.changed().await.is_ok() {
        let sessions = server
            .table
            .stop_where(CloseReason::AclRevoked, |session| forbidden_by(server, session).map(Some));
        if sessions > 0 {
            (server.notices)(Notice::AclRevoked { sessions });
        }
    }
    std::future::pending().await
}

/// Notes a session's outgoing side, whose address was judged after the rules had changed so often.
///
/// If they changed once more meanwhile, whoever revokes may have judged a session that had no
/// address yet.
pub(crate) fn wire(server: &Server, session: &OpenSession, wire: Wire, generation: u64) {
    session.wired(wire);
    if server.acl.generation() != generation {
        revoke(server, session);
    }
}

/// Ends one session if the rules forbid it.
pub(crate) fn revoke(server: &Server, session: &Session) {
    if let Some(rule) = forbidden_by(server, session) {
        session.stop(CloseReason::AclRevoked, Some(rule));
    }
}

/// The rule that forbids a session, if one does.
///
/// An association is judged by the destination that its record names; all others are judged
/// with each datagram anyway.
fn forbidden_by(server: &Server, session: &Session) -> Option<Box<str>> {
    let opening = session.opening();
    let (target, command) = (opening.target.as_ref()?, opening.command?);
    let wire = session.wire();
    let named;
    let (host, port) = match (command, wire) {
        (Command::Connect, _) => (&target.host, target.port),
        (Command::UdpAssociate | Command::Bind, Some(wire)) => {
            named = match &wire.host {
                Some(name) => Host::Name(name.clone()),
                None => Host::Ip(wire.dest.ip()),
            };
            (&named, wire.dest.port())
        }
        (Command::Bind, None) if target.host.is_any() => return None,
        (Command::Bind, None) => (&target.host, target.port),
        (Command::UdpAssociate, None) => return None,
    };
    let user = opening.identity.name();
    let question = Question { user: &user, host, port, protocol: command.protocol() };
    let resolved =
        wire.map(|wire| Resolved { address: wire.dest.ip(), found_as: wire.found_as.as_ref() });
    let verdict = server.acl.permits(&question, resolved);
    if verdict.is_allow() {
        return None;
    }
    Some(verdict.rule.map_or_else(|| "".into(), |rule| rule.as_str().into()))
}
