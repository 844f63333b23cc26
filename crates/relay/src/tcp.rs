//! One TCP session's bytes, both directions in one task.
//!
//! A direction copies through the thread's buffer until it has shown to be bulk, then splices
//! through a pooled pipe for as long as bytes keep coming. It holds neither while it waits.
//! End of stream on one side half-closes the other; a reset or an error on one side is handed
//! on as a reset once everything that side had sent was delivered.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::pipe::{SpliceFlags, splice};
use rustsocks_sessions::{CloseReason, Ending, OpenSession, StopWatch};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::buffer::{COPY_BYTES, with_buffer};
use crate::pace::{Direction, Pace};
use crate::pipe::{Lent, PipePool};
use crate::socket;

/// A direction that moved this much without a pause is bulk and worth a pipe. Splicing from the
/// first byte would cost small requests 13 to 15 % more.
const BULK_BYTES: usize = 2 * COPY_BYTES;

/// How often one direction may move bytes before the other one gets its turn.
const TURNS: usize = 8;

/// How long the ends of a session that is cut may take to acknowledge what was handed to them, and
/// how long the end that is left when the other one broke may rest in doing so.
const LAST_ACKNOWLEDGEMENTS: Duration = Duration::from_secs(1);

/// How long to wait before the kernel is asked again what is not acknowledged; at most where it
/// takes its time.
const ASK_AGAIN: Duration = Duration::from_millis(2);
const ASK_SELDOM: Duration = Duration::from_millis(64);

/// The two connections of a session.
#[derive(Debug)]
pub struct Ends {
    /// The client's connection.
    pub client: TcpStream,
    /// The outgoing connection.
    pub target: TcpStream,
}

/// Which end did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Target,
}

/// Relays until both directions have ended, one end failed, or the session is stopped.
///
/// `early` is what the client had sent behind its request. Returns how the session ended; all
/// counters are final then. Dropping the future cuts both connections.
pub async fn relay(
    session: &OpenSession,
    ends: Ends,
    early: Vec<u8>,
    pace: &mut impl Pace,
    pipes: &PipePool,
) -> Ending {
    let mut relay = Relay {
        ends,
        sent: Flow { held: Held::from_early(early), ..Flow::new(Direction::Sent) },
        received: Flow::new(Direction::Received),
        first_end: None,
        fault: None,
        stop: StopWatch::default(),
    };
    let outcome = std::future::poll_fn(|cx| relay.poll(session, pace, pipes, cx)).await;
    match outcome {
        Outcome::Finished(first) => Ending::plain(match first {
            Side::Client => CloseReason::ClientClosed,
            Side::Target => CloseReason::DestinationClosed,
        }),
        Outcome::Broken(fault) => {
            relay.hand_on(session, fault.side).await;
            fault.ending()
        }
        Outcome::Stopped(ending) => {
            relay.cut(session).await;
            ending
        }
    }
}

enum Outcome {
    Finished(Side),
    Broken(Fault),
    Stopped(Ending),
}

/// An end that failed.
#[derive(Debug)]
struct Fault {
    side: Side,
    error: io::Error,
}

impl Fault {
    fn ending(self) -> Ending {
        let reset =
            matches!(self.error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
        let reason = match (self.side, reset) {
            (Side::Client, true) => CloseReason::ClientReset,
            (Side::Target, true) => CloseReason::DestinationReset,
            (Side::Client, false) => CloseReason::ClientError,
            (Side::Target, false) => CloseReason::DestinationError,
        };
        if reset { Ending::plain(reason) } else { Ending::detailed(reason, self.error.to_string()) }
    }
}

struct Relay {
    ends: Ends,
    sent: Flow,
    received: Flow,
    /// Who ended its direction first.
    first_end: Option<Side>,
    fault: Option<Fault>,
    stop: StopWatch,
}

impl Relay {
    fn poll(
        &mut self,
        session: &OpenSession,
        pace: &mut impl Pace,
        pipes: &PipePool,
        cx: &mut Context<'_>,
    ) -> Poll<Outcome> {
        if let Poll::Ready(ending) = self.stop.poll(session, cx) {
            return Poll::Ready(Outcome::Stopped(ending));
        }
        let Ends { client, target } = &mut self.ends;
        let mut hop = Hop { source: client, sink: target, pipes };
        let sent = self.sent.poll(&mut hop, pace, cx, |n, p| session.count_sent_part(n, p));
        let Ends { client, target } = &mut self.ends;
        let mut hop = Hop { source: target, sink: client, pipes };
        let received =
            self.received.poll(&mut hop, pace, cx, |n, p| session.count_received_part(n, p));

        self.note(session, Side::Client, sent);
        self.note(session, Side::Target, received);
        if let Some(fault) = &self.fault {
            // What the failed end had sent before is still delivered; the rest is moot.
            let (drained, other) = match fault.side {
                Side::Client => (self.sent.is_over(), &mut self.ends.target),
                Side::Target => (self.received.is_over(), &mut self.ends.client),
            };
            if !drained {
                // No direction takes its input any more, and it may read only after it has written.
                poll_discard(other, cx);
            }
            return match (drained, self.fault.take()) {
                (true, Some(fault)) => Poll::Ready(Outcome::Broken(fault)),
                (_, fault) => {
                    self.fault = fault;
                    Poll::Pending
                }
            };
        }
        match (self.first_end, self.sent.is_over() && self.received.is_over()) {
            (Some(first), true) => Poll::Ready(Outcome::Finished(first)),
            _ => Poll::Pending,
        }
    }

