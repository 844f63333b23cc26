//! Where a request came from: the connection's peer, or whom a trusted proxy names.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use ipnet::IpNet;

use crate::Api;

/// The address at the other end of the connection; part of each request that came over one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The address whose failures count together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source(pub(crate) IpAddr);

impl Source {
    /// The source of a request. `X-Forwarded-For` is believed from a trusted proxy alone, and of
    /// it the last entry that is no trusted proxy itself: whatever stands before was written by
    /// whoever is there.
    pub(crate) fn of(parts: &Parts, trusted: &[IpNet]) -> Self {
        // A request that came over no connection was made by a test.
        let nowhere = Peer(Ipv4Addr::UNSPECIFIED.into());
        let Peer(peer) = parts.extensions.get().copied().unwrap_or(nowhere);
        let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
        let mut source = peer.to_canonical();
        let forwarded = parts.headers.get_all("x-forwarded-for").iter().rev();
        let entries = forwarded.filter_map(|value| value.to_str().ok());
        for entry in entries.flat_map(|value| value.rsplit(',')) {
            if !is_trusted(&source) {
                break;
            }
            let Ok(address) = entry.trim().parse::<IpAddr>() else { break };
            source = address.to_canonical();
        }
        Self(source)
    }
}

impl FromRequestParts<Api> for Source {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Infallible> {
        Ok(Self::of(parts, &api.options.trusted_proxies))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(peer: &str, trusted: &[&str], forwarded: &[&str]) -> String {
        let mut request = axum::http::Request::new(());
        request.extensions_mut().insert(Peer(peer.parse().unwrap()));
        for value in forwarded {
            request.headers_mut().append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        Source::of(&request.into_parts().0, &trusted).0.to_string()
    }

    #[test]
    fn only_a_trusted_proxy_may_name_another_source() {
        let proxy = &["127.0.0.0/8", "10.0.0.1/32"][..];
        for (peer, trusted, forwarded, expected) in [
            ("192.0.2.1", proxy, &["198.51.100.7"][..], "192.0.2.1"),
            ("127.0.0.1", &[], &["198.51.100.7"], "127.0.0.1"),
            ("127.0.0.1", proxy, &["198.51.100.7"], "198.51.100.7"),
            ("::ffff:127.0.0.1", proxy, &["198.51.100.7"], "198.51.100.7"),
            ("127.0.0.1", proxy, &["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            ("127.0.0.1", proxy, &["203.0.113.9", "198.51.100.7, 10.0.0.1"], "198.51.100.7"),
            ("127.0.0.1", proxy, &["203.0.113.9, unknown"], "127.0.0.1"),
            ("127.0.0.1", proxy, &[], "127.0.0.1"),
        ] {
            assert_eq!(source(peer, trusted, forwarded), expected, "{peer} {forwarded:?}");
        }
    }
}
