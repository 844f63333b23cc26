//! Datagrams in batches: one system call for up to [`SLOTS`] of them, either way.
//!
//! One call per datagram costs 7 µs for a round trip; a batch shares the call's price.

use std::cell::RefCell;
use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Datagrams per system call.
pub(crate) const SLOTS: usize = 32;

/// Room before each payload for the longest header with an address (RFC 1928 §7).
pub(crate) const HEADROOM: usize = 22;

/// Room for the largest datagram that IP carries, behind the headroom.
const SLOT_BYTES: usize = HEADROOM + 65_536;

/// One datagram to send: where to (none on a connected socket), and where in the batch it lies.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) to: Option<SocketAddr>,
    pub(crate) bytes: Range<usize>,
    /// How many of the bytes are payload.
    pub(crate) payload: usize,
}

/// A thread's room for a batch. Pages that no datagram reached are never touched.
pub(crate) struct Batch {
    room: Box<[u8]>,
    received: [(usize, Option<SocketAddr>); SLOTS],
    call: Call,
}

/// What one system call is told and tells: kept between calls, because clearing it all each
/// time costs more than a small batch.
struct Call {
    names: [libc::sockaddr_storage; SLOTS],
    parts: [libc::iovec; SLOTS],
    headers: [libc::mmsghdr; SLOTS],
}

impl Call {
    #[expect(unsafe_code, reason = "C structures have no constructors")]
    fn new() -> Self {
        // SAFETY: all-zero bytes are valid values of these plain C structures.
        unsafe { zeroed() }
    }
}

thread_local! {
    static BATCH: RefCell<Batch> = RefCell::new(Batch {
        room: vec![0; SLOTS * SLOT_BYTES].into(),
        received: [(0, None); SLOTS],
        call: Call::new(),
    });
}

/// Lends the thread's batch to `work`; lent once at a time.
pub(crate) fn with_batch<T>(work: impl FnOnce(&mut Batch) -> T) -> T {
    BATCH.with_borrow_mut(|batch| work(batch))
}

impl Batch {
    /// Where the payload of the received datagram `slot` lies, and who sent it.
    pub(crate) fn received(&self, slot: usize) -> Option<(Range<usize>, SocketAddr)> {
        let (length, from) = *self.received.get(slot)?;
        let start = slot * SLOT_BYTES + HEADROOM;
        Some((start..start + length, from?))
    }

    /// These bytes of the batch.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.room.get(range).unwrap_or_default()
    }

    /// Writes a header right before a payload and returns where both lie together.
    pub(crate) fn prepend(&mut self, payload: Range<usize>, header: &[u8]) -> Range<usize> {
        debug_assert!(header.len() <= HEADROOM, "the longest header fits the headroom");
        let start = payload.start - header.len();
        self.room[start..payload.start].copy_from_slice(header);
        start..payload.end
    }

    /// Receives as many datagrams as there are, up to `most` and [`SLOTS`].
    ///
    /// # Errors
    /// The operating system's; `WouldBlock` when there is none.
    #[expect(unsafe_code, reason = "recvmmsg has no safe wrapper")]
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        let most = most.min(SLOTS);
        let Call { names, parts, headers } = &mut self.call;
        let slots = self.room.chunks_exact_mut(SLOT_BYTES).take(most);
        for (((slot, part), name), header) in
            slots.zip(&mut *parts).zip(&mut *names).zip(&mut *headers)
        {
            let payload = &mut slot[HEADROOM..];
            part.iov_base = payload.as_mut_ptr().cast();
            part.iov_len = payload.len();
            header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: each header points to one name and one part of its own, and each part to a
        // slot of the room; all of them outlive the call, and nothing else touches them.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                most as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for ((header, name), received) in
            headers.iter().zip(&*names).zip(&mut self.received).take(count)
        {
            *received = (header.msg_len as usize, from_storage(name));
        }
        Ok(count)
    }

    /// Sends datagrams; tells `sent` of each that the kernel took.
    ///
    /// One that cannot be sent is skipped: that is what may happen to a datagram anywhere on
    /// its way.
    #[expect(unsafe_code, reason = "sendmmsg together with the batch's own addresses")]
    pub(crate) fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        datagrams: &[Outgoing],
        mut sent: impl FnMut(&Outgoing),
    ) {
        let datagrams = datagrams.get(..SLOTS.min(datagrams.len())).unwrap_or_default();
        let Self { room, call: Call { names, parts, headers }, .. } = self;
        for (((datagram, part), name), header) in
            datagrams.iter().zip(&mut *parts).zip(&mut *names).zip(&mut *headers)
        {
            let bytes = room.get(datagram.bytes.clone()).unwrap_or_default();
            part.iov_base = bytes.as_ptr().cast_mut().cast();
            part.iov_len = bytes.len();
            header.msg_hdr.msg_name = std::ptr::null_mut();
            header.msg_hdr.msg_namelen = 0;
            if let Some(to) = datagram.to {
                header.msg_hdr.msg_namelen = into_storage(to, name);
                header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
            }
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
        }
        let mut done = 0;
        while done < datagrams.len() {
            let rest = &mut headers[done..datagrams.len()];
            // SAFETY: as above; the kernel only reads through the parts, so that they point
            // to shared memory is sound.
            let count = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    rest.as_mut_ptr(),
                    rest.len() as libc::c_uint,
                    libc::MSG_DONTWAIT,
                )
            };
            match usize::try_from(count) {
                Ok(count) if count > 0 => {
                    datagrams[done..done + count].iter().for_each(&mut sent);
                    done += count;
                }
                _ if io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock => return,
                // The first of the rest failed: unreachable, too long, refused.
                _ => done += 1,
            }
        }
    }
}

