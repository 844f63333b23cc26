//! What no safe wrapper asks of a socket: what it still holds of what was written to it, and to
//! choose its port late.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Lets the kernel choose the local port at connect(2) instead of bind(2), so that one port
/// serves many far ends (IP_BIND_ADDRESS_NO_PORT).
///
/// # Errors
/// The operating system's.
#[expect(unsafe_code, reason = "a socket option that no wrapper offers")]
pub fn choose_port_late(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option reads one int through the pointer, which is valid for the call; the
    // descriptor is open for as long as it is borrowed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Bytes that the peer's kernel has not acknowledged, and one for an end of stream that it has not.
pub(crate) fn unacknowledged(socket: BorrowedFd<'_>) -> usize {
    ask(socket, libc::TIOCOUTQ)
}

#[expect(unsafe_code, reason = "an ioctl that rustix does not offer")]
fn ask(socket: BorrowedFd<'_>, request: libc::c_ulong) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request writes one int through the pointer, which is valid for the call; the
    // descriptor is open for as long as it is borrowed.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw mut bytes) };
    if result == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
}
