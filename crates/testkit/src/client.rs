//! A SOCKS client that keeps the bytes in its own hands.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use rustsocks_proto::client::{
    decode_auth_status, decode_method, decode_reply, decode_socks4_reply, encode_credentials,
    encode_greeting, encode_request, encode_socks4_request,
};
use rustsocks_proto::{
    AuthStatus, Command, Credentials, DecodeError, Method, Reply, Socks4Reply, Target,
};

use crate::PATIENCE;

/// How a request was answered.
#[derive(Debug)]
pub enum Outcome {
    /// Granted; the server's side of it is this address.
    Granted(Client, Target),
    /// Refused with this code.
    Refused(Reply),
    /// The connection ended without an answer.
    Closed,
}

impl Outcome {
    /// The client behind a granted request.
    ///
    /// # Panics
    /// When it was not granted.
    pub fn granted(self) -> Client {
        match self {
            Self::Granted(client, _) => client,
            other => panic!("not granted: {other:?}"),
        }
    }

    /// The code of a refusal.
    ///
    /// # Panics
    /// When it was granted or not answered.
    pub fn refused(self) -> Reply {
        match self {
            Self::Refused(reply) => reply,
            other => panic!("not refused: {other:?}"),
        }
    }
}

/// A connection to a proxy.
#[derive(Debug)]
pub struct Client {
    /// The connection.
    pub stream: TcpStream,
}

impl Client {
    /// Connects, and says nothing yet.
    pub fn connect(proxy: SocketAddr) -> Self {
        Self::try_connect(proxy).unwrap()
    }

    /// Connects to a proxy that may be gone.
    pub fn try_connect(proxy: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(proxy).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Some(Self { stream })
    }

    /// Where the proxy sees this client.
    pub fn source(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Negotiates without authentication; whether the proxy agrees.
    pub fn greet(&mut self) -> bool {
        self.offer(&[Method::None]) == Some(Method::None)
    }

    /// Offers methods; the one that was chosen.
    pub fn offer(&mut self, methods: &[Method]) -> Option<Method> {
        let mut greeting = Vec::new();
        encode_greeting(methods, &mut greeting);
        self.send(&greeting);
        self.message(decode_method)
    }

    /// Logs in; none when the connection ended instead of an answer.
    pub fn log_in(&mut self, username: &str, password: &str) -> Option<AuthStatus> {
        if self.offer(&[Method::UserPass])? != Method::UserPass {
            return None;
        }
        let mut message = Vec::new();
        let credentials =
            Credentials { username: username.as_bytes(), password: password.as_bytes() };
        encode_credentials(credentials, &mut message);
        self.send(&message);
        self.message(decode_auth_status)
    }

    /// Asks, after negotiating.
    pub fn ask(mut self, command: Command, target: &Target) -> Outcome {
        let mut request = Vec::new();
        encode_request(command, target, &mut request);
        self.send(&request);
        self.reply()
    }

    /// Reads one reply.
    pub fn reply(mut self) -> Outcome {
        let decode =
            |bytes: &[u8]| decode_reply(bytes).map(|(reply, bound, taken)| ((reply, bound), taken));
        match self.message(decode) {
            Some((Reply::Succeeded, bound)) => Outcome::Granted(self, bound),
            Some((reply, _)) => Outcome::Refused(reply),
            None => Outcome::Closed,
        }
    }

    /// Connects through SOCKS5 without authentication.
    pub fn socks5(proxy: SocketAddr, command: Command, target: &Target) -> Outcome {
        let mut client = Self::connect(proxy);
        assert!(client.greet());
        client.ask(command, target)
    }

    /// Connects through SOCKS4, or 4a where the target is a name.
    pub fn socks4(proxy: SocketAddr, target: &Target) -> Option<Self> {
        let mut client = Self::connect(proxy);
        let mut request = Vec::new();
        encode_socks4_request(Command::Connect, target, b"me", &mut request).unwrap();
        client.send(&request);
        (client.message(decode_socks4_reply)? == Socks4Reply::Granted).then_some(client)
    }

    /// Reads one message, and not a byte more; none when the connection ends first.
    pub fn message<T>(
        &mut self,
        decode: impl Fn(&[u8]) -> Result<(T, usize), DecodeError>,
    ) -> Option<T> {
        let mut bytes = Vec::new();
        loop {
            match decode(&bytes) {
                Ok((message, _)) => return Some(message),
                Err(DecodeError::Incomplete) => {}
                Err(error) => panic!("{error}: {bytes:?}"),
            }
            let mut byte = [0];
            match self.stream.read(&mut byte) {
                Ok(1) => bytes.push(byte[0]),
                _ => return None,
            }
        }
    }
}

/// A target by address.
pub fn at(address: SocketAddr) -> Target {
    address.into()
}

/// A target by name.
pub fn named(name: &str, port: u16) -> Target {
    let name = rustsocks_proto::HostName::new(name).unwrap();
    Target { host: rustsocks_proto::Host::Name(name), port }
}
