//! How much moved: two lanes of bytes and packets, counted where the bytes are handed over.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One direction's counters.
#[derive(Debug, Default)]
pub struct Lane {
    bytes: AtomicU64,
    packets: AtomicU64,
}

impl Lane {
    /// Counts bytes that the receiving socket took, and the packet they began, if they did.
    pub fn record(&self, bytes: u64, packets: u64) {
        // Relaxed: each number stands alone; the closing read happens in the task that wrote.
        self.bytes.fetch_add(bytes, Relaxed);
        if packets != 0 {
            self.packets.fetch_add(packets, Relaxed);
        }
    }

    /// Takes bytes off again that were handed over and thrown away by a reset.
    pub(crate) fn undo(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes.min(self.bytes()), Relaxed);
    }

    /// Payload bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Relayed reads (TCP) or datagrams (UDP) so far.
    pub fn packets(&self) -> u64 {
        self.packets.load(Relaxed)
    }
}

/// Both directions of a session.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Client to destination.
    pub sent: Lane,
    /// Destination to client.
    pub received: Lane,
}

impl Traffic {
    /// A number that grows with whatever moves in either direction: a piece of a large packet, or
    /// an empty datagram.
    pub(crate) fn moved(&self) -> u64 {
        let lane = |lane: &Lane| lane.bytes().wrapping_add(lane.packets());
        lane(&self.sent).wrapping_add(lane(&self.received))
    }
}
