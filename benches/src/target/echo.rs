//! A target that sends every datagram back to where it came from, in batches.

use std::io::{self, IoSlice};
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::io::Errno;
use rustix::net::{
    MMsgHdr, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrAny, recvfrom, sendmmsg,
};
use socket2::SockRef;

use crate::source;
use crate::target::{LOOK, Service};

/// Datagrams answered by one call at most.
const BATCH: usize = 32;

/// Longer ones are cut, which the client notices.
const DATAGRAM_BYTES: usize = 2048;

/// What the sockets may queue: more than all windows together.
pub(crate) const QUEUE_BYTES: usize = 4 << 20;

/// Sends datagrams back until dropped.
#[derive(Debug)]
pub(crate) struct EchoTarget {
    addresses: Vec<SocketAddrV4>,
    _service: Service,
}

impl EchoTarget {
    /// Echoes on `sockets` addresses, each served by a thread.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub(crate) fn start(sockets: usize) -> io::Result<Self> {
        let mut addresses = Vec::new();
        let mut echoes = Vec::new();
        for index in 0..sockets {
            let ip = source::target(index);
            let socket = UdpSocket::bind((ip, 0))?;
            socket.set_read_timeout(Some(LOOK))?;
            SockRef::from(&socket).set_recv_buffer_size(QUEUE_BYTES)?;
            addresses.push(SocketAddrV4::new(ip, socket.local_addr()?.port()));
            echoes.push(move |stop: &AtomicBool| echo(&socket, stop));
        }
        Ok(Self { addresses, _service: Service::start(echoes) })
    }

    /// The address for the `index`-th association: they are dealt out in turn.
    pub(crate) fn address(&self, index: usize) -> SocketAddrV4 {
        self.addresses[index % self.addresses.len()]
    }
}

fn echo(socket: &UdpSocket, stop: &AtomicBool) {
    let mut room = vec![[0; DATAGRAM_BYTES]; BATCH];
    let mut batch: Vec<(SocketAddrAny, usize)> = Vec::with_capacity(BATCH);
    while !stop.load(Relaxed) {
        batch.clear();
        let mut flags = RecvFlags::empty();
        while batch.len() < BATCH {
            match recvfrom(socket, &mut room[batch.len()][..], flags) {
                Ok((count, _, Some(from))) => batch.push((from, count)),
                Ok(_) | Err(Errno::INTR) => continue,
                // Nothing more for now; a refusal of an earlier answer is a client that has left.
                Err(_) => break,
            }
            // Waits for the first, takes of the others what is there.
            flags = RecvFlags::DONTWAIT;
        }
        send_back(socket, &room, &batch);
    }
}

fn send_back(socket: &UdpSocket, room: &[[u8; DATAGRAM_BYTES]], batch: &[(SocketAddrAny, usize)]) {
    let slices: Vec<[IoSlice<'_>; 1]> = room
        .iter()
        .zip(batch)
        .map(|(bytes, (_, count))| [IoSlice::new(&bytes[..*count])])
        .collect();
    let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> =
        batch.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let mut messages: Vec<MMsgHdr<'_>> = batch
        .iter()
        .zip(&slices)
        .zip(&mut controls)
        .map(|(((to, _), slice), control)| MMsgHdr::new_with_addr(to, slice, control))
        .collect();
    let mut rest = &mut messages[..];
    while !rest.is_empty() {
        // What cannot be sent is lost, as datagrams may be; the client counts it.
        let sent = sendmmsg(socket, rest, SendFlags::empty()).unwrap_or(1);
        rest = &mut rest[sent.max(1)..];
    }
}
