//! A short encoded message on the stack.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;

/// The longest message: four bytes, an IPv6 address, a port.
const CAPACITY: usize = 22;

/// An encoded message of at most 22 bytes. Dereferences to its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    bytes: [u8; CAPACITY],
    length: usize,
}

impl Encoded {
    /// Three bytes, then address type, address and port (RFC 1928 §5).
    ///
    /// An IPv4-mapped address comes from a socket that serves both families; the other side
    /// deals in IPv4 and is told so.
    pub(crate) fn with_address(head: [u8; 3], address: SocketAddr) -> Self {
        let mut encoded = Self { bytes: [0; CAPACITY], length: 0 };
        encoded.push(&head);
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => {
                encoded.push(&[0x01]);
                encoded.push(&ip.octets());
            }
            IpAddr::V6(ip) => {
                encoded.push(&[0x04]);
                encoded.push(&ip.octets());
            }
        }
        encoded.push(&address.port().to_be_bytes());
        encoded
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        self.bytes[self.length..end].copy_from_slice(bytes);
        self.length = end;
    }
}

impl Deref for Encoded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
