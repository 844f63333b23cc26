//! The segments of this run: what of each the store still lacks, and which may be deleted.

use std::collections::VecDeque;
use std::path::PathBuf;

/// One segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// Final states in it.
    pub(crate) finals: usize,
    /// Of these, the ones in memory that the store does not have yet.
    pub(crate) waiting: usize,
    /// Of these, the ones that are nowhere but here.
    pub(crate) spilled: usize,
    /// Whether its state of all open sessions is as durable as asked for.
    pub(crate) complete: bool,
    /// A sync failed before any had succeeded: nothing of it outlasts a power loss.
    pub(crate) in_vain: bool,
}

impl Segment {
    fn is_needed(&self) -> bool {
        self.waiting > 0 || self.spilled > 0
    }
}

/// All of them, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    pub(crate) list: VecDeque<Segment>,
    /// The one being written; none while the disk refuses.
    pub(crate) current: Option<u64>,
}

impl Segments {
    pub(crate) fn get(&mut self, number: u64) -> Option<&mut Segment> {
        self.list.iter_mut().find(|segment| segment.number == number)
    }

    /// The oldest segment with spilled states, and whether it is the one being written.
    pub(crate) fn oldest_spilled(&self) -> Option<(u64, PathBuf, bool)> {
        let segment = self.list.iter().find(|segment| segment.spilled > 0)?;
        Some((segment.number, segment.path.clone(), self.current == Some(segment.number)))
    }

    /// How many segments at the front nobody needs: the store has what ended in them, and a
    /// later one has what is open.
    pub(crate) fn prunable(&self) -> usize {
        let newest_complete = self.list.iter().rposition(|segment| segment.complete).unwrap_or(0);
        self.list.iter().take(newest_complete).take_while(|segment| !segment.is_needed()).count()
    }

    /// Takes out what was written in vain, now that a newer one has the same.
    pub(crate) fn take_in_vain(&mut self) -> Vec<Segment> {
        let is_useless = |segment: &Segment| segment.in_vain && !segment.is_needed();
        let (useless, list) = self.list.drain(..).partition(is_useless);
        self.list = list;
        Vec::from(useless)
    }

    /// Whether the store has everything that ended in any of them.
    pub(crate) fn are_settled(&self) -> bool {
        !self.list.iter().any(Segment::is_needed)
    }
}
