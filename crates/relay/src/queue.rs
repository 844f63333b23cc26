//! What a TCP socket still holds of what was written to it.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Bytes that the peer's kernel has not acknowledged.
pub(crate) fn unacknowledged(socket: BorrowedFd<'_>) -> usize {
    ask(socket, libc::TIOCOUTQ)
}

/// Bytes that were not sent even once.
pub(crate) fn unsent(socket: BorrowedFd<'_>) -> usize {
    /// Linux's SIOCOUTQNSD, which libc does not name.
    const SIOCOUTQNSD: libc::c_ulong = 0x894B;
    ask(socket, SIOCOUTQNSD)
}

#[expect(unsafe_code, reason = "an ioctl that rustix does not offer")]
fn ask(socket: BorrowedFd<'_>, request: libc::c_ulong) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: both requests write one int through the pointer, which is valid for the call; the
    // descriptor is open for as long as it is borrowed.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw mut bytes) };
    if result == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
}
