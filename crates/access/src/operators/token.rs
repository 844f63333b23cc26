//! Tokens: long random texts by which programs are known. The configuration holds their hashes.
//!
//! A token has 256 random bits, so a plain hash protects it as well as a slow one would: there is
//! nothing to guess.

use std::fmt;
use std::str::FromStr;

use secrecy::SecretString;
use subtle::ConstantTimeEq;

use super::{Role, hex, random};
use crate::user::UserName;

/// Begins every token, so that people and secret scanners know what they see.
const TOKEN_PREFIX: &str = "rst_";

/// Begins every hash.
const HASH_PREFIX: &str = "blake3:";

/// A program that may ask.
#[derive(Clone, Debug)]
pub struct Token {
    /// What the program is called in records and events.
    pub name: UserName,
    /// What its token hashes to.
    pub hash: TokenHash,
    /// What the program may do.
    pub role: Role,
}

/// The BLAKE3 hash of a token, written `blake3:` and 64 hexadecimal digits.
#[derive(Clone)]
pub struct TokenHash([u8; 32]);

/// Why a text is no hash of a token. Never quotes it: it may be the token itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenHashError {
    /// It is a token.
    #[error("this is a token itself and known to whoever reads the file")]
    Token,
    /// It is neither.
    #[error("not a token's hash (blake3: and 64 hexadecimal digits)")]
    Form,
}

impl TokenHash {
    /// The hash of a token.
    pub fn of(token: &str) -> Self {
        Self(*blake3::hash(token.as_bytes()).as_bytes())
    }

    /// Whether two hashes are equal, in constant time.
    pub(super) fn fits(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl FromStr for TokenHash {
    type Err = TokenHashError;

    fn from_str(text: &str) -> Result<Self, TokenHashError> {
        if text.starts_with(TOKEN_PREFIX) {
            return Err(TokenHashError::Token);
        }
        let digits = text.strip_prefix(HASH_PREFIX).ok_or(TokenHashError::Form)?;
        let hash = blake3::Hash::from_hex(digits).map_err(|_| TokenHashError::Form)?;
        Ok(Self(*hash.as_bytes()))
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HASH_PREFIX}{}", hex(self.0))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

/// A new token and its hash.
///
/// # Errors
/// Without randomness from the system.
pub fn new_token() -> Result<(SecretString, TokenHash), getrandom::Error> {
    let token = format!("{TOKEN_PREFIX}{}", hex(random()?));
    let hash = TokenHash::of(&token);
    Ok((token.into(), hash))
}
