//! Who may ask: no page of another origin, and nobody under a foreign host name.
//!
//! A browser on this machine can be made to send requests here by any page, and a name that
//! an attacker controls can be pointed at 127.0.0.1. Both show in headers that a page cannot
//! forge.
//!
//! Where a login is needed, any host name is served: a page under a name of its own has no login
//! there, since a browser keeps cookies and passwords per name.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// Under which host names requests are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hosts {
    /// Those of this machine's loopback.
    Loopback,
    /// Any.
    Any,
}

/// Refuses requests under a foreign host name, and changes asked for by foreign pages.
pub(crate) async fn guard(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    match check(hosts, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(hosts: Hosts, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let forbidden = |detail: &str| Err(Problem::new(StatusCode::FORBIDDEN, detail));
    let host = text(header::HOST).unwrap_or_default();
    if hosts == Hosts::Loopback && !is_loopback(host) {
        return forbidden("Host: only names of this machine's loopback are served");
    }
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if site.is_some_and(|site| site != "same-origin" && site != "none") {
        return forbidden("Sec-Fetch-Site: a page of another origin may change nothing");
    }
    let same = |origin: &str| origin.split_once("://").is_some_and(|(_, rest)| rest == host);
    if text(header::ORIGIN).is_some_and(|origin| !same(origin))
        || headers.contains_key(header::ORIGIN) && text(header::ORIGIN).is_none()
    {
        return forbidden("Origin: a page of another origin may change nothing");
    }
    Ok(())
}

/// Whether a `Host` header names the loopback.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_loopback_names_are_served() {
        for host in ["localhost", "localhost:9090", "127.0.0.1:9090", "[::1]:9090", "127.8.9.1"] {
            assert!(
                check(Hosts::Loopback, &Method::GET, &headers(&[("host", host)])).is_ok(),
                "{host}"
            );
        }
        for host in ["", "evil.example", "evil.example:9090", "127.0.0.1.evil.example", "[::2]"] {
            assert!(
                check(Hosts::Loopback, &Method::GET, &headers(&[("host", host)])).is_err(),
                "{host}"
            );
        }
    }

    #[test]
    fn a_page_of_another_origin_may_read_nothing_it_can_use_and_change_nothing() {
        let host = ("host", "127.0.0.1:9090");
        let post = |pairs: &[(&'static str, &str)]| {
            check(Hosts::Loopback, &Method::POST, &headers(pairs)).is_ok()
        };
        assert!(post(&[host]));
        assert!(post(&[host, ("origin", "http://127.0.0.1:9090")]));
        assert!(!post(&[host, ("origin", "http://evil.example")]));
        assert!(!post(&[host, ("origin", "http://127.0.0.1:8080")]));
        assert!(!post(&[host, ("origin", "null")]));
        assert!(!post(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(post(&[host, ("sec-fetch-site", "same-origin")]));
    }

    #[test]
    fn with_a_login_any_host_is_served_and_the_origin_must_still_be_the_host() {
        let check = |method, pairs: &[(&'static str, &str)]| {
            check(Hosts::Any, &method, &headers(pairs)).is_ok()
        };
        let host = ("host", "proxy.example:9090");
        assert!(check(Method::GET, &[host]));
        assert!(check(Method::POST, &[host]));
        assert!(check(Method::POST, &[host, ("origin", "https://proxy.example:9090")]));
        assert!(!check(Method::POST, &[host, ("origin", "https://evil.example")]));
        assert!(!check(Method::POST, &[host, ("sec-fetch-site", "same-site")]));
        assert!(!check(Method::POST, &[("origin", "https://evil.example")]), "no host at all");
    }
}
