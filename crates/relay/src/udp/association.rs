//! The task of one association: two sockets, one client, one TCP connection to outlive.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use rustsocks_proto::udp::{decode_udp, encode_udp_header};
use rustsocks_proto::{Host, reached};
use rustsocks_sessions::{CloseReason, Ending, OpenSession, StopWatch, Wire};
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::{TcpStream, UdpSocket};

use super::batch::{Batch, Outgoing, SLOTS, with_batch};
use super::names::{Lookup, Names};
use super::peers::Peers;
use super::{ClientAddress, Drops, Gate, Place, Refusal};
use crate::buffer::with_buffer;

/// Batches per direction before the other one gets its turn.
const TURNS: usize = 4;

/// Room that each socket asks for, either way.
const BUFFER_BYTES: usize = 1 << 20;

/// What an association is made of.
#[derive(Debug)]
pub struct Association<'a> {
    /// The client's TCP connection; its end is the association's end.
    pub control: TcpStream,
    /// The relay address that the client was told.
    pub relay: UdpSocket,
    /// Who may use it.
    pub client: ClientAddress,
    /// The address to send from; none leaves the choice to the system.
    pub egress: Option<IpAddr>,
    /// Where dropped datagrams are counted.
    pub drops: &'a Drops,
}

/// Relays datagrams until the TCP connection ends or the session is stopped.
///
/// Returns how the session ended; all counters are final then.
pub async fn relay(
    session: &OpenSession,
    association: Association<'_>,
    gate: &impl Gate,
) -> Ending {
    let mut task = Task {
        association,
        session,
        gate,
        outward: Outward::default(),
        peers: Peers::default(),
        names: Names::default(),
        generation: gate.generation(),
        connected: false,
        stop: StopWatch::default(),
        rhythm: Rhythm { last: 0 },
    };
    std::future::poll_fn(|cx| task.poll(cx)).await
}

struct Task<'a, G> {
    association: Association<'a>,
    session: &'a OpenSession,
    gate: &'a G,
    outward: Outward,
    peers: Peers,
    names: Names<'a>,
    generation: u64,
    /// Whether the relay socket is connected to the client.
    connected: bool,
    stop: StopWatch,
    rhythm: Rhythm,
}