    /// Takes note of what one direction's poll brought; `reader` is the end it reads from.
    fn note(&mut self, session: &OpenSession, reader: Side, polled: Poll<Result<(), Failure>>) {
        match polled {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => {
                if self.first_end.is_none() {
                    self.first_end = Some(reader);
                    session.half_closed();
                }
            }
            Poll::Ready(Err(failure)) => {
                let other = match reader {
                    Side::Client => Side::Target,
                    Side::Target => Side::Client,
                };
                let fault = match failure {
                    Failure::Read(error) => Fault { side: reader, error },
                    Failure::Write(error) => Fault { side: other, error },
                };
                self.fault.get_or_insert(fault);
            }
        }
    }

    /// Ends the connection of the other end by a reset too, once everything that was counted has
    /// arrived there.
    ///
    /// It may take its time as long as it goes on acknowledging and the session is not stopped;
    /// what is left then is taken off the count. Its input is read and dropped meanwhile: closing
    /// over unread input is a reset at once, and it may read only after it has written.
    async fn hand_on(&mut self, session: &OpenSession, broken: Side) {
        let Ends { client, target } = &self.ends;
        let (flow, sink) = match broken {
            Side::Client => (&self.sent, target),
            Side::Target => (&self.received, client),
        };
        let mut waiting = flow.unacknowledged(sink);
        let mut deadline = Instant::now() + LAST_ACKNOWLEDGEMENTS;
        let mut stopped = false;
        let mut pause = ASK_AGAIN;
        while waiting > 0 && Instant::now() < deadline {
            if is_gone(sink) {
                // It broke as well, and nobody can tell what it took.
                return;
            }
            // Who has nothing more to say is asked less and less often.
            pause = match discard_input(sink) {
                true => ASK_AGAIN,
                false => (pause * 2).min(ASK_SELDOM),
            };
            let was_stopped = stopped;
            if stopped {
                sleep(pause).await;
            } else {
                let stop = std::future::poll_fn(|cx| self.stop.poll(session, cx));
                stopped = timeout(pause, stop).await.is_ok();
            }
            let left = flow.unacknowledged(sink);
            if !was_stopped && (stopped || left < waiting) {
                deadline = Instant::now() + LAST_ACKNOWLEDGEMENTS;
            }
            waiting = left;
        }
        match broken {
            Side::Client => session.undo_sent(waiting),
            Side::Target => session.undo_received(waiting),
        }
        reset_on_close(sink);
    }

    /// Ends both connections by a reset, once everything that was counted has arrived.
    ///
    /// What an end does not acknowledge in time is taken off the count again: the reset
    /// discards it. Input is read and dropped meanwhile, because an end that cannot send may
    /// not be reading either.
    async fn cut(&mut self, session: &OpenSession) {
        let deadline = Instant::now() + LAST_ACKNOWLEDGEMENTS;
        let Ends { client, target } = &self.ends;
        let waiting = || (self.sent.unacknowledged(target), self.received.unacknowledged(client));
        while waiting() != (0, 0) && Instant::now() < deadline {
            discard_input(client);
            discard_input(target);
            sleep(ASK_AGAIN).await;
        }
        let (sent, received) = waiting();
        session.undo_sent(sent);
        session.undo_received(received);
        reset_on_close(&self.ends.client);
        reset_on_close(&self.ends.target);
    }
}

/// Whether the connection is no more: reset, or given up by the system.
fn is_gone(stream: &TcpStream) -> bool {
    stream.peer_addr().is_err()
}

/// Reads and drops what a socket has to give right now, up to a bound; tells whether that was
/// anything.
fn discard_input(stream: &TcpStream) -> bool {
    with_buffer(|buffer| {
        let turns = (0..TURNS).take_while(|_| matches!(stream.try_read(buffer), Ok(1..)));
        turns.count() > 0
    })
}

/// As [`discard_input`], and leaves the waker for what comes later.
fn poll_discard(stream: &mut TcpStream, cx: &mut Context<'_>) {
    with_buffer(|buffer| {
        for _ in 0..TURNS {
            let mut read = ReadBuf::new(buffer);
            let polled = Pin::new(&mut *stream).poll_read(cx, &mut read);
            if !matches!(polled, Poll::Ready(Ok(()))) || read.filled().is_empty() {
                return;
            }
        }
        cx.waker().wake_by_ref();
    });
}

/// Makes the coming close a reset.
///
/// Failure leaves an orderly close, which is all that can be done about it.
pub fn reset_on_close(stream: &TcpStream) {
    let _orderly_then = stream.set_zero_linger();
}

/// One direction's two sockets, and where its pipes come from.
struct Hop<'a> {
    source: &'a mut TcpStream,
    sink: &'a mut TcpStream,
    pipes: &'a PipePool,
}

