//! The loopback addresses that clients come from and that targets listen on. Several, because
//! one pair of addresses has only 28 000 ports, which a fast proxy can use up.

use std::net::Ipv4Addr;

/// How many addresses targets listen on: 127.0.0.1 to 127.0.0.8.
pub(crate) const TARGETS: u8 = 8;

/// The address that the `index`-th target listens on.
pub(crate) fn target(index: usize) -> Ipv4Addr {
    // The remainder is below TARGETS, so the cast loses nothing.
    Ipv4Addr::new(127, 0, 0, 1 + (index % usize::from(TARGETS)) as u8)
}

/// The address that the `index`-th client comes from: 127.0.0.64 to 127.0.0.79.
pub(crate) fn client(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 64 + (index % 16) as u8)
}
