//! The segments of this run: what of each the store still lacks, and which may be deleted.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

/// How long a segment that cannot be read is passed over: a disk that fails takes its time for
/// each try, and other segments wait behind it.
const PASS_OVER: Duration = Duration::from_secs(60);

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
    /// When to try again to read it, where that failed.
    pub(crate) read_again_at: Option<Instant>,
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

    /// The oldest segment with spilled states that is not passed over, and whether it is the one
    /// being written.
    pub(crate) fn oldest_spilled(&self, now: Instant) -> Option<(u64, PathBuf, bool)> {
        let is_readable = |segment: &Segment| segment.read_again_at.is_none_or(|at| at <= now);
        let mut spilled = self.list.iter().filter(|segment| segment.spilled > 0);
        let segment = spilled.find(|segment| is_readable(segment))?;
        Some((segment.number, segment.path.clone(), self.current == Some(segment.number)))
    }

    /// Passes a segment over for a while, because it cannot be read; tells whether it could before.
    pub(crate) fn pass_over(&mut self, number: u64, now: Instant) -> bool {
        let segment = self.get(number);
        segment.is_some_and(|segment| segment.read_again_at.replace(now + PASS_OVER).is_none())
    }

    /// How many segments nobody needs; see [`Segments::take_prunable`].
    pub(crate) fn prunable(&self) -> usize {
        self.in_front().filter(|segment| !segment.is_needed()).count()
    }

    /// Takes out what nobody needs: the store has what ended there, and a later segment has what
    /// is open.
    pub(crate) fn take_prunable(&mut self) -> Vec<Segment> {
        let count = self.in_front().count();
        let (kept, done): (Vec<Segment>, _) =
            self.list.drain(..count).partition(Segment::is_needed);
        kept.into_iter().rev().for_each(|segment| self.list.push_front(segment));
        done
    }

    /// Those before the newest that has what is open, up to the first that is needed. One that
    /// cannot be read is needed for as long as that is so, and is in nobody's way.
    fn in_front(&self) -> impl Iterator<Item = &Segment> {
        let newest_complete = self.list.iter().rposition(|segment| segment.complete).unwrap_or(0);
        let is_in_the_way =
            |segment: &Segment| segment.is_needed() && segment.read_again_at.is_none();
        self.list.iter().take(newest_complete).take_while(move |segment| !is_in_the_way(segment))
    }

    /// Takes out what was written in vain, now that a newer one has the same.
    pub(crate) fn take_in_vain(&mut self) -> Vec<Segment> {
        let is_useless = |segment: &Segment| segment.in_vain && !segment.is_needed();
        let (useless, list) = self.list.drain(..).partition(is_useless);
        self.list = list;
        Vec::from(useless)
    }

    /// Bytes that go once a further segment is there: all or none.
    pub(crate) fn going(&self) -> u64 {
        let bytes = || self.list.iter().map(|segment| segment.bytes).sum();
        if self.are_settled() { bytes() } else { 0 }
    }

    /// Whether the store has everything that ended in any of them.
    pub(crate) fn are_settled(&self) -> bool {
        !self.list.iter().any(Segment::is_needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(number: u64, spilled: usize) -> Segment {
        Segment {
            number,
            path: PathBuf::new(),
            bytes: 1,
            finals: spilled,
            waiting: 0,
            spilled,
            complete: true,
            in_vain: false,
            read_again_at: None,
        }
    }

    fn numbers(segments: &[Segment]) -> Vec<u64> {
        segments.iter().map(|segment| segment.number).collect()
    }

    #[test]
    fn a_segment_that_cannot_be_read_is_passed_over_for_a_while_and_outlasts_those_behind_it() {
        let list = [(1, 0), (2, 5), (3, 5), (4, 0), (5, 0)].map(|(n, spilled)| segment(n, spilled));
        let mut segments = Segments { list: list.into(), current: Some(5) };
        let now = Instant::now();
        let oldest = |segments: &Segments, at| segments.oldest_spilled(at).map(|found| found.0);
        assert_eq!(numbers(&segments.take_prunable()), [1]);
        assert_eq!(oldest(&segments, now), Some(2));
        assert!(segments.pass_over(2, now));
        assert_eq!(oldest(&segments, now), Some(3));
        assert_eq!(segments.prunable(), 0);
        segments.get(3).unwrap().spilled = 0;
        assert_eq!(numbers(&segments.take_prunable()), [3, 4]);
        assert_eq!(oldest(&segments, now), None);
        let later = now + PASS_OVER;
        assert_eq!(oldest(&segments, later), Some(2));
        assert!(!segments.pass_over(2, later), "known already");
        segments.get(2).unwrap().spilled = 0;
        assert_eq!(numbers(&segments.take_prunable()), [2]);
    }
}
