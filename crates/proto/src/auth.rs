//! The messages of authentication methods, a module each.

pub mod userpass;
