//! The messages of authentication methods, a module each.

pub(crate) mod userpass;
