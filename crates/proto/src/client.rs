//! The client's half of the protocol, for tools and tests that speak to a proxy.

use std::net::IpAddr;

use thiserror::Error;

use crate::address::{Host, Target};
use crate::auth::userpass::{AuthStatus, Credentials};
use crate::command::Command;
use crate::error::DecodeError;
use crate::greeting::Method;
use crate::reader::Reader;
use crate::reply::Reply;
use crate::socks4::Socks4Reply;

/// Appends a method selection message (RFC 1928 §3); methods beyond 255 are left out.
pub fn encode_greeting(methods: &[Method], out: &mut Vec<u8>) {
    let count = u8::try_from(methods.len()).unwrap_or(u8::MAX);
    out.extend([0x05, count]);
    out.extend(methods.iter().take(usize::from(count)).map(|&method| method as u8));
}

/// Decodes the server's choice of a method (RFC 1928 §3).
///
/// # Errors
/// [`DecodeError::Incomplete`] asks for more input; every other error is final.
pub fn decode_method(input: &[u8]) -> Result<(Method, usize), DecodeError> {
    match *input {
        [] | [0x05] => Err(DecodeError::Incomplete),
        [0x05, code, ..] => {
            let known = [Method::None, Method::UserPass, Method::Unacceptable];
            let method = known.into_iter().find(|&method| method as u8 == code);
            method.map(|method| (method, 2)).ok_or(DecodeError::Method(code))
        }
        [version, ..] => Err(DecodeError::Version(version)),
    }
}

/// Appends a user name and a password (RFC 1929 §2), each cut at 255 bytes.
pub fn encode_credentials(credentials: Credentials<'_>, out: &mut Vec<u8>) {
    out.push(0x01);
    for field in [credentials.username, credentials.password] {
        counted(field, out);
    }
}

/// Decodes the verdict on credentials (RFC 1929 §2): any status but 0 is a failure.
///
/// # Errors
/// [`DecodeError::Incomplete`] asks for more input; every other error is final.
pub fn decode_auth_status(input: &[u8]) -> Result<(AuthStatus, usize), DecodeError> {
    match *input {
        [] | [0x01] => Err(DecodeError::Incomplete),
        [0x01, 0x00, ..] => Ok((AuthStatus::Success, 2)),
        [0x01, _, ..] => Ok((AuthStatus::Failure, 2)),
        [version, ..] => Err(DecodeError::AuthVersion(version)),
    }
}

/// Appends a request (RFC 1928 §4).
pub fn encode_request(command: Command, target: &Target, out: &mut Vec<u8>) {
    let code = match command {
        Command::Connect => 0x01,
        Command::Bind => 0x02,
        Command::UdpAssociate => 0x03,
    };
    out.extend([0x05, code, 0x00]);
    encode_target(target, out);
}

/// Decodes a reply (RFC 1928 §6): the code, the bound address, and how many bytes it took.
///
/// # Errors
/// [`DecodeError::Incomplete`] asks for more input; every other error is final.
pub fn decode_reply(input: &[u8]) -> Result<(Reply, Target, usize), DecodeError> {
    let mut reader = Reader::new(input);
    match reader.byte()? {
        0x05 => {}
        other => return Err(DecodeError::Version(other)),
    }
    let code = reader.byte()?;
    let _reserved = reader.byte()?;
    let bound = reader.target()?;
    let reply = Reply::ALL.into_iter().find(|&reply| reply as u8 == code);
    let reply = reply.ok_or(DecodeError::Reply(code))?;
    Ok((reply, bound, reader.taken()))
}

/// Why SOCKS4 cannot say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Socks4Error {
    /// SOCKS4 knows CONNECT and BIND alone.
    #[error("SOCKS4 has no such command")]
    Command,
    /// An IPv6 address, or one of 0.0.0.0/24, which would be read as the sign of a name.
    #[error("SOCKS4 cannot express this address")]
    Address,
    /// A user id with a zero byte inside, which would end it, or of more than 255 bytes.
    #[error("SOCKS4 cannot express this user id")]
    UserId,
}

/// Appends a SOCKS4 request, or a 4a request where the target is a name.
///
/// # Errors
/// [`Socks4Error`] says what SOCKS4 has no form for; nothing is appended then.
pub fn encode_socks4_request(
    command: Command,
    target: &Target,
    user_id: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Socks4Error> {
    let code = match command {
        Command::Connect => 0x01,
        Command::Bind => 0x02,
        Command::UdpAssociate => return Err(Socks4Error::Command),
    };
    let octets = match &target.host {
        Host::Ip(IpAddr::V4(ip)) => match ip.octets() {
            [0, 0, 0, last] if last != 0 => return Err(Socks4Error::Address),
            octets => octets,
        },
        Host::Ip(IpAddr::V6(_)) => return Err(Socks4Error::Address),
        Host::Name(_) => [0, 0, 0, 1],
    };
    if user_id.len() > 255 || user_id.contains(&0) {
        return Err(Socks4Error::UserId);
    }
    out.extend([0x04, code]);
    out.extend(target.port.to_be_bytes());
    out.extend(octets);
    out.extend(user_id);
    out.push(0);
    if let Host::Name(name) = &target.host {
        out.extend(name.as_str().as_bytes());
        out.push(0);
    }
    Ok(())
}

/// Decodes the answer to a SOCKS4 request: any code but 0x5A is a rejection.
///
/// # Errors
/// [`DecodeError::Incomplete`] asks for more input; every other error is final.
pub fn decode_socks4_reply(input: &[u8]) -> Result<(Socks4Reply, usize), DecodeError> {
    let mut reader = Reader::new(input);
    let bytes = reader.array::<8>()?;
    match bytes {
        [0x00, 0x5A, ..] => Ok((Socks4Reply::Granted, 8)),
        [0x00, ..] => Ok((Socks4Reply::Rejected, 8)),
        [version, ..] => Err(DecodeError::Version(version)),
    }
}

/// Appends a datagram for `target` with its header (RFC 1928 §7).
pub fn encode_udp(target: &Target, payload: &[u8], out: &mut Vec<u8>) {
    out.extend([0x00, 0x00, 0x00]);
    encode_target(target, out);
    out.extend(payload);
}

/// Appends address type, address and port (RFC 1928 §5).
fn encode_target(target: &Target, out: &mut Vec<u8>) {
    match &target.host {
        Host::Ip(IpAddr::V4(ip)) => {
            out.push(0x01);
            out.extend(ip.octets());
        }
        Host::Ip(IpAddr::V6(ip)) => {
            out.push(0x04);
            out.extend(ip.octets());
        }
        Host::Name(name) => {
            out.push(0x03);
            counted(name.as_str().as_bytes(), out);
        }
    }
    out.extend(target.port.to_be_bytes());
}

/// Appends a field with its length in front, cut at 255 bytes.
fn counted(field: &[u8], out: &mut Vec<u8>) {
    let length = u8::try_from(field.len()).unwrap_or(u8::MAX);
    out.push(length);
    out.extend(field.iter().take(usize::from(length)));
}