#[expect(unsafe_code, reason = "reading a C union of address families")]
fn from_storage(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage, which is large and aligned enough for
            // every family, holds this one.
            let v4 = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// Writes an address and returns its length.
fn into_storage(address: SocketAddr, storage: &mut libc::sockaddr_storage) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) => put(
            storage,
            libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                sin_zero: [0; 8],
            },
        ),
        SocketAddr::V6(v6) => put(
            storage,
            libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            },
        ),
    }
}

#[expect(unsafe_code, reason = "writing into a C union of address families")]
fn put<T>(storage: &mut libc::sockaddr_storage, address: T) -> libc::socklen_t {
    const { assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>()) }
    const { assert!(align_of::<T>() <= align_of::<libc::sockaddr_storage>()) }
    // SAFETY: checked above to fit in size and alignment; the storage is ours to overwrite.
    unsafe { std::ptr::from_mut(storage).cast::<MaybeUninit<T>>().write(MaybeUninit::new(address)) }
    size_of::<T>() as libc::socklen_t
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_batch_goes_out_and_comes_back_with_its_addresses() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let (left, right) = (UdpSocket::bind(any).unwrap(), UdpSocket::bind(any).unwrap());
            for payload in [&b"one"[..], b"", b"three"] {
                left.send_to(payload, right.local_addr().unwrap()).unwrap();
            }
            let mut count = 0;
            with_batch(|batch| {
                while count < 3 {
                    match batch.receive(right.as_fd(), SLOTS) {
                        Ok(received) => count += received,
                        Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                    }
                }
                let (payload, from) = batch.received(2).unwrap();
                assert_eq!(from, left.local_addr().unwrap());
                assert_eq!(batch.bytes(payload.clone()), b"three");
                let whole = batch.prepend(payload, b"head:");
                let mut sent = 0;
                let out = [Outgoing { to: Some(from), bytes: whole, payload: 5 }];
                batch.send(right.as_fd(), &out, |_| sent += 1);
                assert_eq!(sent, 1);
            });
            let mut buffer = [0; 64];
            let (length, from) = left.recv_from(&mut buffer).unwrap();
            assert_eq!(
                (&buffer[..length], from),
                (&b"head:three"[..], right.local_addr().unwrap())
            );
        }
    }

    #[test]
    fn a_datagram_that_cannot_be_sent_does_not_hold_up_the_next() {
        let (left, right) =
            (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let to = right.local_addr().unwrap();
        let wrong_family: SocketAddr = "[::1]:9".parse().unwrap();
        let mut sent = Vec::new();
        with_batch(|batch| {
            let out = [(wrong_family, 0..3), (to, 3..7)].map(|(to, bytes)| Outgoing {
                to: Some(to),
                payload: bytes.len(),
                bytes,
            });
            batch.send(left.as_fd(), &out, |datagram| sent.push(datagram.bytes.len()));
        });
        assert_eq!(sent, [4]);
        assert_eq!(right.recv(&mut [0; 64]).unwrap(), 4);
    }
}
