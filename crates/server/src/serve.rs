//! One client, from its connection to the end of its session.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use rustsocks_access::acl::{Judgement, Question, Verdict};
use rustsocks_proto::{Command, DecodeError, Reply, Target};
use rustsocks_relay::Unlimited;
use rustsocks_relay::tcp::{Ends, relay};
use rustsocks_sessions::{AclOutcome, CloseReason, Ending, Identity, OpenSession, Opening};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::handshake::{
    self, Admitted, Answer, Asked, Refused, Requested, UNSPECIFIED, Unservable,
};
use crate::notice::{Notice, TurnedAway};
use crate::server::Server;
use crate::{associate, bind, connect};

/// Whether there is a place for the client, or its request is read only to refuse it by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Free,
    Full,
}

/// How long a refused client may take to read its refusal.
const LAST_READING: Duration = Duration::from_secs(1);

/// A client whose request was understood, on its way through a command.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) answer: Answer,
    pub(crate) target: Target,
    pub(crate) early: Vec<u8>,
}

/// A session whose two connections stand and only want relaying.
///
/// It is all that is left of a client's task from then on, so that an idle session costs little.
pub(crate) struct Ready {
    pub(crate) session: OpenSession,
    pub(crate) ends: Ends,
    pub(crate) early: Vec<u8>,
}

impl Ready {
    /// Relays to the session's end.
    pub(crate) async fn relay(self, server: &Server) {
        let Self { session, ends, early } = self;
        let ending = relay(&session, ends, early, &mut Unlimited, &server.pipes).await;
        session.end(ending);
    }
}

/// Takes one client as far as relaying TCP; serves everything else to its end.
pub(crate) async fn prepare(
    server: &Server,
    mut stream: TcpStream,
    source: SocketAddr,
    room: Room,
) -> Option<Ready> {
    let Some(requested) = understand(server, &mut stream, source).await else {
        part(stream).await;
        return None;
    };
    match requested {
        Requested::Asked(asked) => serve_request(server, stream, source, room, asked).await,
        Requested::Unservable(unservable) => {
            refuse_unservable(server, stream, source, unservable).await;
            None
        }
        Requested::Gone => None,
    }
}

/// Handshake and request within the time for both; records what goes wrong on the way.
async fn understand(
    server: &Server,
    stream: &mut TcpStream,
    source: SocketAddr,
) -> Option<Requested> {
    let began = Instant::now();
    let deadline = began + server.settings.handshake_timeout;
    let mut admitted = None;
    let steps = async {
        let admitted = admitted.insert(handshake::admit(server, stream, source).await?);
        Ok(admitted.request(stream).await)
    };
    let steps = timeout_at(deadline, server.cut.run_until_cancelled(steps)).await;
    match steps {
        Ok(Some(Ok(requested))) => {
            if matches!(requested, Requested::Asked(_)) {
                server.figures.handshakes.observe(began.elapsed());
            }
            Some(requested)
        }
        Ok(Some(Err(refused))) => {
            note_refusal(server, source, refused);
            None
        }
        // The server is going down.
        Ok(None) => None,
        Err(_late) => {
            note_late(server, source, admitted.as_ref());
            None
        }
    }
}

fn note_refusal(server: &Server, source: SocketAddr, refused: Refused) {
    match refused {
        Refused::Nobody => {}
        Refused::NotSocks => {
            server.figures.not_socks.fetch_add(1, Relaxed);
        }
        Refused::Denied { claimed } => server.failures.note(source, &claimed),
        Refused::Throttled { claimed } => {
            (server.notices)(Notice::AuthStorm { source: source.ip() });
            server.failures.note(source, &claimed);
        }
    }
}

/// A client that proved its name and then asked for nothing is worth a record; one that proved
/// nothing has asked for nothing and is nobody.
fn note_late(server: &Server, source: SocketAddr, admitted: Option<&Admitted>) {
    if let Some(Admitted { identity: identity @ Identity::Authenticated(_), .. }) = admitted {
        let identity = identity.clone();
        let opening =
            Opening { identity, source, target: None, command: None, acl: AclOutcome::Off };
        server.table.open(opening).finish(CloseReason::HandshakeTimeout, None);
    }
}

