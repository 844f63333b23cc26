//! One UDP association (RFC 1928 §7): datagrams between one client and its destinations.
//!
//! It lives as long as the client's TCP connection. Datagrams that do not come from the
//! client, are fragments, are malformed or go where the access rules forbid are dropped and
//! counted; so are datagrams from places the client never wrote to.

mod association;
mod batch;
mod names;
mod peers;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub use association::{Association, bind, has_route, relay};
use rustsocks_proto::HostName;

/// A place for a name, or why there is none.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Place, Refusal>> + Send + 'a>>;

/// Where datagrams go, with all that the rules need to judge it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The address.
    pub to: SocketAddr,
    /// The name that the client asked for, if it was one.
    pub name: Option<HostName>,
    /// The whole name under which a search list found it, where that is another one.
    pub found_as: Option<HostName>,
}

impl From<SocketAddr> for Place {
    fn from(to: SocketAddr) -> Self {
        Self { to, name: None, found_as: None }
    }
}

/// Why a datagram's destination gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The access rules forbid it.
    Blocked,
    /// The name has no address.
    Unresolved,
}

/// Says where datagrams may go.
pub trait Gate {
    /// Judges a destination that was given by address, or again one that was found for a name.
    ///
    /// # Errors
    /// [`Refusal::Blocked`].
    fn judge(&self, place: &Place) -> Result<(), Refusal>;

    /// Judges a name, resolves it, and judges the address.
    fn resolve(&self, name: HostName, port: u16) -> Resolving<'_>;

    /// Grows whenever earlier verdicts may no longer hold.
    fn generation(&self) -> u64;
}

/// What became of datagrams that were not relayed; shared by all associations.
#[derive(Debug, Default)]
pub struct Drops {
    /// Fragments, which are not supported (RFC 1928 §7).
    pub fragment: AtomicU64,
    /// From somebody else than the client, or from a place it never wrote to.
    pub stranger: AtomicU64,
    /// Without a readable header.
    pub malformed: AtomicU64,
    /// Forbidden by the access rules.
    pub blocked: AtomicU64,
    /// To a name without address.
    pub unresolved: AtomicU64,
    /// More than could wait for a name to be resolved.
    pub overflow: AtomicU64,
    /// Not taken by the operating system: no way there, too long, no room.
    pub unsent: AtomicU64,
}

impl Drops {
    fn refused(&self, refusal: Refusal, datagrams: u64) {
        match refusal {
            Refusal::Blocked => &self.blocked,
            Refusal::Unresolved => &self.unresolved,
        }
        .fetch_add(datagrams, Relaxed);
    }

    /// Counts what the operating system did not take; mostly that is nothing.
    fn unsent(&self, datagrams: usize) {
        if datagrams > 0 {
            self.unsent.fetch_add(datagrams as u64, Relaxed);
        }
    }

    /// Every count with the name of its reason.
    pub fn counts(&self) -> [(&'static str, u64); 7] {
        [
            ("fragment", self.fragment.load(Relaxed)),
            ("stranger", self.stranger.load(Relaxed)),
            ("malformed", self.malformed.load(Relaxed)),
            ("blocked", self.blocked.load(Relaxed)),
            ("unresolved", self.unresolved.load(Relaxed)),
            ("overflow", self.overflow.load(Relaxed)),
            ("unsent", self.unsent.load(Relaxed)),
        ]
    }
}

/// Who the client of an association is.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress {
    /// Its address, that of the TCP connection.
    pub ip: IpAddr,
    /// Its port, once known: from the request, or from its first datagram.
    pub port: Option<u16>,
}
