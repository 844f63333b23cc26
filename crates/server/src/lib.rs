//! The data plane: listener, handshake, dialling, and the three commands.
//!
//! [`Server::run`] accepts clients until it is told to stop, gives them time to finish, cuts the
//! rest, and returns when no session is left. It knows neither storage nor API, so that a slow
//! database or dashboard cannot reach the byte path: sessions go into the
//! [`Table`](rustsocks_sessions::Table), occurrences worth an operator's eye to a function that
//! takes [`Notice`]s.

mod associate;
mod auth_failures;
mod bind;
mod connect;
pub mod dial;
mod handshake;
mod inbox;
mod listener;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod notice;
pub mod pool;
pub mod resolve;
mod revoke;
mod serve;
pub mod server;

pub use notice::Notice;
pub use server::{Authentication, Figures, Server, Settings, Shutdown};
