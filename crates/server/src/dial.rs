//! Reaching a target: resolve, ask the access rules about each address, connect to the first
//! that answers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rustsocks_access::acl::{Resolved, Verdict};
use rustsocks_proto::{Host, HostName, Reply, Target, reached};
use rustsocks_relay::socket::choose_port_late;
use rustsocks_sessions::CloseReason;
use thiserror::Error;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::pool::Pool;
use crate::resolve::{Found, ResolveError, Resolver, interleave};
use crate::server::Figures;

/// How long one address may keep the next one waiting (RFC 8305 §5 recommends 250 ms).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// What a session's outgoing connections are made with.
#[derive(Debug)]
pub struct Dialer {
    pub(crate) resolver: Resolver,
    pub(crate) pool: Option<Pool>,
    pub(crate) egress: Option<IpAddr>,
    pub(crate) figures: Arc<Figures>,
}

/// An outgoing connection.
#[derive(Debug)]
pub struct Dialled {
    /// The connection.
    pub stream: TcpStream,
    /// Its far end.
    pub peer: SocketAddr,
    /// Its near end.
    pub egress: SocketAddr,
    /// What the access rules say of the address.
    pub verdict: Verdict,
    /// The whole name under which the target's was found, where that is another.
    pub found_as: Option<HostName>,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum DialError {
    /// The name has no address.
    #[error("resolving: {0}")]
    Resolve(#[from] ResolveError),
    /// The access rules forbid every address that the name has.
    #[error("blocked by the access rules")]
    Blocked {
        /// What they say of the first address.
        verdict: Verdict,
        /// Which address of which name that is; none where no name was asked for.
        found: Option<Box<str>>,
    },
    /// The connection was not made.
    #[error("connecting: {0}")]
    Connect(#[source] io::Error),
    /// The proxy itself lacks what it takes: a descriptor, a port.
    #[error("opening a socket: {0}")]
    Local(#[source] io::Error),
    /// It took too long.
    #[error("connecting took too long")]
    TimedOut,
}

impl DialError {
    /// Sorts an error of `connect(2)` into ours and the network's.
    pub(crate) fn from_connect(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(
                libc_errno::EMFILE
                | libc_errno::ENFILE
                | libc_errno::ENOBUFS
                | libc_errno::ENOMEM
                | libc_errno::EADDRNOTAVAIL
                | libc_errno::EADDRINUSE,
            ) => Self::Local(error),
            // A machine without that family has no way there.
            Some(libc_errno::EAFNOSUPPORT) => {
                Self::Connect(io::ErrorKind::NetworkUnreachable.into())
            }
            _ if error.kind() == io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Connect(error),
        }
    }

    /// Which of several failures to tell: one that came from the destination itself says most, one
    /// of our own least.
    fn telling(&self) -> u8 {
        match self.reply() {
            Reply::ConnectionRefused => 4,
            Reply::TtlExpired => 3,
            Reply::HostUnreachable => 2,
            Reply::NetworkUnreachable => 1,
            _ => 0,
        }
    }

    /// The reply that this failure earns the client (RFC 1928 §6).
    pub fn reply(&self) -> Reply {
        match self {
            Self::Resolve(_) => Reply::HostUnreachable,
            Self::Blocked { .. } => Reply::NotAllowed,
            Self::TimedOut => Reply::TtlExpired,
            Self::Local(_) => Reply::GeneralFailure,
            Self::Connect(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
                    Reply::ConnectionRefused
                }
                io::ErrorKind::NetworkUnreachable => Reply::NetworkUnreachable,
                io::ErrorKind::HostUnreachable => Reply::HostUnreachable,
                _ => Reply::GeneralFailure,
            },
        }
    }

    /// Why the session ends.
    pub fn reason(&self) -> CloseReason {
        match self {
            Self::Resolve(_) => CloseReason::DnsFailed,
            Self::Blocked { .. } => CloseReason::RejectedByAcl,
            Self::TimedOut => CloseReason::ConnectTimeout,
            Self::Local(_) => CloseReason::RelayError,
            Self::Connect(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
                    CloseReason::ConnectRefused
                }
                _ => CloseReason::ConnectUnreachable,
            },
        }
    }

    /// What a person reads beside the reason.
    pub(crate) fn detail(&self) -> Option<Box<str>> {
        match self {
            Self::TimedOut => None,
            Self::Blocked { found, .. } => found.clone(),
            Self::Resolve(error) => Some(error.to_string().into()),
            Self::Connect(error) | Self::Local(error) => Some(error.to_string().into()),
        }
    }
}

/// The error numbers that mean a lack of our own.
mod libc_errno {
    use rustix::io::Errno;

