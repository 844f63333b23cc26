//! The header in front of each datagram between client and proxy (RFC 1928 §7).

use std::net::SocketAddr;

use crate::address::Target;
use crate::encoded::Encoded;
use crate::error::DecodeError;
use crate::reader::Reader;

/// The longest header in bytes: one for a name of 255 bytes.
pub const MAX_UDP_HEADER: usize = 4 + 1 + 255 + 2;

/// A datagram's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpHeader {
    /// The fragment number; anything but 0 belongs to a fragmented datagram, which a relay
    /// without fragmentation must drop (RFC 1928 §7).
    pub fragment: u8,
    /// Where the payload goes, or where it comes from.
    pub target: Target,
}

/// Decodes a datagram's header (RFC 1928 §7); returns it and where the payload begins.
///
/// Allocates for names alone. As in requests, a name that spells an address is returned as that
/// address, and the reserved bytes are not looked at.
///
/// # Errors
/// Every error is final, [`DecodeError::Incomplete`] too: a datagram has no more bytes to come.
pub fn decode_udp(datagram: &[u8]) -> Result<(UdpHeader, usize), DecodeError> {
    let mut reader = Reader::new(datagram);
    let _reserved = reader.array::<2>()?;
    let fragment = reader.byte()?;
    let target = reader.target()?;
    Ok((UdpHeader { fragment, target }, reader.taken()))
}

/// Encodes the header of a datagram that came from `from` (RFC 1928 §7).
///
/// IPv4-mapped IPv6 addresses are told as IPv4: that is how the client knows its peer.
pub fn encode_udp_header(from: SocketAddr) -> Encoded {
    Encoded::with_address([0x00, 0x00, 0x00], from)
}
