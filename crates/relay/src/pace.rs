//! How fast a session may go: asked before each read, told after each delivery.
//!
//! Limits are policy and live elsewhere; this is the place where they take hold.

use std::task::{Context, Poll};

/// The two directions of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Client to destination.
    Sent,
    /// Destination to client.
    Received,
}

/// Grants bytes to a direction.
pub trait Pace {
    /// How many bytes the next read of this direction may take, at least 1.
    ///
    /// `Pending` holds the direction back; the implementation wakes the task of `cx` when more
    /// may flow.
    fn poll_grant(&mut self, direction: Direction, cx: &mut Context<'_>) -> Poll<usize>;

    /// Bytes of this direction that were delivered.
    fn spent(&mut self, direction: Direction, bytes: usize);
}

/// No limit at all; compiles to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlimited;

impl Pace for Unlimited {
    fn poll_grant(&mut self, _direction: Direction, _cx: &mut Context<'_>) -> Poll<usize> {
        Poll::Ready(usize::MAX)
    }

    fn spent(&mut self, _direction: Direction, _bytes: usize) {}
}
