//! The answer to a request (RFC 1928 §6).

use std::net::SocketAddr;

use crate::encoded::Encoded;

/// A reply code (RFC 1928 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reply {
    /// Succeeded.
    Succeeded = 0x00,
    /// The server failed in a way that has no code of its own.
    GeneralFailure = 0x01,
    /// Not allowed by the access rules.
    NotAllowed = 0x02,
    /// The network cannot be reached.
    NetworkUnreachable = 0x03,
    /// The host cannot be reached, or its name has no address.
    HostUnreachable = 0x04,
    /// The destination refused the connection.
    ConnectionRefused = 0x05,
    /// The destination did not answer in time.
    TtlExpired = 0x06,
    /// The command is unknown.
    CommandNotSupported = 0x07,
    /// The address type is unknown.
    AddressTypeNotSupported = 0x08,
}

impl Reply {
    /// Every code, in order.
    pub const ALL: [Self; 9] = [
        Self::Succeeded,
        Self::GeneralFailure,
        Self::NotAllowed,
        Self::NetworkUnreachable,
        Self::HostUnreachable,
        Self::ConnectionRefused,
        Self::TtlExpired,
        Self::CommandNotSupported,
        Self::AddressTypeNotSupported,
    ];
}

/// Encodes a reply with the server's bound address (RFC 1928 §6).
///
/// IPv4-mapped IPv6 addresses are told as IPv4.
pub fn encode_reply(reply: Reply, bound: SocketAddr) -> Encoded {
    Encoded::with_address([0x05, reply as u8, 0x00], bound)
}
