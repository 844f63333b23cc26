//! The targets that clients ask for: threads of this process, listening on loopback. They count
//! and check for themselves, and do as little else as they can.

pub(crate) mod answer;
pub(crate) mod bulk;
pub(crate) mod echo;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::Timespec;
use socket2::{Domain, Socket, Type};

/// How often a waiting thread looks whether it should stop.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// The same, in the form that epoll wants.
pub(crate) const LOOK_TIMESPEC: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Threads that serve until this is dropped, which waits for them.
#[derive(Debug)]
struct Service {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Service {
    /// Runs each of `works` in a thread; each gets the flag that tells it to return.
    fn start(works: Vec<impl FnOnce(&AtomicBool) + Send + 'static>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = works
            .into_iter()
            .map(|work| {
                let stop = Arc::clone(&stop);
                thread::spawn(move || work(&stop))
            })
            .collect();
        Self { stop, threads }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic was printed by its thread; the missing counts fail the measurement.
            let _ = thread.join();
        }
    }
}

/// Listens with a queue long enough for every client to connect at once; never blocks.
fn listen(ip: Ipv4Addr) -> io::Result<(TcpListener, SocketAddrV4)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((ip, 0)).into())?;
    // Inherited by every accepted connection.
    socket.set_tcp_nodelay(true)?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from(socket);
    let port = listener.local_addr()?.port();
    Ok((listener, SocketAddrV4::new(ip, port)))
}
