//! Occurrences that an operator may want to know of, as facts; wording and keeping are others'.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustsocks_proto::Target;
use rustsocks_sessions::CloseReason;

/// Something happened that is no session's business alone.
#[derive(Debug)]
pub enum Notice {
    /// The system refused to accept a connection; the listener pauses.
    AcceptFailed(io::Error),
    /// A client was turned away.
    TurnedAway(TurnedAway),
    /// A session's outgoing connection failed.
    UpstreamFailed {
        /// What was asked for.
        target: Target,
        /// Why it failed.
        reason: CloseReason,
    },
    /// A source is no longer heard because of too many failed authentications.
    AuthStorm {
        /// The source.
        source: IpAddr,
    },
    /// A destination wants more spare connections than it may have.
    PoolDrop {
        /// The destination.
        destination: SocketAddr,
        /// `max_idle_per_dest`.
        limit: usize,
    },
    /// A spare connection was closed to make room for another.
    PoolEviction {
        /// The destination that lost it.
        destination: SocketAddr,
        /// `max_total_idle`.
        limit: usize,
    },
    /// Running sessions were ended because the access rules changed.
    AclRevoked {
        /// How many.
        sessions: usize,
    },
}

/// Why a client was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// `max_connections` is reached.
    MaxConnections,
    /// So many records wait for the store that no session may begin.
    LedgerFull,
}