async fn refuse_unservable(
    server: &Server,
    mut stream: TcpStream,
    source: SocketAddr,
    unservable: Unservable,
) {
    let Unservable { identity, target, error, answer } = unservable;
    if matches!(error, DecodeError::Version(_)) {
        server.figures.not_socks.fetch_add(1, Relaxed);
        return;
    }
    let opening = Opening { identity, source, target, command: None, acl: AclOutcome::Off };
    let session = server.table.open(opening);
    if let Some(reply) = error.reply() {
        let _gone = answer.send(&mut stream, reply, UNSPECIFIED).await;
    }
    session.finish(CloseReason::ProtocolError, Some(error.to_string().into()));
    part(stream).await;
}

async fn serve_request(
    server: &Server,
    mut stream: TcpStream,
    source: SocketAddr,
    room: Room,
    asked: Asked,
) -> Option<Ready> {
    let Asked { identity, command, target, answer, early } = asked;
    let generation = server.acl.generation();
    let user = identity.name();
    let judged = match command {
        // Who is announced as "any" is judged when it comes.
        Command::Bind if target.host.is_any() => Judged::Go(AclOutcome::Off),
        Command::Connect | Command::Bind => judge_request(server, &user, command, &target),
        // The target of an association is the client itself; its datagrams are judged.
        Command::UdpAssociate => Judged::Go(AclOutcome::Off),
    };
    let acl = match &judged {
        Judged::Go(acl) | Judged::Stop(acl) => acl.clone(),
    };
    let session = server.table.open(Opening {
        identity,
        source,
        target: Some(target.clone()),
        command: Some(command),
        acl,
    });
    let refusal = match (room, judged) {
        (Room::Full, _) => Some((Reply::GeneralFailure, CloseReason::LimitExceeded)),
        (Room::Free, Judged::Stop(_)) => Some((Reply::NotAllowed, CloseReason::RejectedByAcl)),
        (Room::Free, Judged::Go(_)) => None,
    };
    if room == Room::Full {
        (server.notices)(Notice::TurnedAway(TurnedAway::MaxConnections));
    }
    if let Some((reply, reason)) = refusal {
        let _gone = answer.send(&mut stream, reply, UNSPECIFIED).await;
        session.finish(reason, None);
        part(stream).await;
        return None;
    }
    if server.acl.generation() != generation {
        // The rules changed between the verdict and the table; whoever revokes may have missed
        // this session.
        crate::revoke::revoke(server, &session);
    }
    let client = Client { stream, answer, target, early };
    match command {
        Command::Connect => connect::serve(server, session, client, &user).await,
        Command::Bind => Box::pin(bind::serve(server, session, client, &user)).await,
        Command::UdpAssociate => {
            Box::pin(associate::serve(server, session, client, &user)).await;
            None
        }
    }
}

/// What the rules say of a request as it was written.
enum Judged {
    Go(AclOutcome),
    Stop(AclOutcome),
}

fn judge_request(server: &Server, user: &str, command: Command, target: &Target) -> Judged {
    let protocol = command.protocol();
    let question = Question { user, host: &target.host, port: target.port, protocol };
    match server.acl.judge(&question) {
        Judgement::Allow(verdict) => Judged::Go(outcome(&verdict)),
        Judgement::Block(verdict) => Judged::Stop(outcome(&verdict)),
        Judgement::NeedsAddress => Judged::Go(AclOutcome::Off),
    }
}

/// A verdict as the record has it.
pub(crate) fn outcome(verdict: &Verdict) -> AclOutcome {
    match verdict.record() {
        None => AclOutcome::Off,
        Some((_, rule)) if verdict.is_allow() => AclOutcome::Allowed(Some(rule.as_str().into())),
        Some((_, rule)) => AclOutcome::Blocked(Some(rule.as_str().into())),
    }
}

/// Runs `work` until it is done or somebody stops the session.
pub(crate) async fn stoppable<T>(
    session: &OpenSession,
    work: impl Future<Output = T>,
) -> Result<T, Ending> {
    let mut work = pin!(work);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(ending) = session.poll_stopped(cx) {
            return Poll::Ready(Err(ending));
        }
        work.as_mut().poll(cx).map(Ok)
    })
    .await
}

/// Closes a connection so that the last reply arrives.
///
/// Closing with unread input would send a reset, which may overtake the reply. So: end our
/// side, read what comes until the client ends its own, for a second at most.
pub(crate) async fn part(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let drain = async {
        loop {
            let ended = match stream.readable().await {
                Err(_) => true,
                Ok(()) => {
                    rustsocks_relay::buffer::with_buffer(|buffer| match stream.try_read(buffer) {
                        Ok(0) => true,
                        Ok(_) => false,
                        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
                    })
                }
            };
            if ended {
                break;
            }
        }
    };
    let _late = timeout(LAST_READING, drain).await;
}
