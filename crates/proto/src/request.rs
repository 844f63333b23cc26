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

/// The longest request in bytes: one for a name of 255 bytes.
pub const MAX_REQUEST: usize = 4 + 1 + 255 + 2;

/// A request that cannot be served, with as much of it as was understood.
///
/// [`DecodeError::Incomplete`] in `error` asks for more input; every other error is final.
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

impl RequestError {
    /// An unknown command, in front of what was read as its target.
    ///
    /// It is reported only once the target is there, so that the refusal can be recorded with
    /// it; and before anything that is wrong with the target, because nothing would be done with
    /// a better one.
    pub(crate) fn unknown_command(command: u8, target: Result<Target, DecodeError>) -> Self {
        match target {
            Err(DecodeError::Incomplete) => DecodeError::Incomplete.into(),
            target => Self { error: DecodeError::Command(command), target: target.ok() },
        }
    }
}

/// Decodes a request (RFC 1928 §4); returns it and how many bytes it took.
///
/// An address that is written as a name (`127.0.0.1`, `::1`, `[::1]`, each also with a final
/// dot) is returned as an address, so that no rule about addresses can be evaded by its
/// spelling. Other names are kept as they were written. The reserved byte is not looked at: the
/// RFC tells senders to set it to zero, and some do not.
///
/// # Errors
/// A [`RequestError`], with the target where it could be read although the command is unknown.
pub fn decode_request(input: &[u8]) -> Result<(Request, usize), RequestError> {
    let mut reader = Reader::new(input);
    match reader.byte()? {
        0x05 => {}
        other => return Err(DecodeError::Version(other).into()),
    }
    let command = reader.byte()?;
    let _reserved = reader.byte()?;
    let target = reader.target();
    let command = match command {
        0x01 => Command::Connect,
        0x02 => Command::Bind,
        0x03 => Command::UdpAssociate,
        other => return Err(RequestError::unknown_command(other, target)),
    };
    Ok((Request { command, target: target? }, reader.taken()))
}
