//! A way to a server that a test can cut, and lead to another server.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A listening socket that leads to a server. It ends with the test's process.
pub(super) struct Bridge {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    /// Where it leads; nowhere while it is cut.
    server: Option<SocketAddr>,
    streams: Vec<TcpStream>,
}

impl Bridge {
    pub(super) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { server: Some(server), streams: Vec::new() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut state = shared.lock().unwrap();
                let Some(server) = state.server else { continue };
                let Ok(server) = TcpStream::connect(server) else { continue };
                state.streams.extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                carry(client.try_clone().unwrap(), server.try_clone().unwrap());
                carry(server, client);
            }
        });
        Self { address, state }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection, and takes no other.
    pub(super) fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.server = None;
        for stream in state.streams.drain(..) {
            // It may have ended already.
            let _ended = stream.shutdown(Shutdown::Both);
        }
    }

    /// Leads to a server again.
    pub(super) fn lead_to(&self, server: SocketAddr) {
        self.state.lock().unwrap().server = Some(server);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let mut piece = [0; 16 << 10];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            if to.write_all(&piece[..length]).is_err() {
                break;
            }
        }
        // The other side may be gone already.
        let _ended = to.shutdown(Shutdown::Write);
    });
}
