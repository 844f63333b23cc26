//! What goes to standard output: ends quietly when nobody reads any more.

use std::io::{self, Write as _};

/// Writes text. A closed pipe, as behind `| head`, is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
