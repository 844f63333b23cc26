//! Where a client wants to go: a host (address or name) and a port.
//!
//! Not a socket address: a name stays a name until somebody resolves it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// A destination name of 1 to 255 bytes, kept as the client wrote it.
///
/// Cheap to clone. Comparison is by bytes: case and a final dot are kept here, and disregarded
/// by the access rules when they match names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Arc<str>);

/// Why a text is no host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostNameError {
    /// The text is empty.
    #[error("a host name cannot be empty")]
    Empty,
    /// The text is longer than the 255 bytes that a request can carry (RFC 1928 §5).
    #[error("a host name has at most 255 bytes")]
    TooLong,
    /// A byte outside printable ASCII; internationalised names travel as punycode.
    #[error("a host name holds printable ASCII only")]
    NotAscii,
    /// A backslash, which resolvers take for an escape (RFC 1035 §5.1): `ex\ample.com` would be
    /// judged as one name and resolved as another.
    #[error("a host name holds no backslash")]
    Backslash,
}

impl HostName {
    /// Checks a name: 1 to 255 bytes of printable ASCII without spaces and backslashes.
    ///
    /// # Errors
    /// [`HostNameError`] names what is wrong.
    pub fn new(name: &str) -> Result<Self, HostNameError> {
        if name.is_empty() {
            return Err(HostNameError::Empty);
        }
        if name.len() > 255 {
            return Err(HostNameError::TooLong);
        }
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(HostNameError::NotAscii);
        }
        if name.contains('\\') {
            return Err(HostNameError::Backslash);
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The host part of a destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
    /// A name still to be resolved.
    Name(HostName),
}

impl Host {
    /// Whether it stands for any address, as zeros in a request do (RFC 1928 §4, §7).
    pub fn is_any(&self) -> bool {
        matches!(self, Self::Ip(ip) if ip.to_canonical().is_unspecified())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// A host and a port, as a client asks for them.
///
/// Displays as `host:port`, with IPv6 addresses in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The host.
    pub host: Host,
    /// The port, 0 to 65535.
    pub port: u16,
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self { host: Host::Ip(address.ip()), port: address.port() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// The address that a connection to this one reaches: IPv4 in IPv6 clothing is IPv4, and "any" is
/// this machine, for so Linux takes it.
pub fn reached(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, port: u16) -> Target {
        let host = match host.parse() {
            Ok(ip) => Host::Ip(ip),
            Err(_) => Host::Name(HostName::new(host).expect("a name")),
        };
        Target { host, port }
    }

    #[test]
    fn any_address_and_mapped_ones_are_what_a_connection_to_them_reaches() {
        for (asked, real) in [
            ("0.0.0.0", "127.0.0.1"),
            ("::", "::1"),
            ("::ffff:0.0.0.0", "127.0.0.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.1", "192.0.2.1"),
            ("0.0.0.1", "0.0.0.1"),
        ] {
            assert_eq!(reached(asked.parse().unwrap()).to_string(), real, "{asked}");
        }
    }

    #[test]
    fn a_backslash_is_in_no_name() {
        assert_eq!(HostName::new("ex\\ample.com"), Err(HostNameError::Backslash));
    }

    #[test]
    fn targets_are_shown_as_host_and_port_with_ipv6_in_brackets() {
        assert_eq!(target("192.0.2.1", 80).to_string(), "192.0.2.1:80");
        assert_eq!(target("2001:db8::1", 443).to_string(), "[2001:db8::1]:443");
        assert_eq!(target("Example.com.", 0).to_string(), "Example.com.:0");
    }

    #[test]
    fn names_hold_1_to_255_bytes_of_printable_ascii() {
        assert_eq!(HostName::new(""), Err(HostNameError::Empty));
        assert_eq!(HostName::new(&"n".repeat(256)), Err(HostNameError::TooLong));
        assert_eq!(HostName::new(&"n".repeat(255)).unwrap().as_str().len(), 255);
        for bad in ["a b", "a\0", "a\n", "\u{7f}", "bücher.example"] {
            assert_eq!(HostName::new(bad), Err(HostNameError::NotAscii), "{bad:?}");
        }
        assert_eq!(HostName::new("xn--bcher-kva.example").unwrap().to_string().len(), 21);
    }
}
