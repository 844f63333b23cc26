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

/// The most bytes that go through the kernel as one: what IP carries, less its own header.
const MOST_TOGETHER: usize = 65_535 - 60 - 8;

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
    controls: [SegmentLength; SLOTS],
}

/// The control message that has the kernel cut a message into datagrams of this length.
#[repr(C)]
#[derive(Clone, Copy)]
struct SegmentLength {
    header: libc::cmsghdr,
    length: u16,
    /// Control messages end where the next header would be aligned.
    _padding: [u8; size_of::<usize>() - size_of::<u16>()],
}

impl SegmentLength {
    const NONE: Self = Self {
        header: libc::cmsghdr {
            cmsg_len: size_of::<libc::cmsghdr>() + size_of::<u16>(),
            cmsg_level: libc::SOL_UDP,
            cmsg_type: libc::UDP_SEGMENT,
        },
        length: 0,
        _padding: [0; size_of::<usize>() - size_of::<u16>()],
    };
}

impl Call {
    #[expect(unsafe_code, reason = "C structures have no constructors")]
    fn new() -> Self {
        // SAFETY: all-zero bytes are valid values of these plain C structures.
        let call: Self = unsafe { zeroed() };
        Self { controls: [SegmentLength::NONE; SLOTS], ..call }
    }

    /// Sends the first `count` messages; returns how many of them the kernel took.
    #[expect(unsafe_code, reason = "sendmmsg together with the batch's own addresses")]
    fn send(&mut self, socket: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
        // SAFETY: each header points to parts, a name and a control message of its own, and each
        // part to the room; all of them outlive the call. The kernel only reads through the
        // parts, so that they point to shared memory is sound.
        let taken = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(taken).map_err(|_| io::Error::last_os_error())
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
        let Call { names, parts, headers, .. } = &mut self.call;
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
            header.msg_hdr.msg_control = std::ptr::null_mut();
            header.msg_hdr.msg_controllen = 0;
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
    /// Neighbours of one length for one address, of which the last may be shorter, go through
    /// the kernel as one, which cuts them apart again at the end (`UDP_SEGMENT` in udp(7)). Where
    /// it won't, they go one by one. A datagram that cannot be sent is skipped: that is what may
    /// happen to it anywhere on its way.
    pub(crate) fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        datagrams: &[Outgoing],
        mut sent: impl FnMut(&Outgoing),
    ) {
        let datagrams = datagrams.get(..SLOTS.min(datagrams.len())).unwrap_or_default();
        let mut rest = datagrams;
        let mut longest = SLOTS;
        while !rest.is_empty() {
            let calls = self.prepare(rest, longest);
            match self.call.send(socket, calls) {
                Ok(done) => {
                    let count = self.call.headers[..done]
                        .iter()
                        .map(|header| header.msg_hdr.msg_iovlen)
                        .sum();
                    let (taken, left) = rest.split_at(count);
                    taken.iter().for_each(&mut sent);
                    rest = left;
                    longest = SLOTS;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Too long for the way to be cut by the kernel, or a device that cannot.
                Err(_) if self.call.headers[0].msg_hdr.msg_iovlen > 1 => longest = 1,
                // Unreachable, too long, refused.
                Err(_) => rest = &rest[1..],
            }
        }
    }

    /// Writes what to send into the call and returns how many messages that are; runs of more
    /// than `longest` datagrams are cut.
    fn prepare(&mut self, datagrams: &[Outgoing], longest: usize) -> usize {
        let Self { room, call: Call { names, parts, headers, controls }, .. } = self;
        let mut parts = parts.as_mut_slice();
        let mut calls = 0;
        let mut rest = datagrams;
        while let Some(first) = rest.first() {
            let (run, left) = rest.split_at(run(rest).min(longest));
            let (own, free) = parts.split_at_mut(run.len());
            for (part, datagram) in own.iter_mut().zip(run) {
                let bytes = room.get(datagram.bytes.clone()).unwrap_or_default();
                part.iov_base = bytes.as_ptr().cast_mut().cast();
                part.iov_len = bytes.len();
            }
            let header = &mut headers[calls].msg_hdr;
            header.msg_name = std::ptr::null_mut();
            header.msg_namelen = 0;
            if let Some(to) = first.to {
                header.msg_namelen = into_storage(to, &mut names[calls]);
                header.msg_name = std::ptr::from_mut(&mut names[calls]).cast();
            }
            header.msg_iov = own.as_mut_ptr();
            header.msg_iovlen = own.len();
            header.msg_control = std::ptr::null_mut();
            header.msg_controllen = 0;
            if run.len() > 1 {
                controls[calls].length = first.bytes.len() as u16;
                header.msg_control = std::ptr::from_mut(&mut controls[calls]).cast();
                header.msg_controllen = size_of::<SegmentLength>();
            }
            calls += 1;
            parts = free;
            rest = left;
        }
        calls
    }
}

/// How many of the datagrams, from the first, can be sent as one.
fn run(datagrams: &[Outgoing]) -> usize {
    let Some(first) = datagrams.first() else { return 0 };
    let length = first.bytes.len();
    if length == 0 {
        return 1;
    }
    let mut count = 1;
    let mut bytes = length;
    for datagram in &datagrams[1..] {
        bytes += datagram.bytes.len();
        let fits = (1..=length).contains(&datagram.bytes.len()) && bytes <= MOST_TOGETHER;
        if datagram.to != first.to || !fits {
            break;
        }
        count += 1;
        if datagram.bytes.len() < length {
            break;
        }
    }
    count
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

    /// Puts payloads into a batch and sends them; returns those that the kernel took.
    fn send(socket: &UdpSocket, datagrams: &[(SocketAddr, Vec<u8>)]) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        with_batch(|batch| {
            let mut end = 0;
            let mut place = |(to, payload): &(SocketAddr, Vec<u8>)| {
                let bytes = end..end + payload.len();
                end = bytes.end;
                batch.room[bytes.clone()].copy_from_slice(payload);
                Outgoing { to: Some(*to), payload: payload.len(), bytes }
            };
            let out: Vec<Outgoing> = datagrams.iter().map(&mut place).collect();
            let mut taken = Vec::new();
            batch.send(socket.as_fd(), &out, |datagram| taken.push(datagram.bytes.clone()));
            sent = taken.into_iter().map(|bytes| batch.bytes(bytes).to_vec()).collect();
        });
        sent
    }

