//! A user's name with what proves it: a password or its Argon2id hash.
//!
//! Checked when the configuration is read, so that no broken hash is met at a login.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params, PasswordHasher};
use secrecy::{ExposeSecret, SecretString};

use crate::user::{UserName, UserNameError};

/// RFC 1929 §2 gives the password one length byte.
const PASSWORD_BYTES_MAX: usize = 255;

/// A hash that asks for more memory than this is taken for a mistake: each check would need it.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;

/// Passes over the memory beyond which a single check would take minutes.
const PASSES_MAX: u32 = 64;

/// A user as configured. `Debug` shows the name alone.
pub struct Credential {
    pub(super) user: UserName,
    pub(super) proof: Proof,
}

pub(super) enum Proof {
    Plaintext(SecretString),
    Hash(Arc<PasswordHash>),
}

/// Why a user cannot be configured like this. Never quotes the password or its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The name is none.
    #[error(transparent)]
    Name(#[from] UserNameError),
    /// The password is empty.
    #[error("the password is empty; set one")]
    EmptyPassword,
    /// The password does not fit into the one length byte of RFC 1929 §2.
    #[error("the password is longer than 255 bytes, which no SOCKS client can send; shorten it")]
    LongPassword,
    /// The text is no PHC string.
    #[error("not a PHC string ($argon2id$v=19$m=...); make one with `rustsocks hash-password`")]
    NotPhc,
    /// Another algorithm.
    #[error("not an Argon2id hash; make one with `rustsocks hash-password`")]
    Algorithm,
    /// The salt or the hash itself is missing.
    #[error("the hash is cut off; copy the whole line that `rustsocks hash-password` printed")]
    Truncated,
    /// Parameters that Argon2 does not accept.
    #[error(
        "the hash has parameters that Argon2id does not accept; make a new one with `rustsocks hash-password`"
    )]
    Parameters,
    /// Parameters so high that each login would hurt.
    #[error(
        "the hash asks for over 1 GiB of memory or over 64 passes per login; make a new one with `rustsocks hash-password`"
    )]
    Cost,
}

impl Credential {
    /// A user whose password stands in the configuration as it is.
    ///
    /// # Errors
    /// [`CredentialError`] where no SOCKS client could ever send the name or password.
    pub fn with_password(user: &str, password: SecretString) -> Result<Self, CredentialError> {
        let user = UserName::new(user)?;
        check_password(&password)?;
        Ok(Self { user, proof: Proof::Plaintext(password) })
    }

    /// A user whose password is known by its Argon2id hash, as a PHC string.
    ///
    /// # Errors
    /// [`CredentialError`] says what is wrong with the hash, without quoting it.
    pub fn with_hash(user: &str, phc: &str) -> Result<Self, CredentialError> {
        let user = UserName::new(user)?;
        let hash = PasswordHash::new(phc.trim()).map_err(|_| CredentialError::NotPhc)?;
        if hash.algorithm.as_str() != "argon2id" {
            return Err(CredentialError::Algorithm);
        }
        if hash.salt.is_none() || hash.hash.is_none() {
            return Err(CredentialError::Truncated);
        }
        let params = Params::try_from(&hash).map_err(|_| CredentialError::Parameters)?;
        if params.m_cost() > MEMORY_KIB_MAX || params.t_cost() > PASSES_MAX {
            return Err(CredentialError::Cost);
        }
        Ok(Self { user, proof: Proof::Hash(Arc::new(hash)) })
    }

    /// The user's name.
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// What tells this credential from any other of the same user, under a key: it changes
    /// when the password or its hash does, and tells nothing of either.
    pub(crate) fn stamp(&self, key: &[u8; 32]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(key);
        match &self.proof {
            Proof::Plaintext(password) => {
                hasher.update(b"password:").update(password.expose_secret().as_bytes())
            }
            Proof::Hash(hash) => hasher.update(b"hash:").update(hash.to_string().as_bytes()),
        };
        *hasher.finalize().as_bytes()
    }

    /// Whether the password stands in the configuration as it is.
    pub fn is_plaintext(&self) -> bool {
        matches!(self.proof, Proof::Plaintext(_))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("user", &self.user).finish_non_exhaustive()
    }
}

fn check_password(password: &SecretString) -> Result<(), CredentialError> {
    match password.expose_secret().len() {
        0 => Err(CredentialError::EmptyPassword),
        length if length > PASSWORD_BYTES_MAX => Err(CredentialError::LongPassword),
        _ => Ok(()),
    }
}

/// Why a password could not be hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// No SOCKS client could send it.
    #[error(transparent)]
    Password(#[from] CredentialError),
    /// The system gave no random salt.
    #[error("hashing the password: {0}")]
    Hash(argon2::password_hash::Error),
}

/// Hashes a password with Argon2id and a random salt: 19 MiB, two passes, one lane, as OWASP
/// advises. Takes tens of milliseconds.
///
/// # Errors
/// [`HashError::Password`] for a password that cannot be used, [`HashError::Hash`] if the system
/// has no randomness to give.
pub fn hash_password(password: &SecretString) -> Result<String, HashError> {
    check_password(password)?;
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.expose_secret().as_bytes())
        .map_err(HashError::Hash)?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_that_we_print_is_a_hash_that_we_take() {
        let phc = hash_password(&"correct horse".to_owned().into()).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(Credential::with_hash("alice", &phc).is_ok());
        assert!(Credential::with_hash("alice", &format!("  {phc}\n")).is_ok());
    }

    #[test]
    fn two_hashes_of_one_password_differ_by_their_salt() {
        let password = "correct horse".to_owned().into();
        assert_ne!(hash_password(&password).unwrap(), hash_password(&password).unwrap());
    }

    #[test]
    fn a_broken_hash_is_named_at_configuration_time() {
        let salt = "c2FsdHNhbHRzYWx0";
        let output = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE";
        for (phc, error) in [
            ("correct horse".to_owned(), CredentialError::NotPhc),
            ("$2b$12$abcdefghijklmnopqrstuv".to_owned(), CredentialError::NotPhc),
            (format!("$argon2i$v=19$m=19456,t=2,p=1${salt}${output}"), CredentialError::Algorithm),
            (format!("$argon2id$v=19$m=19456,t=2,p=1${salt}"), CredentialError::Truncated),
            (format!("$argon2id$v=19$m=1,t=2,p=1${salt}${output}"), CredentialError::Parameters),
            (format!("$argon2id$v=19$m=4194304,t=2,p=1${salt}${output}"), CredentialError::Cost),
            (format!("$argon2id$v=19$m=19456,t=999,p=1${salt}${output}"), CredentialError::Cost),
        ] {
            assert_eq!(Credential::with_hash("alice", &phc).unwrap_err(), error, "{phc}");
        }
    }

    #[test]
    fn a_password_that_no_client_could_send_is_refused() {
        let with = |password: &str| Credential::with_password("a", password.to_owned().into());
        assert_eq!(with("").unwrap_err(), CredentialError::EmptyPassword);
        assert_eq!(with(&"x".repeat(256)).unwrap_err(), CredentialError::LongPassword);
        assert!(with(&"x".repeat(255)).is_ok());
    }

    #[test]
    fn debug_output_shows_no_password() {
        let credential = Credential::with_password("alice", "hunter2".to_owned().into()).unwrap();
        let shown = format!("{credential:?}");
        assert!(shown.contains("alice") && !shown.contains("hunter2"), "{shown}");
    }
}