    pub(super) const EAFNOSUPPORT: i32 = Errno::AFNOSUPPORT.raw_os_error();
    pub(super) const EMFILE: i32 = Errno::MFILE.raw_os_error();
    pub(super) const ENFILE: i32 = Errno::NFILE.raw_os_error();
    pub(super) const ENOBUFS: i32 = Errno::NOBUFS.raw_os_error();
    pub(super) const ENOMEM: i32 = Errno::NOMEM.raw_os_error();
    pub(super) const EADDRNOTAVAIL: i32 = Errno::ADDRNOTAVAIL.raw_os_error();
    pub(super) const EADDRINUSE: i32 = Errno::ADDRINUSE.raw_os_error();
}

impl Dialer {
    /// Connects to a target. `judge` is asked about each address before it is tried; `found_any` is set
    /// once there are addresses.
    ///
    /// # Errors
    /// [`DialError`]; of several addresses that failed, the most telling one. The caller bounds the
    /// time. Cancel safe: a connection under way is dropped.
    pub async fn dial(
        &self,
        target: &Target,
        judge: &(impl Fn(Resolved<'_>) -> Verdict + Sync),
        found_any: &AtomicBool,
    ) -> Result<Dialled, DialError> {
        match &target.host {
            Host::Ip(ip) => {
                found_any.store(true, Relaxed);
                let ip = reached(*ip);
                let verdict = judge(ip.into());
                if !verdict.is_allow() {
                    return Err(DialError::Blocked { verdict, found: None });
                }
                self.reach(SocketAddr::new(ip, target.port), verdict).await
            }
            // Boxed: the many states of resolving and racing stay out of every session's task.
            Host::Name(name) => {
                let racing = async {
                    let began = Instant::now();
                    let found = self.resolver.resolve(name).await;
                    self.figures.lookups.observe(began.elapsed());
                    let Found { addresses, found_as } = found?;
                    found_any.store(true, Relaxed);
                    let judge = |address| judge(Resolved { address, found_as: found_as.as_ref() });
                    let dialled = self.race(name, &addresses, target.port, &judge).await?;
                    Ok(Dialled { found_as, ..dialled })
                };
                Box::pin(racing).await
            }
        }
    }

    async fn reach(&self, peer: SocketAddr, verdict: Verdict) -> Result<Dialled, DialError> {
        let spare = self.pool.as_ref().and_then(|pool| pool.take(peer));
        let stream = match spare {
            Some(stream) => stream,
            None => {
                let began = Instant::now();
                let opened = connect(peer, self.egress).await.map_err(DialError::from_connect)?;
                self.figures.connects.observe(began.elapsed());
                opened
            }
        };
        dialled(stream, peer, verdict)
    }

    /// Tries the allowed addresses, both families in turn, each a little after the one before,
    /// and takes the first connection (RFC 8305).
    async fn race(
        &self,
        name: &HostName,
        found: &[IpAddr],
        port: u16,
        judge: &(impl Fn(IpAddr) -> Verdict + Sync),
    ) -> Result<Dialled, DialError> {
        let mut blocked = None;
        let mut allowed = Vec::new();
        for ip in interleave(found) {
            let verdict = judge(ip);
            match verdict.is_allow() {
                true => allowed.push((SocketAddr::new(ip, port), verdict)),
                false => blocked = blocked.or(Some((ip, verdict))),
            }
        }
        let mut waiting = allowed.into_iter();
        let (first, others) = (waiting.next(), waiting.len());
        let (peer, verdict) = match (first, blocked) {
            (Some(first), _) => first,
            (None, Some((ip, verdict))) => {
                let found = Some(format!("{name} is {ip}").into());
                return Err(DialError::Blocked { verdict, found });
            }
            (None, None) => return Err(ResolveError::NoAddress.into()),
        };
        if others == 0 {
            return self.reach(peer, verdict).await;
        }
        if let Some(stream) = self.pool.as_ref().and_then(|pool| pool.take(peer)) {
            return dialled(stream, peer, verdict);
        }
        let egress = self.egress;
        let began = Instant::now();
        // Dropping the set aborts the attempts that lost.
        let mut attempts = JoinSet::new();
        let start = |attempts: &mut JoinSet<_>, peer: SocketAddr, verdict: Verdict| {
            attempts.spawn(async move { (connect(peer, egress).await, peer, verdict) });
        };
        start(&mut attempts, peer, verdict);
        let mut most_telling = None;
        loop {
            let next = tokio::time::timeout(ATTEMPT_DELAY, attempts.join_next());
            match next.await {
                Ok(Some(Ok((Ok(stream), peer, verdict)))) => {
                    self.figures.connects.observe(began.elapsed());
                    return dialled(stream, peer, verdict);
                }
                Ok(Some(Ok((Err(error), ..)))) => {
                    let error = DialError::from_connect(error);
                    let tells_more = |told: &DialError| error.telling() >= told.telling();
                    if most_telling.as_ref().is_none_or(tells_more) {
                        most_telling = Some(error);
                    }
                }
                // An attempt that panicked, or none under way: on to the next address.
                Ok(Some(Err(_)) | None) | Err(_) => {}
            }
            match (waiting.next(), attempts.is_empty()) {
                (Some((peer, verdict)), _) => start(&mut attempts, peer, verdict),
                (None, true) => {
                    let nobody = || DialError::Connect(io::ErrorKind::HostUnreachable.into());
                    return Err(most_telling.unwrap_or_else(nobody));
                }
                (None, false) => {}
            }
        }
    }
}

fn dialled(stream: TcpStream, peer: SocketAddr, verdict: Verdict) -> Result<Dialled, DialError> {
    let egress = stream.local_addr().map_err(DialError::Local)?;
    Ok(Dialled { stream, peer, egress, verdict, found_as: None })
}

/// Opens one TCP connection.
pub(crate) async fn connect(peer: SocketAddr, egress: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = match peer {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_nodelay(true)?;
    if let Some(egress) = egress.filter(|egress| egress.is_ipv4() == peer.is_ipv4()) {
        // Without this the port is chosen at bind, when the far end is not known yet, and
        // 28 000 connections a minute use all of them up.
        choose_port_late(socket.as_fd())?;
        socket.bind(SocketAddr::new(egress, 0))?;
    }
    socket.connect(peer).await
}

/// The address that stands for "any" in a family.
pub(crate) fn any_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}
