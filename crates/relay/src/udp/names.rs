//! Datagrams addressed by name: what waits for an address, and the addresses found.

use std::collections::HashMap;
use std::task::{Context, Poll};
use std::time::Duration;

use rustsocks_proto::HostName;
use tokio::time::Instant;

use super::{Gate, Place, Refusal, Resolving};

/// Names under way at once, datagrams waiting for each, and answers remembered.
const MOST_UNDER_WAY: usize = 16;
const MOST_WAITING: usize = 8;
const MOST_KNOWN: usize = 256;

/// How long an answer is used without asking the resolver again, which has a cache of its own.
const FRESH: Duration = Duration::from_secs(30);

/// The same where no address was found, at least: the trouble may pass at any moment, and what
/// really does not exist, the resolver remembers. Names that take long to fail are asked for less
/// often, so that they leave room for others.
const FRESH_FAILURE: Duration = Duration::from_secs(1);

/// How many times as long as it took a failure is used.
const FAILURE_SHARE: u32 = 3;

type Key = (HostName, u16);

struct UnderWay<'a> {
    key: Key,
    resolving: Resolving<'a>,
    since: Instant,
    waiting: Vec<Box<[u8]>>,
}

/// An answer for a name and the datagrams that waited for it.
pub(crate) struct Arrived {
    pub(crate) answer: Result<Place, Refusal>,
    pub(crate) waiting: Vec<Box<[u8]>>,
}

/// What to do with a datagram for a name.
pub(crate) enum Lookup {
    /// Send it there, or drop it.
    Known(Result<Place, Refusal>),
    /// It was put aside until the answer comes.
    Waits,
    /// There is no room to put it aside.
    Overflow,
}

/// The names of one association.
#[derive(Default)]
pub(crate) struct Names<'a> {
    /// The answers, and until when they are used.
    known: HashMap<Key, (Result<Place, Refusal>, Instant)>,
    under_way: Vec<UnderWay<'a>>,
}

impl<'a> Names<'a> {
    /// Looks a name up; puts the payload aside where the answer is still to come.
    pub(crate) fn look_up(
        &mut self,
        name: &HostName,
        port: u16,
        payload: &[u8],
        gate: &'a impl Gate,
    ) -> Lookup {
        let key = (name.clone(), port);
        if let Some((answer, until)) = self.known.get(&key) {
            if Instant::now() < *until {
                return Lookup::Known(answer.clone());
            }
            self.known.remove(&key);
        }
        if let Some(under_way) = self.under_way.iter_mut().find(|entry| entry.key == key) {
            if under_way.waiting.len() >= MOST_WAITING {
                return Lookup::Overflow;
            }
            under_way.waiting.push(payload.into());
            return Lookup::Waits;
        }
        if self.under_way.len() >= MOST_UNDER_WAY {
            return Lookup::Overflow;
        }
        let resolving = gate.resolve(name.clone(), port);
        let (since, waiting) = (Instant::now(), vec![payload.into()]);
        self.under_way.push(UnderWay { key, resolving, since, waiting });
        Lookup::Waits
    }

    /// The next answer that has come in. Pending, with a waker left, when there is none.
    pub(crate) fn poll_arrived(&mut self, cx: &mut Context<'_>) -> Poll<Arrived> {
        for index in 0..self.under_way.len() {
            if let Poll::Ready(answer) = self.under_way[index].resolving.as_mut().poll(cx) {
                let UnderWay { key, waiting, since, .. } = self.under_way.swap_remove(index);
                let fresh = match &answer {
                    Err(Refusal::Unresolved) => {
                        (since.elapsed() * FAILURE_SHARE).clamp(FRESH_FAILURE, FRESH)
                    }
                    Ok(_) | Err(Refusal::Blocked) => FRESH,
                };
                if self.known.len() >= MOST_KNOWN {
                    self.known.clear();
                }
                self.known.insert(key, (answer.clone(), Instant::now() + fresh));
                return Poll::Ready(Arrived { answer, waiting });
            }
        }
        Poll::Pending
    }

    pub(crate) fn forget(&mut self) {
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::future::{poll_fn, ready};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use tokio::time::advance;

    use super::*;

    /// Fails to resolve once, then finds everything.
    #[derive(Default)]
    struct Recovering {
        asked: AtomicUsize,
    }

    impl Gate for Recovering {
        fn judge(&self, _place: &Place) -> Result<(), Refusal> {
            Ok(())
        }

        fn resolve(&self, name: HostName, port: u16) -> Resolving<'_> {
            let to = ([192, 0, 2, 1], port).into();
            let found = Place { to, name: Some(name), found_as: None };
            let failing = self.asked.fetch_add(1, Relaxed) == 0;
            Box::pin(ready(if failing { Err(Refusal::Unresolved) } else { Ok(found) }))
        }

        fn generation(&self) -> u64 {
            0
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_whose_look_up_failed_is_asked_for_again_after_a_second() {
        let gate = Recovering::default();
        let mut names = Names::default();
        let name = HostName::new("passing.test").unwrap();
        assert!(matches!(names.look_up(&name, 9, b"1", &gate), Lookup::Waits));
        assert_eq!(poll_fn(|cx| names.poll_arrived(cx)).await.answer, Err(Refusal::Unresolved));
        advance(Duration::from_millis(900)).await;
        let known = names.look_up(&name, 9, b"2", &gate);
        assert!(matches!(known, Lookup::Known(Err(Refusal::Unresolved))));
        assert_eq!(gate.asked.load(Relaxed), 1, "not with every datagram");

        advance(Duration::from_millis(100)).await;
        assert!(matches!(names.look_up(&name, 9, b"3", &gate), Lookup::Waits));
        assert!(poll_fn(|cx| names.poll_arrived(cx)).await.answer.is_ok());
        advance(FRESH - Duration::from_millis(1)).await;
        assert!(matches!(names.look_up(&name, 9, b"4", &gate), Lookup::Known(Ok(_))));
        assert_eq!(gate.asked.load(Relaxed), 2);
    }
}
