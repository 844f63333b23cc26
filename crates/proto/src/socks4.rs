//! SOCKS4 and 4a: the whole handshake is one message either way.
//!
//! No RFC describes them. The form is that of the memos "SOCKS: A protocol for TCP proxy across
//! firewalls" and "SOCKS 4A: A Simple Extension to SOCKS 4 Protocol".

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::address::{Host, Target};
use crate::command::Command;
use crate::error::DecodeError;
use crate::reader::{Reader, host_from_name};
use crate::request::RequestError;

/// The longest request in bytes: a user id and a name of 255 bytes each, and their ends.
pub const MAX_SOCKS4_REQUEST: usize = 8 + 255 + 1 + 255 + 1;

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

/// Decodes a SOCKS4 or 4a request; returns it and how many bytes it took.
///
/// The address 0.0.0.x with x ≠ 0 says that a name follows the user id (4a). Both are bounded
/// at 255 bytes. Names are treated as in SOCKS5: one that spells an address is returned as that
/// address.
///
/// # Errors
/// A [`RequestError`], with the target where it could be read although the command is unknown.
/// A field of more than 255 bytes is final, never a reason to ask for more.
pub fn decode_socks4(input: &[u8]) -> Result<(Socks4Request, usize), RequestError> {
    let mut reader = Reader::new(input);
    match reader.byte()? {
        0x04 => {}
        other => return Err(DecodeError::Version(other).into()),
    }
    let command = reader.byte()?;
    let target = target(&mut reader);
    let command = match command {
        0x01 => Command::Connect,
        0x02 => Command::Bind,
        other => return Err(RequestError::unknown_command(other, target)),
    };
    Ok((Socks4Request { command, target: target? }, reader.taken()))
}

fn target(reader: &mut Reader<'_>) -> Result<Target, DecodeError> {
    let port = reader.port()?;
    let address = reader.array::<4>()?;
    let _user_id = reader.terminated()?;
    let host = match address {
        [0, 0, 0, last] if last != 0 => host_from_name(reader.terminated()?)?,
        octets => Host::Ip(Ipv4Addr::from(octets).into()),
    };
    Ok(Target { host, port })
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

/// Encodes the answer to a SOCKS4 request. An IPv6 address cannot be told and becomes 0.0.0.0,
/// which clients read as "the proxy's own address".
pub fn encode_socks4_reply(reply: Socks4Reply, bound: SocketAddr) -> [u8; 8] {
    let [high, low] = bound.port().to_be_bytes();
    let [a, b, c, d] = match bound.ip().to_canonical() {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(_) => [0; 4],
    };
    [0x00, reply as u8, high, low, a, b, c, d]
}
