//! Who a client is: nobody in particular, or a user who proved it by a password.
//!
//! Bytes in, verdict out; the handshake itself is spoken by the server.

mod authenticator;
mod credential;
mod table;
#[cfg(test)]
mod tests;
mod throttle;

pub use authenticator::{AuthError, AuthOutcome, Authenticator};
pub use credential::{Credential, CredentialError, HashError, hash_password};
pub use throttle::{ThrottleLimits, network_of};

use crate::user::UserName;

/// How clients are asked who they are: `auth.socks_method`.
#[derive(Clone, Debug)]
pub enum Method {
    /// Not at all: every client is this user (`acl.anonymous_user`).
    None(UserName),
    /// By a name and a password (RFC 1929).
    UserPass(Authenticator),
}

impl Method {
    /// The name as it is configured: `none` or `userpass`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None(_) => "none",
            Self::UserPass(_) => "userpass",
        }
    }
}
