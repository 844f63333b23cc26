//! A cursor over received bytes: what is not there yet is [`DecodeError::Incomplete`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::{Host, HostName, HostNameError, Target};
use crate::error::DecodeError;

pub(crate) struct Reader<'a> {
    input: &'a [u8],
    taken: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self { input, taken: 0 }
    }

    /// How many bytes were read.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.taken.checked_add(count).ok_or(DecodeError::Incomplete)?;
        let bytes = self.input.get(self.taken..end).ok_or(DecodeError::Incomplete)?;
        self.taken = end;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N)?.try_into().map_err(|_| DecodeError::Incomplete)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn port(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// A field with its length in the first byte.
    pub(crate) fn counted(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.byte()?;
        self.take(usize::from(length))
    }

    /// A field of at most 255 bytes that ends with a zero byte (SOCKS4).
    pub(crate) fn terminated(&mut self) -> Result<&'a [u8], DecodeError> {
        let rest = self.input.get(self.taken..).unwrap_or_default();
        match rest.iter().take(256).position(|&byte| byte == 0) {
            Some(length) => {
                let field = self.take(length)?;
                self.byte()?;
                Ok(field)
            }
            None if rest.len() > 255 => Err(DecodeError::TooLong),
            None => Err(DecodeError::Incomplete),
        }
    }

    /// Address type, address and port (RFC 1928 §4 and §5).
    pub(crate) fn target(&mut self) -> Result<Target, DecodeError> {
        let host = match self.byte()? {
            0x01 => Host::Ip(Ipv4Addr::from(self.array::<4>()?).into()),
            0x03 => {
                let name = self.counted()?;
                // The port first: a bad name is final only once the whole message is there.
                let port = self.port()?;
                return Ok(Target { host: host_from_name(name)?, port });
            }
            0x04 => Host::Ip(Ipv6Addr::from(self.array::<16>()?).into()),
            other => return Err(DecodeError::AddressType(other)),
        };
        Ok(Target { host, port: self.port()? })
    }
}

/// A host from the bytes of a name.
///
/// An address written as a name becomes an address, so that rules for addresses apply to it.
/// Spellings that only some resolvers take for an address ("127.1", "0x7f.1", "fe80::1%eth0")
/// stay names: whoever resolves them judges the addresses that come out.
pub(crate) fn host_from_name(name: &[u8]) -> Result<Host, DecodeError> {
    let text = std::str::from_utf8(name).map_err(|_| DecodeError::BadName)?;
    if let Some(ip) = literal(text) {
        return Ok(Host::Ip(ip));
    }
    HostName::new(text).map(Host::Name).map_err(|error| match error {
        HostNameError::Empty => DecodeError::EmptyName,
        HostNameError::TooLong => DecodeError::TooLong,
        HostNameError::NotAscii | HostNameError::Backslash => DecodeError::BadName,
    })
}

/// The address that a name spells, if it spells one; IPv6 also in brackets, as in a URL.
fn literal(name: &str) -> Option<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => name.parse().ok(),
    }
}
