//! SOCKS bytes to values and back (RFC 1928, RFC 1929, SOCKS4 and 4a), without I/O.

pub mod address;
pub mod command;

pub use address::{Host, HostName, Target};
pub use command::{Command, Protocol};
