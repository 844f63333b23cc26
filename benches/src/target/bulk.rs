//! Streams of bytes, as fast as they go, in either direction. The same two loops serve both
//! ends: one pours the pattern, the other drains and checks it, and both count by lane.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

use anyhow::bail;

use crate::pattern::Pattern;
use crate::target::{LOOK, Service, listen};
use crate::way::PATIENCE;

/// What one read or write moves: large enough that calls do not dominate, and common.
const CHUNK_BYTES: usize = 128 * 1024;

/// Every so many reads are compared with the pattern; all are counted.
const CHECK_EVERY: u64 = 16;

/// Which way the bytes flow, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flow {
    /// Target to client.
    Down,
    /// Client to target.
    Up,
}

/// What one stream has moved.
#[derive(Debug, Default)]
struct Lane {
    sent: AtomicU64,
    received: AtomicU64,
}

/// The streams of one measurement, known to both ends.
#[derive(Debug)]
pub(crate) struct Lanes {
    pattern: Pattern,
    lanes: Vec<Lane>,
    mismatches: AtomicU64,
    stop: AtomicBool,
}

impl Lanes {
    pub(crate) fn new(streams: usize) -> Self {
        Self {
            pattern: Pattern::new(CHUNK_BYTES),
            lanes: std::iter::repeat_with(Lane::default).take(streams).collect(),
            mismatches: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        }
    }

    /// Bytes that have arrived on all streams.
    pub(crate) fn received(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.received.load(Relaxed)).sum()
    }

    /// Whether something has arrived on every stream.
    pub(crate) fn all_flow(&self) -> bool {
        self.lanes.iter().all(|lane| lane.received.load(Relaxed) > 0)
    }

    /// Ends every stream in order: the senders stop, the receivers read what is under way.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    /// Compares both ends, once both have finished.
    ///
    /// # Errors
    /// When bytes are missing, were added or differ.
    pub(crate) fn verify(&self) -> anyhow::Result<()> {
        for (index, lane) in self.lanes.iter().enumerate() {
            let (sent, received) = (lane.sent.load(Relaxed), lane.received.load(Relaxed));
            if sent != received {
                bail!("stream {index}: {sent} bytes were sent, {received} arrived");
            }
        }
        match self.mismatches.load(Relaxed) {
            0 => Ok(()),
            wrong => bail!("{wrong} pieces arrived that differ from what was sent"),
        }
    }

    fn pour(&self, mut stream: &TcpStream, lane: &Lane) -> io::Result<()> {
        let mut offset = 0;
        while !self.stop.load(Relaxed) {
            let count = stream.write(self.pattern.at(offset, CHUNK_BYTES))? as u64;
            offset += count;
            lane.sent.fetch_add(count, Relaxed);
        }
        stream.shutdown(Shutdown::Write)
    }

    fn drain(&self, mut stream: &TcpStream, lane: &Lane) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        let mut reads = 0;
        loop {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            if reads % CHECK_EVERY == 0 && buffer[..count] != *self.pattern.at(offset, count) {
                self.mismatches.fetch_add(1, Relaxed);
            }
            reads += 1;
            offset += count as u64;
            lane.received.fetch_add(count as u64, Relaxed);
        }
    }

    /// The client's end: says what it wants, then pours or drains until the end.
    ///
    /// # Errors
    /// When the connection breaks or stands still for too long.
    pub(crate) fn client(&self, mut stream: TcpStream, index: usize, flow: Flow) -> io::Result<()> {
        let direction = if flow == Flow::Up { b'U' } else { b'D' };
        // There are sixteen streams at most.
        stream.write_all(&[direction, index as u8])?;
        let lane = &self.lanes[index];
        match flow {
            Flow::Down => self.drain(&stream, lane),
            Flow::Up => {
                self.pour(&stream, lane)?;
                // Not closed before the target has read it all. A proxy may have cut our half
                // by now, so an error here says nothing.
                let _ = stream.read(&mut [0]);
                Ok(())
            }
        }
    }

    fn target(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut wish = [0; 2];
        stream.read_exact(&mut wish)?;
        let Some(lane) = self.lanes.get(usize::from(wish[1])) else { return Ok(()) };
        if wish[0] == b'U' { self.drain(&stream, lane) } else { self.pour(&stream, lane) }
    }
}

/// Takes connections and serves each in a thread of its own.
#[derive(Debug)]
pub(crate) struct BulkTarget {
    address: SocketAddrV4,
    // Dropping it waits for every stream's end.
    _service: Service,
}

impl BulkTarget {
    /// # Errors
    /// When no address can be listened on.
    pub(crate) fn start(lanes: Arc<Lanes>) -> io::Result<Self> {
        let (listener, address) = listen(Ipv4Addr::LOCALHOST)?;
        let service =
            Service::start(vec![move |stop: &AtomicBool| accept(&listener, &lanes, stop)]);
        Ok(Self { address, _service: service })
    }

    pub(crate) fn address(&self) -> SocketAddrV4 {
        self.address
    }
}

fn accept(listener: &TcpListener, lanes: &Lanes, stop: &AtomicBool) {
    thread::scope(|streams| {
        while !stop.load(Relaxed) {
            match listener.accept() {
                // An error ends the stream early, which the comparison of both ends shows.
                Ok((stream, _)) => drop(streams.spawn(|| lanes.target(stream))),
                Err(_) => thread::sleep(LOOK / 4),
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    /// Carries one download through `carry`, which gets each piece of it and its offset.
    fn download(carry: impl Fn(u64, &mut Vec<u8>) + Sync) -> anyhow::Result<()> {
        let lanes = Arc::new(Lanes::new(1));
        let target = BulkTarget::start(Arc::clone(&lanes)).unwrap();
        let middle = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = middle.local_addr().unwrap();
        thread::scope(|scope| {
            let client = scope.spawn(|| lanes.client(TcpStream::connect(address)?, 0, Flow::Down));
            let (mut client_side, _) = middle.accept().unwrap();
            let mut target_side = TcpStream::connect(target.address()).unwrap();
            let mut wish = [0; 2];
            client_side.read_exact(&mut wish).unwrap();
            target_side.write_all(&wish).unwrap();
            let mut offset = 0;
            let mut buffer = vec![0; 50_000];
            loop {
                let count = target_side.read(&mut buffer).unwrap();
                if count == 0 {
                    break;
                }
                let mut piece = buffer[..count].to_vec();
                carry(offset, &mut piece);
                client_side.write_all(&piece).unwrap();
                offset += count as u64;
                if lanes.lanes[0].sent.load(Relaxed) > 4_000_000 {
                    lanes.stop();
                }
            }
            client_side.shutdown(Shutdown::Write).unwrap();
            client.join().unwrap().unwrap();
        });
        drop(target);
        assert!(lanes.received() > 1_000_000);
        lanes.verify()
    }

    #[test]
    fn a_faithful_carrier_passes() {
        download(|_, _| {}).unwrap();
    }

    #[test]
    fn a_lost_byte_is_noticed() {
        let error =
            download(|offset, piece| piece.truncate(piece.len() - usize::from(offset == 0)))
                .unwrap_err();
        assert!(error.to_string().contains("arrived"), "{error}");
    }

    #[test]
    fn altered_bytes_are_noticed() {
        let error = download(|_, piece| piece.iter_mut().for_each(|byte| *byte ^= 1)).unwrap_err();
        assert!(error.to_string().contains("differ"), "{error}");
    }
}
