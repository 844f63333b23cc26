//! The way from a client to its target: straight, through a relay that has one target, or
//! through a SOCKS5 proxy. A client for measuring, not a general one: it blocks, it gives up
//! after a few seconds, and it speaks without authentication.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// Nothing on loopback takes this long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

const VERSION: u8 = 0x05;
const CONNECT: u8 = 0x01;
const UDP_ASSOCIATE: u8 = 0x03;
const IPV4: u8 = 0x01;
const NAME: u8 = 0x03;
const IPV6: u8 = 0x04;

/// How a client reaches a target.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// No proxy.
    Straight,
    /// A relay that knows where everything goes.
    Fixed(SocketAddrV4),
    /// A SOCKS5 proxy.
    Socks(SocketAddrV4),
}

impl Way {
    /// Opens a connection to `target`, from the address `from`.
    ///
    /// # Errors
    /// Whatever the network says, or `InvalidData` when the proxy refuses.
    pub(crate) fn connect(self, from: Ipv4Addr, target: SocketAddrV4) -> io::Result<TcpStream> {
        match self {
            Self::Straight => dial(from, target),
            Self::Fixed(relay) => dial(from, relay),
            Self::Socks(proxy) => {
                let mut stream = dial(from, proxy)?;
                request(&mut stream, CONNECT, target)?;
                Ok(stream)
            }
        }
    }
}

/// Asks `proxy` for a UDP association.
///
/// Returns the connection that keeps it alive and where datagrams go.
///
/// # Errors
/// Whatever the network says, or `InvalidData` when the proxy refuses.
pub(crate) fn associate(proxy: SocketAddrV4) -> io::Result<(TcpStream, SocketAddrV4)> {
    let mut stream = dial(Ipv4Addr::LOCALHOST, proxy)?;
    let unknown = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
    let mut relay = request(&mut stream, UDP_ASSOCIATE, unknown)?;
    if relay.ip().is_unspecified() {
        relay.set_ip(*proxy.ip());
    }
    Ok((stream, relay))
}

/// The header in front of every datagram to `target` (RFC 1928 §7).
pub(crate) fn datagram_header(target: SocketAddrV4) -> Vec<u8> {
    let mut header = vec![0, 0, 0, IPV4];
    header.extend_from_slice(&target.ip().octets());
    header.extend_from_slice(&target.port().to_be_bytes());
    header
}

/// How long the header of a datagram from the proxy is; `None` when it has none that is whole.
pub(crate) fn datagram_header_length(datagram: &[u8]) -> Option<usize> {
    let length = match *datagram {
        [0, 0, 0, IPV4, ..] => 10,
        [0, 0, 0, IPV6, ..] => 22,
        [0, 0, 0, NAME, length, ..] => 7 + usize::from(length),
        _ => return None,
    };
    (datagram.len() >= length).then_some(length)
}

fn dial(from: Ipv4Addr, to: SocketAddrV4) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    if !from.is_unspecified() {
        socket.bind(&SocketAddr::from((from, 0)).into())?;
    }
    // The send limit bounds connect as well, without the extra calls of connect_timeout.
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_tcp_nodelay(true)?;
    socket.connect(&SocketAddr::from(to).into())?;
    Ok(socket.into())
}

/// Greeting and request (RFC 1928 §3, §4), each answered before the next is sent.
fn request(
    stream: &mut (impl Read + Write),
    command: u8,
    target: SocketAddrV4,
) -> io::Result<SocketAddrV4> {
    stream.write_all(&[VERSION, 1, 0])?;
    let mut choice = [0; 2];
    stream.read_exact(&mut choice)?;
    if choice != [VERSION, 0] {
        return Err(refused(format!("the proxy chose method {choice:02x?}")));
    }
    let mut request = [VERSION, command, 0, IPV4, 0, 0, 0, 0, 0, 0];
    request[4..8].copy_from_slice(&target.ip().octets());
    request[8..].copy_from_slice(&target.port().to_be_bytes());
    stream.write_all(&request)?;

    // Ten bytes are the shortest reply there is from a proxy on IPv4.
    let mut reply = [0; 10];
    stream.read_exact(&mut reply)?;
    match reply {
        [VERSION, 0, _, IPV4, a, b, c, d, high, low] => {
            Ok(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])))
        }
        [VERSION, 0, _, IPV6, ..] => {
            let mut rest = [0; 12];
            stream.read_exact(&mut rest)?;
            let port = u16::from_be_bytes([rest[10], rest[11]]);
            Ok(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))
        }
        [VERSION, 0, ..] => Err(refused("the reply has an address type no proxy here uses".into())),
        [_, code, ..] => Err(refused(format!("the proxy answered with code {code:#04x}"))),
    }
}

fn refused(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Script {
        answers: io::Cursor<Vec<u8>>,
        said: Vec<u8>,
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.answers.read(buffer)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.said.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn ask(answers: &[u8]) -> (io::Result<SocketAddrV4>, Vec<u8>) {
        let mut script = Script { answers: io::Cursor::new(answers.to_vec()), said: Vec::new() };
        let target = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 3), 0x1234);
        let result = request(&mut script, CONNECT, target);
        (result, script.said)
    }

    #[test]
    fn a_granted_request_gives_the_bound_address() {
        let (result, said) = ask(&[5, 0, 5, 0, 0, 1, 127, 0, 0, 1, 0x1f, 0x90]);
        assert_eq!(result.unwrap(), SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080));
        assert_eq!(said, [5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 3, 0x12, 0x34]);
    }

    #[test]
    fn a_refusal_names_its_code() {
        let (result, _) = ask(&[5, 0, 5, 2, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert!(result.unwrap_err().to_string().contains("0x02"));
        let (result, _) = ask(&[5, 0xff]);
        assert!(result.unwrap_err().to_string().contains("method"));
    }

    #[test]
    fn a_datagram_header_is_measured_by_its_address_type() {
        let header = datagram_header(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 53));
        assert_eq!(datagram_header_length(&header), Some(10));
        assert_eq!(datagram_header_length(&header[..9]), None);
        assert_eq!(datagram_header_length(&[0, 0, 0, 3, 1, b'x', 0, 53]), Some(8));
        assert_eq!(datagram_header_length(&[0, 0, 1, 1, 0, 0, 0, 0, 0, 0]), None);
    }
}
