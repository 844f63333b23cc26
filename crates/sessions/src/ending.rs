//! Why a session is over, in the published vocabulary.

use std::fmt;

/// What became of a session. Stored by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// It is running.
    Active,
    /// It was relayed and is over.
    Closed,
    /// It never relayed, or a crash ended it.
    Failed,
    /// The access rules refused it.
    RejectedByAcl,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Active, Self::Closed, Self::Failed, Self::RejectedByAcl];

    /// The published name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Closed => "closed",
            Self::Failed => "failed",
            Self::RejectedByAcl => "rejected_by_acl",
        }
    }

    /// The status with this published name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Declares the vocabulary once: variant, published name, meaning.
macro_rules! close_reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// Why a session ended. Stored by name: reasons may be added, never renamed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum CloseReason {
            $($(#[$doc])* $variant,)+
        }

        impl CloseReason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The published name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

close_reasons! {
    /// The client finished first, in an orderly way.
    ClientClosed = "client_closed",
    /// The destination finished first, in an orderly way.
    DestinationClosed = "destination_closed",
    /// The client reset the connection.
    ClientReset = "client_reset",
    /// The destination reset the connection.
    DestinationReset = "destination_reset",
    /// The client's connection failed in another way.
    ClientError = "client_error",
    /// The destination's connection failed in another way.
    DestinationError = "destination_error",
    /// Nothing moved for the idle time.
    IdleTimeout = "idle_timeout",
    /// One direction had ended and nothing moved in the other for the half-closed time.
    HalfClosedTimeout = "half_closed_timeout",
    /// An authenticated client sent no complete request in time.
    HandshakeTimeout = "handshake_timeout",
    /// An operator ended it.
    AdminTerminated = "admin_terminated",
    /// The server was stopped.
    ServerShutdown = "server_shutdown",
    /// The server died while the session was open.
    ServerCrash = "server_crash",
    /// The proxy itself could not go on: no descriptor, no port.
    RelayError = "relay_error",
    /// The access rules changed and no longer allow it.
    AclRevoked = "acl_revoked",
    /// A limit such as `max_connections` was reached.
    LimitExceeded = "limit_exceeded",
    /// The requested name could not be resolved.
    DnsFailed = "dns_failed",
    /// The destination refused the connection.
    ConnectRefused = "connect_refused",
    /// The destination did not answer in time.
    ConnectTimeout = "connect_timeout",
    /// There is no way to the destination.
    ConnectUnreachable = "connect_unreachable",
    /// The credentials were wrong.
    AuthFailed = "auth_failed",
    /// The request asked for something that SOCKS does not know.
    ProtocolError = "protocol_error",
    /// The access rules refused it.
    RejectedByAcl = "rejected_by_acl",
}

impl CloseReason {
    /// The reason with this published name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name() == name)
    }

    /// The status of a session that ended for this reason.
    ///
    /// `relayed` tells whether bytes could flow: whether the client was told of success.
    pub fn status(self, relayed: Relayed) -> Status {
        match (self, relayed) {
            (Self::RejectedByAcl, _) => Status::RejectedByAcl,
            (Self::ServerCrash, _) | (_, Relayed::Never) => Status::Failed,
            (_, Relayed::Yes) => Status::Closed,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether a session came as far as relaying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relayed {
    /// The client was told of success and bytes could flow.
    Yes,
    /// It ended before that.
    Never,
}

/// How a session ended: the reason, and free text for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The reason.
    pub reason: CloseReason,
    /// More about it, such as the operating system's error or the operator's note.
    pub detail: Option<Box<str>>,
}

impl Ending {
    /// An ending without further detail.
    pub fn plain(reason: CloseReason) -> Self {
        Self { reason, detail: None }
    }

    /// An ending with detail.
    pub fn detailed(reason: CloseReason, detail: impl Into<Box<str>>) -> Self {
        Self { reason, detail: Some(detail.into()) }
    }
}

impl From<CloseReason> for Ending {
    fn from(reason: CloseReason) -> Self {
        Self::plain(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_and_status_reads_back_from_its_name() {
        for reason in CloseReason::ALL {
            assert_eq!(CloseReason::from_name(reason.name()), Some(*reason));
        }
        for status in Status::ALL {
            assert_eq!(Status::from_name(status.name()), Some(status));
        }
        assert_eq!(CloseReason::ALL.len(), 22);
    }

    #[test]
    fn a_session_that_never_relayed_has_failed() {
        assert_eq!(CloseReason::AdminTerminated.status(Relayed::Never), Status::Failed);
        assert_eq!(CloseReason::AdminTerminated.status(Relayed::Yes), Status::Closed);
        assert_eq!(CloseReason::RejectedByAcl.status(Relayed::Never), Status::RejectedByAcl);
        assert_eq!(CloseReason::ServerCrash.status(Relayed::Yes), Status::Failed);
    }
}
