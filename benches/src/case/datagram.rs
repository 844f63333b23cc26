//! UDP: a few associations, each with a window of datagrams under way. A datagram that does not
//! come back is counted as lost and replaced, as the sender of a real one would.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{MMsgHdr, RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmmsg};
use socket2::SockRef;
use tokio::time::Instant;

use crate::case::{Moment, Stage};
use crate::metric::{Figure, Metric};
use crate::pattern::Pattern;
use crate::peer::Running;
use crate::target::LOOK_TIMESPEC;
use crate::target::echo::{EchoTarget, QUEUE_BYTES};
use crate::way::{self, PATIENCE, Way};

const ASSOCIATIONS: usize = 4;

/// Threads, each with its part of the associations; also sockets of the target.
const THREADS: usize = 2;

/// Datagrams under way per association: below what a default socket buffer holds.
const WINDOW: u64 = 32;

const PAYLOAD_BYTES: usize = 512;

/// Each payload begins with its number.
const NUMBER_BYTES: usize = 8;

/// An association that hears nothing for so long has lost its whole window.
const LOST_AFTER: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct Tally {
    sent: AtomicU64,
    answered: AtomicU64,
    stop: AtomicBool,
}

pub(super) fn measure(stage: Stage<'_>) -> anyhow::Result<Vec<Figure>> {
    let target = EchoTarget::start(THREADS)?;
    let running = stage.start(&[])?;
    let mut shares: Vec<Vec<Association>> = (0..THREADS).map(|_| Vec::new()).collect();
    for index in 0..ASSOCIATIONS {
        let association =
            Association::open(&running, target.address(index)).context("opening an association")?;
        shares[index % THREADS].push(association);
    }

    let tally = Tally::default();
    let (before, after, lost) = thread::scope(|scope| {
        let senders: Vec<_> =
            shares.into_iter().map(|share| scope.spawn(|| exchange(share, &tally))).collect();
        thread::sleep(stage.setting.warm_up);
        let sent = tally.sent.load(Relaxed);
        let before = Moment::now(&running, tally.answered.load(Relaxed));
        thread::sleep(stage.setting.window);
        let after = Moment::now(&running, tally.answered.load(Relaxed));
        let sent = tally.sent.load(Relaxed) - sent;
        tally.stop.store(true, Relaxed);
        for sender in senders {
            sender.join().map_err(|_| anyhow::anyhow!("a sender panicked"))??;
        }
        // What is under way at both ends of the window is about the same.
        let lost = sent.saturating_sub(after.count - before.count) as f64 / sent.max(1) as f64;
        anyhow::Ok((before, after, lost))
    })?;
    running.check_alive()?;
    if after.count == before.count {
        bail!("no datagram came back");
    }
    let mut figures = after.figures_since(&before);
    figures.push(Figure::new(Metric::LostPercent, lost * 100.0));
    Ok(figures)
}

/// One association, or the bare socket where there is no proxy.
struct Association {
    /// The association lasts as long as this connection.
    _control: Option<TcpStream>,
    socket: UdpSocket,
    header: Vec<u8>,
    body: Vec<u8>,
    /// The number of the next datagram to be sent.
    next: u64,
    /// All numbers below were answered or given up.
    settled: u64,
    heard: Instant,
}

impl Association {
    fn open(running: &Running, target: SocketAddrV4) -> io::Result<Self> {
        let (control, to, header) = match running.way {
            Way::Straight => (None, target, Vec::new()),
            Way::Fixed(_) => return Err(io::ErrorKind::Unsupported.into()),
            Way::Socks(proxy) => {
                let (control, relay) = way::associate(proxy)?;
                (Some(control), relay, way::datagram_header(target))
            }
        };
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(to)?;
        SockRef::from(&socket).set_recv_buffer_size(QUEUE_BYTES)?;
        let body = Pattern::new(PAYLOAD_BYTES).at(0, PAYLOAD_BYTES - NUMBER_BYTES).to_vec();
        Ok(Self {
            _control: control,
            socket,
            header,
            body,
            next: 0,
            settled: 0,
            heard: Instant::now(),
        })
    }

    /// Sends until the window is full, all in one call.
    fn fill(&mut self, tally: &Tally) -> io::Result<()> {
        let first = self.next;
        let last = self.settled + WINDOW;
        let numbers: Vec<[u8; NUMBER_BYTES]> = (first..last).map(u64::to_le_bytes).collect();
        let slices: Vec<[IoSlice<'_>; 3]> = numbers
            .iter()
            .map(|number| {
                [IoSlice::new(&self.header), IoSlice::new(number), IoSlice::new(&self.body)]
            })
            .collect();
        let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> =
            slices.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let mut messages: Vec<MMsgHdr<'_>> = slices
            .iter()
            .zip(&mut controls)
            .map(|(slice, control)| MMsgHdr::new(slice, control))
            .collect();
        if messages.is_empty() {
            return Ok(());
        }
        match sendmmsg(&self.socket, &mut messages, SendFlags::DONTWAIT) {
            Ok(sent) => {
                self.next += sent as u64;
                tally.sent.fetch_add(sent as u64, Relaxed);
                Ok(())
            }
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes every datagram that is there.
    fn drain(&mut self, tally: &Tally) -> anyhow::Result<()> {
        let mut buffer = [0; 2048];
        let mut answered = 0;
        loop {
            let count = match recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(io::Error::from(error).into()),
            };
            let number = self.number_of(&buffer[..count])?;
            // Answers come in order but for a proxy with several threads: then a datagram that
            // is overtaken is given up early and still counted when it comes.
            self.settled = self.settled.max(number + 1);
            answered += 1;
        }
        if answered > 0 {
            self.heard = Instant::now();
            tally.answered.fetch_add(answered, Relaxed);
        } else if self.heard.elapsed() > LOST_AFTER {
            self.settled = self.next;
        }
        Ok(())
    }

    fn number_of(&self, datagram: &[u8]) -> anyhow::Result<u64> {
        let header = if self.header.is_empty() {
            0
        } else {
            way::datagram_header_length(datagram).context("a datagram without a SOCKS header")?
        };
        let payload = &datagram[header..];
        match payload.split_first_chunk::<NUMBER_BYTES>() {
            Some((number, body)) if body == self.body => {
                let number = u64::from_le_bytes(*number);
                if number >= self.next {
                    bail!("an answer to a datagram that was never sent");
                }
                Ok(number)
            }
            _ => bail!("a datagram came back altered"),
        }
    }
}

fn exchange(mut associations: Vec<Association>, tally: &Tally) -> anyhow::Result<()> {
    let began = Instant::now();
    while !tally.stop.load(Relaxed) {
        for association in &mut associations {
            association.fill(tally)?;
        }
        let mut waiting: Vec<PollFd<'_>> = associations
            .iter()
            .map(|association| PollFd::new(&association.socket, PollFlags::IN))
            .collect();
        match poll(&mut waiting, Some(&LOOK_TIMESPEC)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        for association in &mut associations {
            association.drain(tally)?;
        }
        if tally.answered.load(Relaxed) == 0 && began.elapsed() > PATIENCE {
            bail!("no datagram came back");
        }
    }
    Ok(())
}
