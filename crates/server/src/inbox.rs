//! What a client has sent and nobody has decoded yet.
//!
//! Messages may arrive byte by byte or all in one segment, with the first data behind them.

use std::io;

use rustsocks_proto::{DecodeError, MAX_MESSAGE};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Why there is no message.
#[derive(Debug)]
pub(crate) enum InboxError<E> {
    /// The client closed or broke the connection.
    Gone,
    /// The bytes are no message.
    Malformed(E),
}

/// Lets [`Inbox::message`] recognise "more input, please" in every decoder's error.
pub(crate) trait MaybeIncomplete {
    fn is_incomplete(&self) -> bool;
}

impl MaybeIncomplete for DecodeError {
    fn is_incomplete(&self) -> bool {
        *self == Self::Incomplete
    }
}

impl MaybeIncomplete for rustsocks_proto::RequestError {
    fn is_incomplete(&self) -> bool {
        self.error == DecodeError::Incomplete
    }
}

/// A client's undecoded bytes.
#[derive(Debug)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    taken: usize,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        // Room for the longest message: the decoder refuses whatever does not end within it.
        Self { bytes: Vec::with_capacity(MAX_MESSAGE), taken: 0 }
    }

    /// An inbox that holds nothing and has room for nothing.
    pub(crate) fn spent() -> Self {
        Self { bytes: Vec::new(), taken: 0 }
    }

    /// Reads until `decode` finds a whole message. Cancel safe: bytes read stay here.
    pub(crate) async fn message<T, E: MaybeIncomplete>(
        &mut self,
        stream: &mut TcpStream,
        mut decode: impl FnMut(&[u8]) -> Result<(T, usize), E>,
    ) -> Result<T, InboxError<E>> {
        loop {
            match decode(self.rest()) {
                Ok((message, taken)) => {
                    self.taken += taken;
                    return Ok(message);
                }
                Err(error) if error.is_incomplete() => self.fill(stream).await?,
                Err(error) => return Err(InboxError::Malformed(error)),
            }
        }
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    async fn fill<E>(&mut self, stream: &mut TcpStream) -> Result<(), InboxError<E>> {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        let read: io::Result<usize> = stream.read_buf(&mut self.bytes).await;
        match read {
            Ok(0) | Err(_) => Err(InboxError::Gone),
            Ok(_) => Ok(()),
        }
    }

    /// What is left behind the last message: the client's first data.
    pub(crate) fn into_rest(mut self) -> Vec<u8> {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
        }
        if self.bytes.is_empty() { Vec::new() } else { self.bytes }
    }
}
