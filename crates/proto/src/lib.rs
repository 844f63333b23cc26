//! SOCKS bytes to values and back: SOCKS5 (RFC 1928), user names and passwords (RFC 1929),
//! SOCKS4 and 4a, and the header of UDP datagrams. No I/O, no clock, no runtime.
//!
//! The proxy's half is at the root, [`udp`] has the header of datagrams, and [`client`] the other
//! half, for tools and tests.
//!
//! ```
//! use rustsocks_proto::{
//!     Command, DecodeError, Method, Reply, decode_greeting, decode_request, encode_method,
//!     encode_reply,
//! };
//!
//! // A client that waits for nothing: its greeting, its request and its first data at once.
//! let received = b"\x05\x02\x00\x02\x05\x01\x00\x03\x0bexample.com\x01\xbbhello";
//!
//! // Half a message is no error, only a reason to read on ...
//! assert_eq!(decode_greeting(&received[..3]).unwrap_err(), DecodeError::Incomplete);
//! // ... and a whole one leaves what follows to the next decoder.
//! let (greeting, taken) = decode_greeting(received)?;
//! assert!(greeting.offers(Method::UserPass));
//! assert_eq!(encode_method(Method::None), [0x05, 0x00]);
//!
//! let received = &received[taken..];
//! let (request, taken) = decode_request(received)?;
//! assert_eq!(request.command, Command::Connect);
//! assert_eq!(request.target.to_string(), "example.com:443");
//! assert_eq!(&received[taken..], b"hello");
//!
//! let reply = encode_reply(Reply::Succeeded, "192.0.2.7:40000".parse()?);
//! assert_eq!(*reply, [0x05, 0x00, 0x00, 0x01, 192, 0, 2, 7, 0x9c, 0x40]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What holds for every decoder
//! - It takes the bytes received so far and returns a value and how many bytes that took, never
//!   more than were given. Bytes behind the message have no influence.
//! - [`DecodeError::Incomplete`] asks for more input. Every other error is final: more input
//!   gives the same one.
//! - It is total: no input makes it panic. And bounded: no input of [`MAX_MESSAGE`] bytes or more
//!   is called incomplete, so a driver need never hold more.
//! - A name that spells an address becomes that address, so that no rule about addresses is
//!   evaded by a spelling.
//!
//! The properties are tested on random messages here, and on whatever a fuzzer finds in `fuzz/`.
//! Only names allocate.

mod address;
mod auth;
pub mod client;
mod command;
mod encoded;
mod error;
mod greeting;
mod reader;
mod reply;
mod request;
mod socks4;
pub mod udp;

pub use address::{Host, HostName, HostNameError, Target, reached};
pub use auth::userpass::{
    AuthStatus, Credentials, MAX_CREDENTIALS, decode_credentials, encode_auth_status,
};
pub use command::{Command, Protocol};
pub use encoded::Encoded;
pub use error::DecodeError;
pub use greeting::{
    Greeting, MAX_GREETING, Method, Version, decode_greeting, encode_method, version,
};
pub use reply::{Reply, encode_reply};
pub use request::{MAX_REQUEST, Request, RequestError, decode_request};
pub use socks4::{
    MAX_SOCKS4_REQUEST, Socks4Reply, Socks4Request, decode_socks4, encode_socks4_reply,
};

/// The longest message before the relayed data, in bytes: a SOCKS4a request. A driver never
/// needs to hold more.
pub const MAX_MESSAGE: usize = MAX_SOCKS4_REQUEST;

const _: () = {
    assert!(MAX_GREETING <= MAX_MESSAGE);
    assert!(MAX_CREDENTIALS <= MAX_MESSAGE);
    assert!(MAX_REQUEST <= MAX_MESSAGE);
};