    /// Datagrams for two places, of lengths that do and don't go together.
    fn mixed(one: &UdpSocket, other: &UdpSocket) -> Vec<(SocketAddr, Vec<u8>)> {
        let lengths = [9, 9, 9, 4, 4, 9, 0, 0, 7, 7, 30_000, 30_000, 30_000, 1, 5, 5];
        let to = |number: usize| if number % 7 == 5 { other } else { one };
        let payload = |(number, length)| vec![number as u8; length];
        (0..lengths.len())
            .zip(lengths)
            .map(|(number, length)| (to(number).local_addr().unwrap(), payload((number, length))))
            .collect()
    }

    /// Each of the two gets its datagrams, each by itself, in order.
    fn assert_delivered(sender: &UdpSocket, any: &str) {
        let places = [UdpSocket::bind(any).unwrap(), UdpSocket::bind(any).unwrap()];
        let all = mixed(&places[0], &places[1]);
        let payloads: Vec<Vec<u8>> = all.iter().map(|(_, payload)| payload.clone()).collect();
        assert_eq!(send(sender, &all), payloads);
        for place in &places {
            let own = place.local_addr().unwrap();
            for (_, payload) in all.iter().filter(|(to, _)| *to == own) {
                let mut heard = vec![0; 70_000];
                let length = place.recv(&mut heard).unwrap();
                assert!(heard[..length] == payload[..], "{length} for {}", payload.len());
            }
        }
    }

    #[test]
    fn what_goes_through_the_kernel_as_one_arrives_as_it_was() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            assert_delivered(&UdpSocket::bind(any).unwrap(), any);
        }
    }

    #[test]
    fn neighbours_of_one_length_for_one_address_are_sent_as_one() {
        let places =
            [UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap()];
        let out: Vec<Outgoing> = mixed(&places[0], &places[1])
            .into_iter()
            .map(|(to, payload)| Outgoing {
                to: Some(to),
                bytes: 0..payload.len(),
                payload: payload.len(),
            })
            .collect();
        let mut runs = Vec::new();
        let mut rest = &out[..];
        while !rest.is_empty() {
            let count = run(rest);
            runs.push(count);
            rest = &rest[count..];
        }
        assert_eq!(runs, [4, 1, 1, 1, 1, 2, 2, 1, 1, 2]);
    }

    #[test]
    #[expect(unsafe_code, reason = "a socket option that has no wrapper")]
    fn where_the_kernel_will_not_cut_datagrams_go_one_by_one() {
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        // The kernel does not cut for a socket that sends without checksums.
        let on: libc::c_int = 1;
        // SAFETY: the option is an int, which lives as long as the call.
        let set = unsafe {
            libc::setsockopt(
                sender.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_NO_CHECK,
                std::ptr::from_ref(&on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        assert_eq!(set, 0);
        assert_delivered(&sender, "127.0.0.1:0");
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
