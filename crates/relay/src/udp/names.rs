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

type Key = (HostName, u16);

struct UnderWay<'a> {
    key: Key,
    resolving: Resolving<'a>,
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
        if let Some((answer, at)) = self.known.get(&key) {
            if at.elapsed() < FRESH {
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
        self.under_way.push(UnderWay { key, resolving, waiting: vec![payload.into()] });
        Lookup::Waits
    }

    /// The next answer that has come in. Pending, with a waker left, when there is none.
    pub(crate) fn poll_arrived(&mut self, cx: &mut Context<'_>) -> Poll<Arrived> {
        for index in 0..self.under_way.len() {
            if let Poll::Ready(answer) = self.under_way[index].resolving.as_mut().poll(cx) {
                let UnderWay { key, waiting, .. } = self.under_way.swap_remove(index);
                if self.known.len() >= MOST_KNOWN {
                    self.known.clear();
                }
                self.known.insert(key, (answer.clone(), Instant::now()));
                return Poll::Ready(Arrived { answer, waiting });
            }
        }
        Poll::Pending
    }

    pub(crate) fn forget(&mut self) {
        self.known.clear();
    }
}