impl<G: Gate> Task<'_, G> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if let Poll::Ready(ending) = self.stop.poll(self.session, cx) {
            return Poll::Ready(ending);
        }
        if let Poll::Ready(ending) = poll_control(&mut self.association.control, cx) {
            return Poll::Ready(ending);
        }
        let generation = self.gate.generation();
        if generation != self.generation {
            self.generation = generation;
            self.names.forget();
        }
        let mut again = false;
        again |= self.poll_client(cx).is_ready();
        while let Poll::Ready(arrived) = self.names.poll_arrived(cx) {
            for payload in &arrived.waiting {
                match arrived.answer {
                    Err(refusal) => self.association.drops.refused(refusal, 1),
                    Ok(ref place) => self.send_one(place, payload),
                }
            }
        }
        // After the names: a socket opened just now is polled in the same round.
        again |= self.poll_outward(cx).is_ready();
        if again {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Takes datagrams from the client. Ready when there may be more.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            ready!(with_batch(|batch| {
                let count =
                    ready!(poll_receive(&self.association.relay, batch, &mut self.rhythm, cx));
                self.take_from_client(batch, count);
                Poll::Ready(())
            }));
        }
        Poll::Ready(())
    }

    fn take_from_client(&mut self, batch: &mut Batch, count: usize) {
        let drops = self.association.drops;
        let (mut to_v4, mut to_v6) = (Vec::new(), Vec::new());
        for (payload, from) in (0..count).filter_map(|slot| batch.received(slot)) {
            if !self.is_client(from) {
                drops.stranger.fetch_add(1, Relaxed);
                continue;
            }
            let Ok((header, offset)) = decode_udp(batch.bytes(payload.clone())) else {
                drops.malformed.fetch_add(1, Relaxed);
                continue;
            };
            self.connect_to(from);
            if header.fragment != 0 {
                drops.fragment.fetch_add(1, Relaxed);
                continue;
            }
            let bytes = payload.start + offset..payload.end;
            let place = match &header.target.host {
                Host::Ip(ip) => {
                    let place = SocketAddr::new(reached(*ip), header.target.port).into();
                    if let Err(refusal) = self.admit(&place) {
                        drops.refused(refusal, 1);
                        continue;
                    }
                    place
                }
                Host::Name(name) => {
                    let waits = batch.bytes(bytes.clone());
                    match self.names.look_up(name, header.target.port, waits, self.gate) {
                        Lookup::Known(Ok(place)) => {
                            self.peers.allow(place.clone(), self.generation);
                            place
                        }
                        Lookup::Known(Err(refusal)) => {
                            drops.refused(refusal, 1);
                            continue;
                        }
                        Lookup::Overflow => {
                            drops.overflow.fetch_add(1, Relaxed);
                            continue;
                        }
                        Lookup::Waits => continue,
                    }
                }
            };
            if self.wire(&place).is_err() {
                drops.unsent(1);
                continue;
            }
            let queue = if place.to.is_ipv4() { &mut to_v4 } else { &mut to_v6 };
            let payload = bytes.len();
            queue.push(Outgoing { to: Some(place.to), bytes, payload });
        }
        for queue in [to_v4, to_v6] {
            let Some(Outgoing { to: Some(first), .. }) = queue.first() else { continue };
            let mut unsent = queue.len();
            if let Ok(socket) = self.outward.socket_for(*first, self.association.egress) {
                let session = self.session;
                batch.send(socket.as_fd(), &queue, |sent| {
                    unsent -= 1;
                    session.count_sent(sent.payload as u64);
                });
            }
            drops.unsent(unsent);
        }
    }

    fn is_client(&self, from: SocketAddr) -> bool {
        let client = self.association.client;
        from.ip().to_canonical() == client.ip.to_canonical()
            && client.port.is_none_or(|port| port == from.port())
    }

    /// The client's first datagram settles its port; from then on the kernel filters strangers
    /// and sends without looking up a route.
    fn connect_to(&mut self, client: SocketAddr) {
        if self.connected {
            return;
        }
        self.association.client.port = Some(client.port());
        let socket = socket2::SockRef::from(&self.association.relay);
        self.connected = socket.connect(&client.into()).is_ok();
    }

    fn admit(&mut self, place: &Place) -> Result<(), Refusal> {
        let gate = self.gate;
        if !self.peers.admits(place, self.generation, |place| gate.judge(place)) {
            gate.judge(place)?;
            self.peers.allow(place.clone(), self.generation);
        }
        Ok(())
    }

    /// The first destination is the one that the session's record names. Opens the socket towards
    /// it: an error loses the datagram, as it may be lost anywhere.
    fn wire(&mut self, place: &Place) -> io::Result<()> {
        if self.session.wire().is_none() {
            let Place { to, name: host, found_as } = place.clone();
            let socket = self.outward.socket_for(to, self.association.egress)?;
            let mut egress = egress_towards(to, self.association.egress);
            egress.set_port(socket.local_addr()?.port());
            self.session.wired(Wire { dest: to, host, found_as, egress, connect: None });
        }
        Ok(())
    }

    /// Sends a datagram that waited for its name.
    fn send_one(&mut self, place: &Place, payload: &[u8]) {
        self.peers.allow(place.clone(), self.generation);
        let sent = self.wire(place).and_then(|()| {
            let socket = self.outward.socket_for(place.to, self.association.egress)?;
            // Asked of the socket itself: the runtime does not know yet that a new one is writable.
            socket2::SockRef::from(socket).send_to(payload, &place.to.into())
        });
        match sent {
            Ok(_) => self.session.count_sent(payload.len() as u64),
            Err(_) => self.association.drops.unsent(1),
        }
    }

    /// Takes datagrams from the destinations. Ready when there may be more.
    fn poll_outward(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut polled = Poll::Pending;
        // Nothing comes in before the client has written, so its port is known by then.
        let client = self.association.client;
        let to = match self.connected {
            true => None,
            false => client.port.map(|port| SocketAddr::new(client.ip, port)),
        };
        for socket in [&self.outward.v4, &self.outward.v6].into_iter().flatten() {
            for turn in 0..TURNS {
                let took = with_batch(|batch| {
                    let count = ready!(poll_receive(socket, batch, &mut self.rhythm, cx));
                    let (peers, gate, generation) = (&mut self.peers, self.gate, self.generation);
                    let verdict = |from| peers.verdict(from, generation, |place| gate.judge(place));
                    to_client(&self.association, to, self.session, verdict, (batch, count));
                    Poll::Ready(())
                });
                if took.is_pending() {
                    break;
                }
                if turn + 1 == TURNS {
                    polled = Poll::Ready(());
                }
            }
        }
        polled
    }
}

