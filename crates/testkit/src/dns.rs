//! A DNS server that knows what a test told it, and that nothing else exists (RFC 1035 §4).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// A DNS server on a free loopback port. Serves until the test ends.
#[derive(Clone, Debug)]
pub struct FakeDns {
    address: SocketAddr,
    names: Arc<Mutex<HashMap<String, Vec<IpAddr>>>>,
    queries: Arc<AtomicUsize>,
}

impl FakeDns {
    /// Starts a server that knows these names.
    pub fn start(names: &[(&str, &[&str])]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let server = Self { address, names: Arc::default(), queries: Arc::default() };
        for (name, addresses) in names {
            server.set(name, addresses);
        }
        let serving = server.clone();
        std::thread::spawn(move || serving.serve(&socket));
        server
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often it was asked.
    pub fn queries(&self) -> usize {
        self.queries.load(Relaxed)
    }

    /// The configuration that makes a proxy use it.
    pub fn config(&self) -> String {
        format!("[dns]\nservers = [\"{}\"]\n", self.address)
    }

    /// Gives a name new addresses.
    pub fn set(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.names.lock().unwrap().insert(name.to_ascii_lowercase(), addresses);
    }

    fn serve(&self, socket: &UdpSocket) {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            if let Some(answer) = self.answer(&query[..length]) {
                self.queries.fetch_add(1, Relaxed);
                // A client that has gone needs no answer.
                let _gone = socket.send_to(&answer, from);
            }
        }
    }

    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let (mut name, mut end) = (Vec::new(), 12);
        loop {
            let length = usize::from(*query.get(end)?);
            end += 1;
            if length == 0 {
                break;
            }
            name.push(String::from_utf8_lossy(query.get(end..end + length)?).to_ascii_lowercase());
            end += length;
        }
        let kind = u16::from_be_bytes(query.get(end..end + 2)?.try_into().ok()?);
        let known = self.names.lock().unwrap().get(&name.join(".")).cloned();
        let wanted = |ip: &&IpAddr| if ip.is_ipv4() { kind == 1 } else { kind == 28 };
        let found: Vec<IpAddr> = known.iter().flatten().filter(wanted).copied().collect();
        // Response, recursion available; NXDOMAIN for a name nobody set.
        let code = if known.is_some() { 0x80 } else { 0x83 };
        let mut answer = query.get(..2)?.to_vec();
        answer.extend([0x81, code, 0, 1, 0, u8::try_from(found.len()).ok()?, 0, 0, 0, 0]);
        answer.extend(query.get(12..end + 4)?);
        for ip in found {
            let (kind, octets) = match ip {
                IpAddr::V4(ip) => (1, ip.octets().to_vec()),
                IpAddr::V6(ip) => (28, ip.octets().to_vec()),
            };
            // A pointer to the name in the question; class IN; a time to live of one second.
            answer.extend([0xC0, 12, 0, kind, 0, 1, 0, 0, 0, 1, 0]);
            answer.push(u8::try_from(octets.len()).ok()?);
            answer.extend(octets);
        }
        Some(answer)
    }
}
