//! From the first byte to the request: version, method, credentials.
//!
//! Only an [`Admitted`] client can ask for anything; that type cannot be had otherwise.

use std::net::SocketAddr;

use rustsocks_access::auth::AuthOutcome;
use rustsocks_proto::{
    AuthStatus, Command, DecodeError, Method, Reply, Request, RequestError, Socks4Reply, Target,
    Version, decode_credentials, decode_greeting, decode_request, decode_socks4,
    encode_auth_status, encode_method, encode_reply, encode_socks4_reply, version,
};
use rustsocks_sessions::Identity;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::inbox::{Inbox, InboxError};
use crate::server::{Authentication, Server};

/// The version that a client speaks, and so how it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Socks4,
    Socks5,
}

/// A client that may ask.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) identity: Identity,
    dialect: Dialect,
    inbox: Inbox,
}

/// Why a client was not admitted.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It went away, or never spoke SOCKS, or offers no method that is allowed here.
    Nobody,
    /// Its bytes are no SOCKS.
    NotSocks,
    /// Its credentials are wrong; the name is what it claims, shown lossily.
    Denied { claimed: String },
    /// It is not heard, after too many failures.
    Throttled { claimed: String },
}

/// What an admitted client asks for, and how to answer it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) identity: Identity,
    pub(crate) command: Command,
    pub(crate) target: Target,
    pub(crate) answer: Answer,
    /// What the client sent behind the request.
    pub(crate) early: Vec<u8>,
}

/// A request that cannot be served.
#[derive(Debug)]
pub(crate) struct Unservable {
    pub(crate) identity: Identity,
    pub(crate) target: Option<Target>,
    pub(crate) error: DecodeError,
    pub(crate) answer: Answer,
}

/// What became of waiting for a request.
#[derive(Debug)]
pub(crate) enum Requested {
    Asked(Asked),
    Unservable(Unservable),
    Gone,
}

/// Writes replies in the client's dialect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    dialect: Dialect,
}

impl Answer {
    /// Sends a reply; `bound` is our side of it.
    pub(crate) async fn send(
        self,
        stream: &mut TcpStream,
        reply: Reply,
        bound: SocketAddr,
    ) -> std::io::Result<()> {
        match self.dialect {
            Dialect::Socks5 => stream.write_all(&encode_reply(reply, bound)).await,
            Dialect::Socks4 => {
                let reply = match reply {
                    Reply::Succeeded => Socks4Reply::Granted,
                    _ => Socks4Reply::Rejected,
                };
                stream.write_all(&encode_socks4_reply(reply, bound)).await
            }
        }
    }
}

/// Negotiates version and method, and checks credentials.
pub(crate) async fn admit(
    server: &Server,
    stream: &mut TcpStream,
    source: SocketAddr,
) -> Result<Admitted, Refused> {
    let mut inbox = Inbox::new();
    let first = |bytes: &[u8]| match bytes.first() {
        None => Err(DecodeError::Incomplete),
        Some(&byte) => version(byte).map(|version| (version, 0)),
    };
    match (inbox.message(stream, first).await?, &server.settings.authentication) {
        (Version::V5, Authentication::None) => {
            choose(&mut inbox, stream, Method::None).await?;
            let identity = anonymous(server);
            Ok(Admitted { identity, dialect: Dialect::Socks5, inbox })
        }
        (Version::V5, Authentication::UserPass(authenticator)) => {
            choose(&mut inbox, stream, Method::UserPass).await?;
            let credentials = inbox
                .message(stream, |bytes| {
                    let (credentials, taken) = decode_credentials(bytes)?;
                    // Owned, because the check may wait and the inbox is read on.
                    let owned = (credentials.username.to_vec(), credentials.password.to_vec());
                    Ok::<_, DecodeError>((owned, taken))
                })
                .await?;
            let (username, password) = credentials;
            let outcome = authenticator.check(&username, &password, source.ip()).await;
            let claimed = || String::from_utf8_lossy(&username).into_owned();
            let (status, identity) = match outcome {
                AuthOutcome::Granted(user) => {
                    (AuthStatus::Success, Ok(Identity::Authenticated(user.as_str().into())))
                }
                AuthOutcome::Denied => {
                    (AuthStatus::Failure, Err(Refused::Denied { claimed: claimed() }))
                }
                AuthOutcome::Throttled => {
                    (AuthStatus::Failure, Err(Refused::Throttled { claimed: claimed() }))
                }
            };
            let sent = stream.write_all(&encode_auth_status(status)).await;
            let identity = identity?;
            sent.map_err(|_| Refused::Nobody)?;
            Ok(Admitted { identity, dialect: Dialect::Socks5, inbox })
        }
        // A SOCKS4 user id proves nothing, so SOCKS4 is spoken only where nothing is to prove.
        (Version::V4, Authentication::None) => {
            let identity = anonymous(server);
            Ok(Admitted { identity, dialect: Dialect::Socks4, inbox })
        }
        (Version::V4, Authentication::UserPass(_)) => {
            let rejected = encode_socks4_reply(Socks4Reply::Rejected, UNSPECIFIED);
            let _gone = stream.write_all(&rejected).await;
            Err(Refused::Nobody)
        }
    }
}

/// The address in replies that have none to tell (RFC 1928 §6 leaves it open).
pub(crate) const UNSPECIFIED: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

fn anonymous(server: &Server) -> Identity {
    Identity::Anonymous(server.anonymous())
}

/// Reads the greeting and answers it with `method`, or with "none of these".
async fn choose(inbox: &mut Inbox, stream: &mut TcpStream, method: Method) -> Result<(), Refused> {
    let offered = inbox
        .message(stream, |bytes| {
            decode_greeting(bytes).map(|(greeting, taken)| (greeting.offers(method), taken))
        })
        .await?;
    let choice = if offered { method } else { Method::Unacceptable };
    stream.write_all(&encode_method(choice)).await.map_err(|_| Refused::Nobody)?;
    if offered { Ok(()) } else { Err(Refused::Nobody) }
}

impl From<InboxError<DecodeError>> for Refused {
    fn from(error: InboxError<DecodeError>) -> Self {
        match error {
            InboxError::Gone => Self::Nobody,
            InboxError::Malformed(_) => Self::NotSocks,
        }
    }
}

impl Admitted {
    /// Waits for the client's request.
    pub(crate) async fn request(&mut self, stream: &mut TcpStream) -> Requested {
        let answer = Answer { dialect: self.dialect };
        let decoded = match self.dialect {
            Dialect::Socks5 => self.inbox.message(stream, decode_request).await,
            Dialect::Socks4 => {
                let decode = |bytes: &[u8]| {
                    let (request, taken) = decode_socks4(bytes)?;
                    let request = Request { command: request.command, target: request.target };
                    Ok::<_, RequestError>((request, taken))
                };
                self.inbox.message(stream, decode).await
            }
        };
        let identity = self.identity.clone();
        match decoded {
            Ok(Request { command, target }) => {
                let early = std::mem::replace(&mut self.inbox, Inbox::spent()).into_rest();
                Requested::Asked(Asked { identity, command, target, answer, early })
            }
            Err(InboxError::Gone) => Requested::Gone,
            Err(InboxError::Malformed(RequestError { error, target })) => {
                Requested::Unservable(Unservable { identity, target, error, answer })
            }
        }
    }
}
