//! Kernel pipes for splice, pooled: a session holds one only while bytes stream through it.
//!
//! An unprivileged user has 16 384 pages of pipe memory in all, so the pool is capped and a
//! session that finds it empty copies instead.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

/// A pipe whose both ends this process holds.
#[derive(Debug)]
pub struct Pipe {
    pub(crate) read: OwnedFd,
    pub(crate) write: OwnedFd,
    pub(crate) capacity: usize,
}

impl Pipe {
    /// Opens a pipe of the largest size that the system grants, 1 MiB at best.
    ///
    /// # Errors
    /// The operating system's, most likely EMFILE.
    fn open() -> std::io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        for wish in [1 << 20, 256 << 10] {
            if fcntl_setpipe_size(&write, wish).is_ok() {
                return Ok(Self { read, write, capacity: wish });
            }
        }
        Ok(Self { read, write, capacity: 64 << 10 })
    }
}

/// Empty pipes, ready for use. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PipePool {
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Debug)]
struct Shelf {
    idle: Vec<Pipe>,
    /// Pipes in use and idle.
    open: usize,
    most: usize,
}

impl PipePool {
    /// A pool of at most `most` pipes; 0 means never to splice.
    pub fn new(most: usize) -> Self {
        Self { shelf: Arc::new(Mutex::new(Shelf { idle: Vec::new(), open: 0, most })) }
    }

    /// Takes an empty pipe; none when all are in use or the system gives no more.
    pub(crate) fn take(&self) -> Option<Lent> {
        let mut shelf = self.lock();
        let pipe = match shelf.idle.pop() {
            Some(pipe) => pipe,
            None if shelf.open < shelf.most => {
                shelf.open += 1;
                match Pipe::open() {
                    Ok(pipe) => pipe,
                    Err(_) => {
                        shelf.open -= 1;
                        return None;
                    }
                }
            }
            None => return None,
        };
        drop(shelf);
        Some(Lent { pipe: Some(pipe), filled: 0, pool: self.clone() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A pipe on loan, with what is in it. Goes back when dropped, if it is empty.
#[derive(Debug)]
pub(crate) struct Lent {
    pipe: Option<Pipe>,
    /// Bytes in the pipe.
    pub(crate) filled: usize,
    pool: PipePool,
}

impl std::ops::Deref for Lent {
    type Target = Pipe;

    fn deref(&self) -> &Pipe {
        self.pipe.as_ref().expect("a loan holds its pipe until it is dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut shelf = self.pool.lock();
        match self.pipe.take() {
            // A pipe with bytes of a session that died in it is closed, never reused.
            Some(pipe) if self.filled == 0 => shelf.idle.push(pipe),
            _ => shelf.open -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_pipe_is_lent_again_and_a_filled_one_never() {
        let pool = PipePool::new(1);
        let lent = pool.take().unwrap();
        assert!(pool.take().is_none(), "the only pipe is out");
        drop(lent);
        let mut lent = pool.take().unwrap();
        lent.filled = 5;
        drop(lent);
        assert_eq!(pool.lock().open, 0);
        assert!(pool.take().is_some());
    }
}
