//! The name under which a client is known once it has been let in.
//!
//! Not proof of anything: whoever holds a [`UserName`] got it from the configuration or from a
//! successful check, and passes it on.

use std::fmt;
use std::sync::Arc;

/// A user's name: 1 to 255 bytes of UTF-8 without control characters. Cheap to clone.
///
/// The bound is that of RFC 1929 §2, whose length field is one byte. Names are compared byte by
/// byte: `alice` and `Alice` are two people.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(Arc<str>);

/// Why a text is no user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserNameError {
    /// The text is empty.
    #[error("a user name cannot be empty")]
    Empty,
    /// The text does not fit into the one length byte of RFC 1929 §2.
    #[error("a user name has at most 255 bytes")]
    TooLong,
    /// A control character, which would garble every log and table the name appears in.
    #[error("a user name holds no control characters")]
    Control,
}

impl UserName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`UserNameError`] says what is wrong with it.
    pub fn new(name: &str) -> Result<Self, UserNameError> {
        if name.is_empty() {
            return Err(UserNameError::Empty);
        }
        if name.len() > 255 {
            return Err(UserNameError::TooLong);
        }
        if name.chars().any(char::is_control) {
            return Err(UserNameError::Control);
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{UserName, UserNameError};

    #[test]
    fn names_that_rfc_1929_cannot_carry_are_refused() {
        assert_eq!(UserName::new(""), Err(UserNameError::Empty));
        assert_eq!(UserName::new(&"a".repeat(256)), Err(UserNameError::TooLong));
        assert_eq!(UserName::new("al\nice"), Err(UserNameError::Control));
        assert!(UserName::new(&"a".repeat(255)).is_ok());
    }
}
