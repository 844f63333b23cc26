//! What goes to standard output: ends quietly when nobody reads any more.

use std::io::{self, IsTerminal as _, Write as _};
use std::ops::ControlFlow;

use rustix::event::{PollFd, PollFlags};

/// Writes text. A closed pipe, as behind `| head`, is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    pour(text.as_bytes()).map(|_anybody_reads| ())
}

/// Writes one piece of many; says to break off when nobody reads any more.
pub(crate) fn pour(bytes: &[u8]) -> io::Result<ControlFlow<()>> {
    let mut out = io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    match written {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(error),
    }
}

/// Ends when nobody reads any more, although nothing is written meanwhile.
pub(crate) async fn unread() {
    // On a thread of its own, which ends with the process: an output that is waited for by
    // the runtime would have to be its own, and non-blocking.
    let waiting = tokio::task::spawn_blocking(|| {
        let out = io::stdout();
        let mut watched = [PollFd::new(&out, PollFlags::empty())];
        let gone = PollFlags::ERR | PollFlags::HUP;
        while rustix::event::poll(&mut watched, None).is_ok() {
            if watched.iter().any(|one| one.revents().intersects(gone)) {
                return true;
            }
        }
        false
    });
    match waiting.await {
        Ok(true) => {}
        _ => std::future::pending().await,
    }
}

/// The terminal's width in columns, if there is one.
pub(crate) fn width() -> Option<u16> {
    let out = io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&out).ok()?;
    Some(size.ws_col).filter(|columns| *columns > 0)
}

/// Whether standard output is a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}
