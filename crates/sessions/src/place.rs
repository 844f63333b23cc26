//! Where a session's state is on its way to the store: in which lanes of the outbox, and in which
//! segments of the journal.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Bits that say in which lanes of the outbox a session waits.
pub(crate) mod lanes {
    /// Waits for the journal.
    pub(crate) const JOURNAL: u8 = 1;
    /// The journal is to pass it on to the store.
    pub(crate) const FOR_STORE: u8 = 2;
    /// Waits for the store.
    pub(crate) const STORE: u8 = 4;
    /// Waits for those who watch.
    pub(crate) const WATCHED: u8 = 8;
}

/// Where the journal has a session. Written by the journal's thread; `final_in` also by whoever
/// settles the session.
#[derive(Debug, Default)]
pub struct JournalPlace {
    /// The segment with the final state; 0 for none, [`JournalPlace::SETTLED`] once the store
    /// has it.
    final_in: AtomicU64,
    /// Where in it that state begins.
    final_at: AtomicU32,
    /// The segment that holds a whole state of it, and in the lowest bit whether that state
    /// knows the outgoing side.
    whole_in: AtomicU64,
    /// Bytes of both directions when it was last written.
    bytes: AtomicU64,
}

impl JournalPlace {
    const SETTLED: u64 = u64::MAX;

    /// Whether the store has the final state already.
    pub fn is_settled(&self) -> bool {
        self.final_in.load(Ordering::Acquire) == Self::SETTLED
    }

    /// The segment that has the final state, while the store does not have it.
    pub fn finished_in(&self) -> Option<u64> {
        let segment = self.final_in.load(Ordering::Acquire);
        (segment != 0 && segment != Self::SETTLED).then_some(segment)
    }

    /// The segment that has the final state, while the store does not have it, and the byte at which
    /// it begins there.
    pub fn final_place(&self) -> Option<(u64, u32)> {
        self.finished_in().map(|segment| (segment, self.final_at.load(Ordering::Relaxed)))
    }

    /// Notes where the final state begins in the segment that is about to have it.
    pub fn set_final_at(&self, at: u32) {
        // Whoever sees the segment sees this: `finish` comes after it and releases.
        self.final_at.store(at, Ordering::Relaxed);
    }

    /// Notes that a segment has the final state; false if the store was faster.
    pub fn finish(&self, segment: u64) -> bool {
        let was = self.final_in.compare_exchange(0, segment, Ordering::AcqRel, Ordering::Acquire);
        was.is_ok()
    }

    /// Notes that a segment may not have the final state after all; false if the store has it, or
    /// another segment.
    pub fn unfinish(&self, segment: u64) -> bool {
        let was = self.final_in.compare_exchange(segment, 0, Ordering::AcqRel, Ordering::Acquire);
        was.is_ok()
    }

    /// Notes that the store has the final state; gives the segment that has it too.
    pub(crate) fn settle(&self) -> Option<u64> {
        let segment = self.final_in.swap(Self::SETTLED, Ordering::AcqRel);
        (segment != 0 && segment != Self::SETTLED).then_some(segment)
    }

    /// Whether a segment holds a whole state of the session, as far as it came.
    pub fn is_whole_in(&self, segment: u64, wired: bool) -> bool {
        let whole_in = self.whole_in.load(Ordering::Relaxed);
        whole_in >> 1 == segment && (whole_in & 1 == 1 || !wired)
    }

    /// Notes that a segment holds a whole state of the session.
    pub fn set_whole_in(&self, segment: u64, wired: bool) {
        self.whole_in.store(segment << 1 | u64::from(wired), Ordering::Relaxed);
    }

    /// Whether a session of so many bytes, with or without its outgoing side, is more than what
    /// the journal has. Asked once per sweep.
    pub(crate) fn was_outgrown(&self, bytes: u64, wired: bool) -> bool {
        let moved = bytes != self.bytes.swap(bytes, Ordering::Relaxed);
        let whole_in = self.whole_in.load(Ordering::Relaxed);
        moved || (wired && whole_in & 1 == 0)
    }
}
