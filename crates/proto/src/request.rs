//! What the client wants (RFC 1928 §4).

use thiserror::Error;

use crate::address::Target;
use crate::command::Command;
use crate::error::DecodeError;
use crate::reader::Reader;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub command: Command,
    /// With whom.
    pub target: Target,
}

/// A request that cannot be served, with as much of it as was understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{error}")]
pub struct RequestError {
    /// What is wrong.
    pub error: DecodeError,
    /// The target, where it could be read although the command is unknown.
    pub target: Option<Target>,
}

impl From<DecodeError> for RequestError {
    fn from(error: DecodeError) -> Self {
        Self { error, target: None }
    }
}

/// Decodes a request (RFC 1928 §4).
///
/// An address that is written as a name is returned as an address. The reserved byte is not
/// looked at: the RFC tells senders to set it to zero, and some do not.
///
/// # Errors
/// [`DecodeError::Incomplete`] asks for more input; every other error is final. An unknown
/// command is reported only once its target is complete.
pub fn decode_request(input: &[u8]) -> Result<(Request, usize), RequestError> {
    let mut reader = Reader::new(input);
    match reader.byte()? {
        0x05 => {}
        other => return Err(DecodeError::Version(other).into()),
    }
    let command = reader.byte()?;
    let _reserved = reader.byte()?;
    let target = reader.target()?;
    let command = match command {
        0x01 => Command::Connect,
        0x02 => Command::Bind,
        0x03 => Command::UdpAssociate,
        other => {
            let error = DecodeError::Command(other);
            return Err(RequestError { error, target: Some(target) });
        }
    };
    Ok((Request { command, target }, reader.taken()))
}
