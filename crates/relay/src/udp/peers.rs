//! Where the client of an association has written to: verdicts remembered, answers let in.

use std::collections::HashSet;
use std::mem;
use std::net::SocketAddr;

/// Destinations per generation. Two generations are kept, so that a client which scans ports
/// costs bounded memory and one that talks to a few places never loses them.
const MOST: usize = 1024;

/// A bounded memory of destinations that were allowed.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    young: HashSet<SocketAddr>,
    old: HashSet<SocketAddr>,
}

impl Peers {
    /// Whether this destination was allowed before. Keeps it young.
    pub(crate) fn knows(&mut self, address: SocketAddr) -> bool {
        if self.young.contains(&address) {
            return true;
        }
        let known = self.old.contains(&address);
        if known {
            self.allow(address);
        }
        known
    }

    /// Remembers an allowed destination.
    pub(crate) fn allow(&mut self, address: SocketAddr) {
        if self.young.len() >= MOST {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(address);
    }

    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_stays_bounded_and_keeps_who_is_in_use() {
        let mut peers = Peers::default();
        let friend: SocketAddr = "192.0.2.1:53".parse().unwrap();
        peers.allow(friend);
        for port in 1..=60_000 {
            peers.allow(SocketAddr::from(([192, 0, 2, 9], port)));
            assert!(peers.knows(friend));
        }
        assert!(peers.young.len() + peers.old.len() <= 2 * MOST);
        assert!(!peers.knows(SocketAddr::from(([192, 0, 2, 9], 1))));
    }
}
