//! SOCKS4 and 4a: the whole handshake is one message either way.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::address::{Host, Target};
use crate::command::Command;
use crate::error::DecodeError;
use crate::reader::{Reader, host_from_name};

/// A SOCKS4 or 4a request.
///
/// The user id that it carries is read over: anybody can claim any, so it is never an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socks4Request {
    /// CONNECT or BIND.
    pub command: Command,
    /// With whom; a name in 4a.
    pub target: Target,
}

/// Decodes a SOCKS4 or 4a request.
///
/// The address 0.0.0.x with x ≠ 0 says that a name follows the user id (4a). Both are bounded
/// at 255 bytes.
///
/// # Errors
/// [`DecodeError::Incomplete`] asks for more input; every other error is final.
pub fn decode_socks4(input: &[u8]) -> Result<(Socks4Request, usize), DecodeError> {
    let mut reader = Reader::new(input);
    match reader.byte()? {
        0x04 => {}
        other => return Err(DecodeError::Version(other)),
    }
    let command = match reader.byte()? {
        0x01 => Command::Connect,
        0x02 => Command::Bind,
        other => return Err(DecodeError::Command(other)),
    };
    let port = reader.port()?;
    let address = reader.array::<4>()?;
    let _user_id = reader.terminated()?;
    let host = match address {
        [0, 0, 0, last] if last != 0 => host_from_name(reader.terminated()?)?,
        octets => Host::Ip(Ipv4Addr::from(octets).into()),
    };
    Ok((Socks4Request { command, target: Target { host, port } }, reader.taken()))
}

/// The answer to a SOCKS4 request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Socks4Reply {
    /// Granted.
    Granted = 0x5A,
    /// Rejected or failed.
    Rejected = 0x5B,
}

/// Encodes the answer to a SOCKS4 request. An IPv6 address cannot be told and becomes 0.0.0.0.
pub fn encode_socks4_reply(reply: Socks4Reply, bound: SocketAddr) -> [u8; 8] {
    let [high, low] = bound.port().to_be_bytes();
    let [a, b, c, d] = match bound.ip().to_canonical() {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(_) => [0; 4],
    };
    [0x00, reply as u8, high, low, a, b, c, d]
}
