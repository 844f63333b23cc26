//! A target that answers requests of a fixed size, for many connections on few threads. The
//! answer repeats the request, so that the client can tell that it is its own.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::net::{SocketFlags, accept_with};
use socket2::SockRef;

use crate::source;
use crate::target::{LOOK_TIMESPEC, Service, listen};

/// The size of a request.
pub(crate) const REQUEST_BYTES: usize = 64;

/// Threads of a target: one would be the bound of the fastest peers.
const THREADS: usize = 2;

/// Listeners have tokens from here on; a connection's token is its descriptor.
const LISTENER_TOKEN: u64 = 1 << 32;

/// Answers on several loopback addresses until dropped.
#[derive(Debug)]
pub(crate) struct AnswerTarget {
    addresses: Vec<SocketAddrV4>,
    _service: Service,
}

impl AnswerTarget {
    /// Answers each request of 64 bytes with `answer_bytes`, a multiple of that.
    ///
    /// # Errors
    /// When no address can be listened on.
    pub(crate) fn start(answer_bytes: usize) -> io::Result<Self> {
        let mut shares: Vec<Vec<TcpListener>> = (0..THREADS).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        for index in 0..usize::from(source::TARGETS) {
            let (listener, address) = listen(source::target(index))?;
            shares[index % THREADS].push(listener);
            addresses.push(address);
        }
        let mut loops = Vec::new();
        for listeners in shares {
            let mut answers = Loop::new(listeners, answer_bytes)?;
            loops.push(move |stop: &AtomicBool| answers.run(stop));
        }
        Ok(Self { addresses, _service: Service::start(loops) })
    }

    pub(crate) fn addresses(&self) -> &[SocketAddrV4] {
        &self.addresses
    }

    /// The address for the `index`-th client: they are dealt out in turn.
    pub(crate) fn address(&self, index: usize) -> SocketAddrV4 {
        self.addresses[index % self.addresses.len()]
    }
}

struct Connection {
    stream: TcpStream,
    /// The part of a request that has arrived.
    request: [u8; REQUEST_BYTES],
    filled: usize,
}

struct Loop {
    epoll: OwnedFd,
    listeners: Vec<TcpListener>,
    /// By descriptor: small numbers that the kernel gives out again.
    connections: Vec<Option<Connection>>,
    answer: Vec<u8>,
}

impl Loop {
    fn new(listeners: Vec<TcpListener>, answer_bytes: usize) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, listener) in listeners.iter().enumerate() {
            let token = epoll::EventData::new_u64(LISTENER_TOKEN + index as u64);
            epoll::add(&epoll, listener, token, epoll::EventFlags::IN)?;
        }
        Ok(Self { epoll, listeners, connections: Vec::new(), answer: vec![0; answer_bytes] })
    }

    fn run(&mut self, stop: &AtomicBool) {
        let mut events = Vec::with_capacity(256);
        while !stop.load(Relaxed) {
            events.clear();
            // An interrupted wait is no reason to stop; anything worse would come back at once.
            let _ = epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&LOOK_TIMESPEC));
            for event in &events {
                match event.data.u64() {
                    token if token >= LISTENER_TOKEN => {
                        self.accept((token - LISTENER_TOKEN) as usize)
                    }
                    descriptor => self.serve(descriptor as usize),
                }
            }
        }
    }

    fn accept(&mut self, listener: usize) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        match accept_with(&self.listeners[listener], flags) {
            Ok(accepted) => {
                let stream = TcpStream::from(accepted);
                // Descriptors are never negative.
                let index = stream.as_raw_fd() as usize;
                let token = epoll::EventData::new_u64(index as u64);
                if epoll::add(&self.epoll, &stream, token, epoll::EventFlags::IN).is_err() {
                    return;
                }
                if self.connections.len() <= index {
                    self.connections.resize_with(index + 1, || None);
                }
                self.connections[index] =
                    Some(Connection { stream, request: [0; REQUEST_BYTES], filled: 0 });
            }
            Err(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(_) => {}
        }
    }

    fn serve(&mut self, index: usize) {
        let Some(slot) = self.connections.get_mut(index) else { return };
        let Some(connection) = slot else { return };
        if connection.answer(&mut self.answer).is_err() {
            // A reset instead of a FIN: no end of the connection is left in TIME_WAIT, which
            // would keep its port.
            let _ = SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO));
            *slot = None;
        }
    }
}

impl Connection {
    /// Reads once and answers the requests that are complete; an error means that it is over.
    fn answer(&mut self, answer: &mut [u8]) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let count = match self.stream.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut arrived = &buffer[..count];
        while !arrived.is_empty() {
            let taken = arrived.len().min(REQUEST_BYTES - self.filled);
            self.request[self.filled..self.filled + taken].copy_from_slice(&arrived[..taken]);
            self.filled += taken;
            arrived = &arrived[taken..];
            if self.filled == REQUEST_BYTES {
                self.filled = 0;
                for part in answer.chunks_mut(REQUEST_BYTES) {
                    part.copy_from_slice(&self.request[..part.len()]);
                }
                // Clients wait for their answer, so it always fits into the socket's buffer.
                self.stream.write_all(answer)?;
            }
        }
        Ok(())
    }
}
