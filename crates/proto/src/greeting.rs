//! The first message: which version, which methods (RFC 1928 §3).

use crate::error::DecodeError;
use crate::reader::Reader;

/// The longest greeting in bytes: one with 255 methods.
pub const MAX_GREETING: usize = 2 + 255;

/// The protocol that a client's first byte announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// SOCKS4 or 4a.
    V4,
    /// SOCKS5.
    V5,
}

/// The version that a first byte announces (RFC 1928 §3; SOCKS4 requests begin with a 4).
///
/// # Errors
/// [`DecodeError::Version`] for anything but 4 and 5.
pub fn version(first: u8) -> Result<Version, DecodeError> {
    match first {
        0x04 => Ok(Version::V4),
        0x05 => Ok(Version::V5),
        other => Err(DecodeError::Version(other)),
    }
}

/// An authentication method (RFC 1928 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Method {
    /// No authentication.
    None = 0x00,
    /// User name and password (RFC 1929).
    UserPass = 0x02,
    /// The server's "none of these".
    Unacceptable = 0xFF,
}

/// The client's method selection message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting<'a> {
    methods: &'a [u8],
}

impl Greeting<'_> {
    /// Whether the client offers this method (RFC 1928 §3).
    pub fn offers(&self, method: Method) -> bool {
        self.methods.contains(&(method as u8))
    }
}

/// Decodes the client's method selection message (RFC 1928 §3).
///
/// Returns the greeting and how many bytes it took; later bytes belong to the next message.
///
/// # Errors
/// [`DecodeError::Incomplete`] asks for more input; every other error is final.
pub fn decode_greeting(input: &[u8]) -> Result<(Greeting<'_>, usize), DecodeError> {
    let mut reader = Reader::new(input);
    match reader.byte()? {
        0x05 => {}
        other => return Err(DecodeError::Version(other)),
    }
    let methods = reader.counted()?;
    if methods.is_empty() {
        return Err(DecodeError::NoMethods);
    }
    Ok((Greeting { methods }, reader.taken()))
}

/// Encodes the server's choice of a method (RFC 1928 §3).
pub fn encode_method(method: Method) -> [u8; 2] {
    [0x05, method as u8]
}
