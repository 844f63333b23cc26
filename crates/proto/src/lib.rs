//! SOCKS bytes to values and back: SOCKS5 (RFC 1928), user names and passwords (RFC 1929),
//! SOCKS4 and 4a, and the header of UDP datagrams. No I/O, no clock.
//!
//! Every `decode_*` function takes the bytes received so far and returns the value and how many
//! bytes it took. [`DecodeError::Incomplete`] asks for more input; every other error is final.
//! All functions are total: no input makes them panic.
//!
//! ```
//! use rustsocks_proto::{DecodeError, Method, decode_greeting, encode_method};
//!
//! assert_eq!(decode_greeting(&[5, 2, 0]).unwrap_err(), DecodeError::Incomplete);
//! let (greeting, taken) = decode_greeting(&[5, 2, 0, 2, 5, 1]).unwrap();
//! assert!(greeting.offers(Method::UserPass));
//! assert_eq!(taken, 4);
//! assert_eq!(encode_method(Method::UserPass), [5, 2]);
//! ```

pub mod address;
pub mod auth;
pub mod client;
pub mod command;
pub mod encoded;
pub mod error;
pub mod greeting;
mod reader;
pub mod reply;
pub mod request;
pub mod socks4;
pub mod udp;

pub use address::{Host, HostName, Target};
pub use auth::userpass::{AuthStatus, Credentials, decode_credentials, encode_auth_status};
pub use command::{Command, Protocol};
pub use encoded::Encoded;
pub use error::DecodeError;
pub use greeting::{Greeting, Method, Version, decode_greeting, encode_method, version};
pub use reply::{Reply, encode_reply};
pub use request::{Request, RequestError, decode_request};
pub use socks4::{Socks4Reply, Socks4Request, decode_socks4, encode_socks4_reply};

/// The most bytes that any message before the relayed data can have: a SOCKS4a request with a
/// user id and a name of 255 bytes each. A driver never needs to hold more.
pub const MAX_MESSAGE: usize = 8 + 256 + 256;
