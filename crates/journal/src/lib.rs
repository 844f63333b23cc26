//! The journal: states of sessions on the local disk, between their change and the commit of the
//! batch that takes them into the store.
//!
//! One thread takes sessions from the outbox a few milliseconds after they changed, appends their
//! states to the newest segment, and passes them on to the store. A segment is deleted once the
//! store has everything that ended in it. What is left at the next start is replayed: ended
//! sessions as they ended, open ones as crashed when they were last known alive.
//!
//! No SQL here: the recorder of the storage crate replays and drains by the verbs of [`Journal`].

pub mod disk;
mod folder;
mod frame;
pub mod journal;
pub mod replay;
mod segments;
mod sync;
mod writer;

pub use folder::{JournalError, SegmentFile, list};
pub use journal::{Journal, JournalNotice, JournalOptions, Reader, Unreadable, WhenFull, Writing};
pub use replay::{Finals, Replay, Report, Summary, summary};