/// Hands received datagrams on to the client, each behind a header that names its sender.
///
/// `to` is the client, or none where the relay socket is connected to it; `verdict` is what the
/// rules say of a sender, none for a stranger.
fn to_client(
    association: &Association<'_>,
    to: Option<SocketAddr>,
    session: &OpenSession,
    mut verdict: impl FnMut(SocketAddr) -> Option<Result<(), Refusal>>,
    received: (&mut Batch, usize),
) {
    let (batch, count) = received;
    let mut queue = Vec::with_capacity(count);
    for slot in 0..count {
        let Some((bytes, from)) = batch.received(slot) else { continue };
        match verdict(from) {
            Some(Ok(())) => {}
            Some(Err(refusal)) => {
                association.drops.refused(refusal, 1);
                continue;
            }
            None => {
                association.drops.stranger.fetch_add(1, Relaxed);
                continue;
            }
        }
        let payload = bytes.len();
        let bytes = batch.prepend(bytes, &encode_udp_header(from));
        queue.push(Outgoing { to, bytes, payload });
    }
    let mut unsent = queue.len();
    batch.send(association.relay.as_fd(), &queue, |sent| {
        unsent -= 1;
        session.count_received(sent.payload as u64);
    });
    association.drops.unsent(unsent);
}

/// How many datagrams to ask for: twice what came last, because preparing a slot that stays
/// empty costs about as much as filling it.
#[derive(Debug)]
struct Rhythm {
    last: usize,
}

impl Rhythm {
    fn next(&self) -> usize {
        (self.last * 2).clamp(4, SLOTS)
    }

    fn saw(&mut self, count: usize) {
        self.last = count;
    }
}

/// Receives one batch. A batch that is not full has emptied the socket, so its readiness is
/// cleared with it, which saves the call that would only say so.
fn poll_receive(
    socket: &UdpSocket,
    batch: &mut Batch,
    rhythm: &mut Rhythm,
    cx: &mut Context<'_>,
) -> Poll<usize> {
    loop {
        if ready!(socket.poll_recv_ready(cx)).is_err() {
            return Poll::Pending;
        }
        let mut count = 0;
        let received = socket.try_io(Interest::READABLE, || {
            let most = rhythm.next();
            count = batch.receive(socket.as_fd(), most)?;
            rhythm.saw(count);
            if count == most { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
        });
        if count > 0 {
            return Poll::Ready(count);
        }
        match received {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // An ICMP message about an earlier datagram; reading it took it off the socket.
            Err(_) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

/// Watches the TCP connection. What a client says on it is dropped unread.
fn poll_control(control: &mut TcpStream, cx: &mut Context<'_>) -> Poll<Ending> {
    loop {
        let read = with_buffer(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut *control).poll_read(cx, &mut read))?;
            Poll::Ready(Ok::<_, io::Error>(read.filled().len()))
        });
        return Poll::Ready(match ready!(read) {
            Ok(0) => Ending::plain(CloseReason::ClientClosed),
            Ok(_) => continue,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                Ending::plain(CloseReason::ClientReset)
            }
            Err(error) => Ending::detailed(CloseReason::ClientError, error.to_string()),
        });
    }
}

/// The sockets towards destinations, one per address family, opened when first needed.
#[derive(Debug, Default)]
struct Outward {
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
}

impl Outward {
    fn socket_for(&mut self, to: SocketAddr, egress: Option<IpAddr>) -> io::Result<&UdpSocket> {
        let slot = if to.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        match slot {
            Some(socket) => Ok(socket),
            None => Ok(slot.insert(bind(local_towards(to, egress))?)),
        }
    }
}

/// The local address to send from towards `to`.
fn local_towards(to: SocketAddr, egress: Option<IpAddr>) -> SocketAddr {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let local = egress.filter(|egress| egress.is_ipv4() == to.is_ipv4()).unwrap_or(any);
    SocketAddr::new(local, 0)
}

/// Opens a datagram socket with room for a burst.
///
/// # Errors
/// The operating system's.
pub fn bind(local: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(local)?;
    socket.set_nonblocking(true)?;
    let room = socket2::SockRef::from(&socket);
    // The system's default holds some 160 small datagrams and does not grow with use, as TCP's
    // does. What the system does not grant, it cuts.
    room.set_recv_buffer_size(BUFFER_BYTES)?;
    room.set_send_buffer_size(BUFFER_BYTES)?;
    UdpSocket::from_std(socket)
}

/// Our address towards `to`: what a socket says that is connected there.
fn egress_towards(to: SocketAddr, egress: Option<IpAddr>) -> SocketAddr {
    probe(to, egress).unwrap_or_else(|_| local_towards(to, egress))
}

/// Whether the system knows a way to an address. Sends nothing.
pub fn has_route(to: SocketAddr, egress: Option<IpAddr>) -> bool {
    probe(to, egress).is_ok()
}

fn probe(to: SocketAddr, egress: Option<IpAddr>) -> io::Result<SocketAddr> {
    let probe = std::net::UdpSocket::bind(local_towards(to, egress))?;
    probe.connect(to)?;
    probe.local_addr()
}
