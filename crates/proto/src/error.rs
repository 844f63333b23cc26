//! Why bytes are no message.

use thiserror::Error;

use crate::reply::Reply;

/// Why bytes are no message. Only [`DecodeError::Incomplete`] can be cured by more of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The message is longer than what was given.
    #[error("the message is incomplete")]
    Incomplete,
    /// The first byte announces neither SOCKS4 nor SOCKS5, or another version than the
    /// greeting did.
    #[error("unknown version {0:#04x}")]
    Version(u8),
    /// The version of the password sub-negotiation is not 1 (RFC 1929 §2).
    #[error("unknown version {0:#04x} of the user name and password message")]
    AuthVersion(u8),
    /// A greeting that offers no method at all (RFC 1928 §3 asks for 1 to 255).
    #[error("no authentication method offered")]
    NoMethods,
    /// An unknown command (RFC 1928 §4).
    #[error("unknown command {0:#04x}")]
    Command(u8),
    /// An unknown address type (RFC 1928 §5).
    #[error("unknown address type {0:#04x}")]
    AddressType(u8),
    /// A name without bytes.
    #[error("an empty name")]
    EmptyName,
    /// A name with bytes outside printable ASCII.
    #[error("a name with bytes outside printable ASCII")]
    BadName,
    /// A field of SOCKS4 that runs on without its end.
    #[error("a field of more than 255 bytes")]
    TooLong,
    /// An unknown reply code, met by a client.
    #[error("unknown reply code {0:#04x}")]
    Reply(u8),
    /// An unknown method, met by a client.
    #[error("unknown method {0:#04x}")]
    Method(u8),
}

impl DecodeError {
    /// The SOCKS5 reply that a request with this error earns (RFC 1928 §6); none where more
    /// input is needed or the sender does not speak SOCKS5.
    pub fn reply(self) -> Option<Reply> {
        match self {
            Self::Incomplete | Self::Version(_) | Self::AuthVersion(_) | Self::NoMethods => None,
            Self::Reply(_) | Self::Method(_) => None,
            Self::Command(_) => Some(Reply::CommandNotSupported),
            Self::AddressType(_) => Some(Reply::AddressTypeNotSupported),
            Self::EmptyName | Self::BadName | Self::TooLong => Some(Reply::GeneralFailure),
        }
    }
}
