//! Where the client of an association has written to: verdicts remembered, answers let in.

use std::collections::HashMap;
use std::mem;
use std::net::SocketAddr;

use super::{Place, Refusal};

/// Destinations per batch. Two batches are kept, so that a client which scans ports costs bounded
/// memory and one that talks to a few places never loses them.
const MOST: usize = 1024;

/// A place, and what the rules of one generation said of it.
#[derive(Debug)]
struct Peer {
    place: Place,
    verdict: Result<(), Refusal>,
    generation: u64,
}

impl Peer {
    fn verdict(
        &mut self,
        generation: u64,
        judge: impl FnOnce(&Place) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        if self.generation != generation {
            self.verdict = judge(&self.place);
            self.generation = generation;
        }
        self.verdict
    }
}

/// A bounded memory of destinations that were allowed when the client wrote to them.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    young: HashMap<SocketAddr, Peer>,
    old: HashMap<SocketAddr, Peer>,
}

impl Peers {
    /// What the rules of this generation say of an address; none where the client never wrote.
    /// Keeps it young. `judge` is asked at the first use after a change of the rules.
    pub(crate) fn verdict(
        &mut self,
        address: SocketAddr,
        generation: u64,
        judge: impl FnOnce(&Place) -> Result<(), Refusal>,
    ) -> Option<Result<(), Refusal>> {
        self.look(address, |peer| peer.verdict(generation, judge))
    }

    /// Whether the client wrote to this very place before, by the same name or by its address, and
    /// the rules of this generation allow it.
    pub(crate) fn admits(
        &mut self,
        place: &Place,
        generation: u64,
        judge: impl FnOnce(&Place) -> Result<(), Refusal>,
    ) -> bool {
        let is_it = self.look(place.to, |peer| {
            peer.place == *place && peer.verdict(generation, judge) == Ok(())
        });
        is_it == Some(true)
    }

    fn look<R>(&mut self, address: SocketAddr, at: impl FnOnce(&mut Peer) -> R) -> Option<R> {
        if let Some(peer) = self.young.get_mut(&address) {
            return Some(at(peer));
        }
        let mut peer = self.old.remove(&address)?;
        let found = at(&mut peer);
        self.keep(peer);
        Some(found)
    }

    /// Remembers a destination that the rules of this generation allow.
    pub(crate) fn allow(&mut self, place: Place, generation: u64) {
        self.keep(Peer { place, verdict: Ok(()), generation });
    }

    fn keep(&mut self, peer: Peer) {
        if self.young.len() >= MOST {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(peer.place.to, peer);
    }
}

#[cfg(test)]
mod tests {
    use rustsocks_proto::HostName;

    use super::*;

    /// For rules that do not change.
    fn unasked(_: &Place) -> Result<(), Refusal> {
        unreachable!("the generation is the same")
    }

    #[test]
    fn a_scan_stays_bounded_and_keeps_who_is_in_use() {
        let mut peers = Peers::default();
        let friend: SocketAddr = "192.0.2.1:53".parse().unwrap();
        peers.allow(friend.into(), 0);
        for port in 1..=60_000 {
            peers.allow(SocketAddr::from(([192, 0, 2, 9], port)).into(), 0);
            assert_eq!(peers.verdict(friend, 0, unasked), Some(Ok(())));
        }
        assert!(peers.young.len() + peers.old.len() <= 2 * MOST);
        assert_eq!(peers.verdict(SocketAddr::from(([192, 0, 2, 9], 1)), 0, unasked), None);
    }

    #[test]
    fn a_name_that_is_allowed_admits_nobody_by_address() {
        let mut peers = Peers::default();
        let address: SocketAddr = "192.0.2.1:53".parse().unwrap();
        let name = HostName::new("stream.test").unwrap();
        let named = Place { name: Some(name), ..address.into() };
        peers.allow(named.clone(), 0);
        assert!(peers.admits(&named, 0, unasked));
        assert!(!peers.admits(&address.into(), 0, unasked));
        assert!(!peers.admits(&address.into(), 1, |_| Ok(())));
        assert_eq!(peers.verdict(address, 1, |_| Ok(())), Some(Ok(())), "its answers are heard");
    }

    #[test]
    fn each_change_of_the_rules_has_a_place_judged_once() {
        let mut peers = Peers::default();
        let friend: SocketAddr = "192.0.2.1:53".parse().unwrap();
        peers.allow(friend.into(), 0);
        let blocked = |_: &Place| Err(Refusal::Blocked);
        assert_eq!(peers.verdict(friend, 1, blocked), Some(Err(Refusal::Blocked)));
        assert_eq!(peers.verdict(friend, 1, unasked), Some(Err(Refusal::Blocked)));
        assert_eq!(peers.verdict(friend, 2, |_| Ok(())), Some(Ok(())));
        assert_eq!(peers.verdict(friend, 2, unasked), Some(Ok(())));
    }
}
