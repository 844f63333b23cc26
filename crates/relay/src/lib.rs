//! Moving and counting bytes: TCP by copy and splice, UDP by batches of datagrams.
//!
//! This crate is mechanism only. Whether a destination is allowed arrives as a
//! [`udp::Gate`], how fast bytes may go as a [`Pace`]; every byte that a receiving socket took
//! is counted in the session's own counters, at once.
//!
//! It is also the only crate with `unsafe` code: the batch system calls of UDP and one ioctl,
//! each with its proof beside it.

#![deny(unsafe_code)]

pub mod buffer;
pub mod pace;
pub mod pipe;
pub mod socket;
pub mod tcp;
pub mod udp;

pub use pace::{Pace, Unlimited};
pub use pipe::PipePool;
