//! Who may do what: who a client is ([`auth`]), and which targets it may reach ([`acl`]).

pub mod acl;
pub mod auth;
mod user;

pub use user::{UserName, UserNameError};