enum Failure {
    Read(io::Error),
    Write(io::Error),
}

/// What was read and not yet taken by the receiver.
enum Held {
    Nothing,
    Bytes { bytes: Box<[u8]>, from: usize, packets: u64 },
    Pipe { pipe: Lent, packets: u64 },
}

impl Held {
    fn from_early(early: Vec<u8>) -> Self {
        match early.is_empty() {
            true => Self::Nothing,
            false => Self::Bytes { bytes: early.into(), from: 0, packets: 1 },
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// The source has ended; what is held still goes out, then the sink is half-closed.
    Draining,
    Over,
}

/// One direction.
struct Flow {
    direction: Direction,
    held: Held,
    /// Why the sink did not take what is held.
    refused: Option<io::Error>,
    stage: Stage,
    /// The source failed; reported once what it sent before is delivered.
    failed: Option<io::Error>,
    /// The sink was told of the source's end.
    told: bool,
    /// Bytes since the source last had nothing to give.
    run: usize,
    /// The last run was long enough to begin the next one with a pipe.
    bulk: bool,
}

impl Flow {
    fn new(direction: Direction) -> Self {
        Self {
            direction,
            held: Held::Nothing,
            refused: None,
            stage: Stage::Open,
            failed: None,
            told: false,
            run: 0,
            bulk: false,
        }
    }

    fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Bytes that the sink was given and has not acknowledged.
    fn unacknowledged(&self, sink: &TcpStream) -> u64 {
        let held = socket::unacknowledged(sink.as_fd()) as u64;
        // The kernel counts the end of stream as one byte behind the others.
        held.saturating_sub(u64::from(self.told))
    }

    /// Moves bytes until the direction would block, has had its turns, or is over.
    ///
    /// `Ready` is given once: when the source's end of stream was handed on, or on a failure.
    fn poll(
        &mut self,
        hop: &mut Hop<'_>,
        pace: &mut impl Pace,
        cx: &mut Context<'_>,
        count: impl Fn(u64, u64),
    ) -> Poll<Result<(), Failure>> {
        if self.is_over() {
            return Poll::Pending;
        }
        for _ in 0..TURNS {
            if let Err(error) = ready!(self.flush(hop, pace, cx, &count)) {
                self.stage = Stage::Over;
                self.held = Held::Nothing;
                return Poll::Ready(Err(Failure::Write(error)));
            }
            if self.stage == Stage::Draining {
                self.stage = Stage::Over;
                if let Some(error) = self.failed.take() {
                    return Poll::Ready(Err(Failure::Read(error)));
                }
                // Fails when the sink is gone already, which its own direction will tell.
                let _gone = ready!(Pin::new(&mut *hop.sink).poll_shutdown(cx));
                self.told = true;
                return Poll::Ready(Ok(()));
            }
            let grant = ready!(pace.poll_grant(self.direction, cx));
            if let Err(error) = ready!(self.fill(hop, grant, cx, pace, &count)) {
                self.failed = Some(error);
                self.stage = Stage::Draining;
            }
        }
        // More may be ready: the other direction first, then this one again.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Hands what is held to the sink. Ready when nothing is held any more.
    fn flush(
        &mut self,
        hop: &mut Hop<'_>,
        pace: &mut impl Pace,
        cx: &mut Context<'_>,
        count: &impl Fn(u64, u64),
    ) -> Poll<io::Result<()>> {
        if let Some(error) = self.refused.take() {
            return Poll::Ready(Err(error));
        }
        loop {
            let (moved, packets) = match &mut self.held {
                Held::Nothing => return Poll::Ready(Ok(())),
                Held::Bytes { bytes, from, packets } => {
                    let rest = bytes.get(*from..).unwrap_or_default();
                    let moved = ready!(Pin::new(&mut *hop.sink).poll_write(cx, rest))?;
                    *from += moved;
                    let counted = std::mem::take(packets);
                    if *from >= bytes.len() {
                        self.held = Held::Nothing;
                    }
                    (moved, counted)
                }
                Held::Pipe { pipe, packets } => {
                    if pipe.filled == 0 {
                        return Poll::Ready(Ok(()));
                    }
                    let moved = ready!(drain(pipe, hop.sink, cx))?;
                    pipe.filled -= moved;
                    (moved, std::mem::take(packets))
                }
            };
            if moved == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            pace.spent(self.direction, moved);
            count(moved as u64, packets);
        }
    }

    /// Reads once; nothing is held when it is called. Pending when the source has nothing.
    fn fill(
        &mut self,
        hop: &mut Hop<'_>,
        grant: usize,
        cx: &mut Context<'_>,
        pace: &mut impl Pace,
        count: &impl Fn(u64, u64),
    ) -> Poll<io::Result<()>> {
        if self.bulk
            && matches!(self.held, Held::Nothing)
            && let Some(pipe) = hop.pipes.take()
        {
            self.held = Held::Pipe { pipe, packets: 0 };
        }
        let polled = match &mut self.held {
            Held::Pipe { pipe, packets } => fill_pipe(pipe, packets, hop.source, grant, cx),
            _ => self.copy(hop, grant, cx, pace, count),
        };
        match polled {
            Poll::Pending => {
                self.bulk = self.run >= BULK_BYTES;
                self.run = 0;
                self.held = Held::Nothing;
                Poll::Pending
            }
            Poll::Ready(Ok(0)) => {
                self.held = Held::Nothing;
                self.stage = Stage::Draining;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(moved)) => {
                self.run = self.run.saturating_add(moved);
                self.bulk |= self.run >= BULK_BYTES;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }

    /// Reads into the thread's buffer and writes at once; keeps what the sink did not take.
    fn copy(
        &mut self,
        hop: &mut Hop<'_>,
        grant: usize,
        cx: &mut Context<'_>,
        pace: &mut impl Pace,
        count: &impl Fn(u64, u64),
    ) -> Poll<io::Result<usize>> {
        with_buffer(|buffer| {
            let room = grant.min(buffer.len());
            let mut read = ReadBuf::new(&mut buffer[..room]);
            ready!(Pin::new(&mut *hop.source).poll_read(cx, &mut read))?;
            let filled = read.filled();
            if filled.is_empty() {
                return Poll::Ready(Ok(0));
            }
            let written = match Pin::new(&mut *hop.sink).poll_write(cx, filled) {
                Poll::Ready(Ok(written)) => written,
                // The flush that follows reports it for its side: the system tells it only once.
                Poll::Ready(Err(error)) => {
                    self.refused = Some(error);
                    0
                }
                Poll::Pending => 0,
            };
            if written > 0 {
                pace.spent(self.direction, written);
                count(written as u64, 1);
            }
            if let Some(rest @ [_, ..]) = filled.get(written..) {
                let packets = u64::from(written == 0);
                self.held = Held::Bytes { bytes: rest.into(), from: 0, packets };
            }
            Poll::Ready(Ok(filled.len()))
        })
    }
}

/// Splices once from a socket into an empty pipe.
///
/// The pipe is empty, so "would block" can only mean that the socket is: clearing its readiness
/// is right.
fn fill_pipe(
    pipe: &mut Lent,
    packets: &mut u64,
    source: &TcpStream,
    grant: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let room = grant.min(pipe.capacity);
    loop {
        ready!(source.poll_read_ready(cx))?;
        let spliced = source.try_io(Interest::READABLE, || {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            Ok(splice(source, None, &pipe.write, None, room, flags)?)
        });
        match spliced {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Poll::Ready(Err(error)),
            Ok(moved) => {
                pipe.filled = moved;
                *packets = 1;
                return Poll::Ready(Ok(moved));
            }
        }
    }
}

/// Splices once from a pipe that holds something to a socket.
fn drain(pipe: &Lent, sink: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    loop {
        ready!(sink.poll_write_ready(cx))?;
        let spliced = sink.try_io(Interest::WRITABLE, || {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            Ok(splice(&pipe.read, None, sink, None, pipe.filled, flags)?)
        });
        match spliced {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return Poll::Ready(done),
        }
    }
}
