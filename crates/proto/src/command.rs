//! What a client asks the proxy to do, and over which transport the bytes then go.

/// The command of a request (RFC 1928 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Open a TCP connection to the target.
    Connect,
    /// Accept one TCP connection from the target.
    Bind,
    /// Relay datagrams for as long as the TCP connection lives.
    UdpAssociate,
}

impl Command {
    /// The command's name as it is stored and shown: `connect`, `bind`, `udp_associate`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Bind => "bind",
            Self::UdpAssociate => "udp_associate",
        }
    }

    /// The transport of the relayed bytes.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Connect | Self::Bind => Protocol::Tcp,
            Self::UdpAssociate => Protocol::Udp,
        }
    }
}

/// The transport that carries a session's bytes to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// The protocol's name as it is stored and shown: `tcp` or `udp`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}
