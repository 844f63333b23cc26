//! User name and password (RFC 1929).

use std::fmt;

use crate::error::DecodeError;
use crate::reader::Reader;

/// The longest message in bytes: a user name and a password of 255 bytes each.
pub const MAX_CREDENTIALS: usize = 1 + 1 + 255 + 1 + 255;

/// What a client claims. Its `Debug` form shows no password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// The user name, 0 to 255 bytes.
    pub username: &'a [u8],
    /// The password, 0 to 255 bytes.
    pub password: &'a [u8],
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let username = String::from_utf8_lossy(self.username);
        f.debug_struct("Credentials").field("username", &username).finish_non_exhaustive()
    }
}

/// Decodes the client's user name and password (RFC 1929 §2); returns them and how many bytes
/// they took.
///
/// The RFC asks for 1 to 255 bytes of each. Empty ones are decoded all the same: clients send
/// them when only a name, or nothing, is configured. They then fail like any other wrong
/// credentials, with an answer that the client can show, not with a broken connection.
///
/// # Errors
/// [`DecodeError::Incomplete`] asks for more input; [`DecodeError::AuthVersion`] is final.
pub fn decode_credentials(input: &[u8]) -> Result<(Credentials<'_>, usize), DecodeError> {
    let mut reader = Reader::new(input);
    match reader.byte()? {
        0x01 => {}
        other => return Err(DecodeError::AuthVersion(other)),
    }
    let username = reader.counted()?;
    let password = reader.counted()?;
    Ok((Credentials { username, password }, reader.taken()))
}

/// The verdict on credentials (RFC 1929 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AuthStatus {
    /// They are right.
    Success = 0x00,
    /// They are not; the server closes the connection.
    Failure = 0x01,
}

/// Encodes the verdict on credentials (RFC 1929 §2).
pub fn encode_auth_status(status: AuthStatus) -> [u8; 2] {
    [0x01, status as u8]
}
