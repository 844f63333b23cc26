//! Who turns to RustSocks' API while it relays. They cost processor time that is not the proxy's.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::peer::{Scene, find};
use crate::roster::Roster;

/// What is asked for without pause.
const QUESTION: &str = "/api/sessions/stats?window_hours=24";

/// How many read the stream.
const READERS: usize = 1000;

/// What each of them takes once in a [`PAUSE`]: far less than there is.
const BITE: usize = 4096;

const PAUSE: Duration = Duration::from_secs(1);

/// An audience, which leaves when it is dropped.
#[derive(Debug)]
pub(super) enum Audience {
    /// `wrk`, eight connections.
    Asking { wrk: Child, roster: Arc<Roster> },
    /// Readers of the stream, in one thread that ends when nobody can tell it to any more.
    Watching { thread: Option<JoinHandle<()>>, leave: Option<Sender<()>> },
}

impl Audience {
    /// Gathers those of a scene before the API at an address.
    ///
    /// # Errors
    /// When `wrk` cannot be run, or the API does not take so many readers.
    pub(super) fn gather(
        scene: Scene,
        api: SocketAddrV4,
        roster: &Arc<Roster>,
    ) -> anyhow::Result<Self> {
        match scene {
            Scene::Asked => {
                // `wrk` would be as busy with refusals.
                let _answered = answered(api, QUESTION)?;
                // Gives way, as if it ran on another machine.
                let mut command = Command::new("nice");
                command.args(["-n", "19"]).arg(find("wrk").context("wrk is not installed")?);
                command.args(["-t1", "-c8", "-d1h"]);
                command.arg(format!("http://{api}{QUESTION}"));
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                let (wrk, _) = roster.spawn(&mut command).context("running wrk")?;
                Ok(Self::Asking { wrk, roster: Arc::clone(roster) })
            }
            Scene::Watched => {
                let readers: Vec<TcpStream> =
                    (0..READERS).map(|_| reader(api)).collect::<anyhow::Result<_>>()?;
                let (leave, left) = mpsc::channel();
                let thread = thread::spawn(move || read(readers, left));
                Ok(Self::Watching { thread: Some(thread), leave: Some(leave) })
            }
            Scene::Off | Scene::On => bail!("nobody turns to this one"),
        }
    }
}

impl Drop for Audience {
    fn drop(&mut self) {
        match self {
            Self::Asking { wrk, roster } => roster.end(wrk),
            Self::Watching { thread, leave } => {
                drop(leave.take());
                if let Some(thread) = thread.take() {
                    let _panicked = thread.join();
                }
            }
        }
    }
}

fn reader(api: SocketAddrV4) -> anyhow::Result<TcpStream> {
    let stream = answered(api, "/api/sessions/stream")?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// A connection on which the API has begun to answer with 200.
fn answered(api: SocketAddrV4, path: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(api).with_context(|| format!("asking for {path}"))?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: {api}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    if &status != b"HTTP/1.1 200" {
        bail!("{path} is refused: {}", String::from_utf8_lossy(&status));
    }
    Ok(stream)
}

/// Takes a bite from each, then pauses, until it is told to leave. One that ended is not read again.
fn read(mut readers: Vec<TcpStream>, left: Receiver<()>) {
    let mut bite = vec![0; BITE];
    let stays = |bitten: std::io::Result<usize>| match bitten {
        Ok(bytes) => bytes > 0,
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
    };
    while let Err(RecvTimeoutError::Timeout) = left.recv_timeout(PAUSE) {
        readers.retain_mut(|reader| stays(reader.read(&mut bite)));
    }
}
