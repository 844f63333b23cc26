//! Which hosts a rule speaks of: an address block, a name, a pattern of names, or all.
//!
//! Matching here is the plain reading of the format; `index` finds the same answer faster.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use rustsocks_proto::{Host, HostName, reached};

/// One entry of a rule's `destinations`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `*`: every name and every address.
    Any,
    /// An address or a CIDR block. Blocks of IPv4-mapped addresses are kept as IPv4.
    Net(IpNet),
    /// `name`: this name and nothing below it.
    Name(String),
    /// `*.name`: every name below `name`, at any depth, but not `name` itself.
    Below(String),
    /// A name with `*` in other places, such as `api.*.example.com`.
    Pattern(Pattern),
}

/// A name pattern with wildcards inside.
///
/// A leading `*` label stands for one or more labels; elsewhere `*` stays within its label and
/// stands for any characters there (at least one, where it is the whole label).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Labels from right to left, without a leading `*`.
    reversed: Vec<String>,
    /// Whether the pattern began with a `*` label.
    open: bool,
}

/// Why a text is no destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// Nothing was written.
    #[error(
        "an empty destination matches nothing; write an address, a CIDR block, a name or \"*\""
    )]
    Empty,
    /// A slash, but no CIDR block.
    #[error("not a CIDR block; write one such as \"10.0.0.0/8\" or \"2001:db8::/32\"")]
    Net,
    /// A port in the wrong place, or a broken IPv6 address.
    #[error("neither an address nor a name; ports belong into `ports`, IPv6 goes without brackets")]
    Colon,
    /// Digits where a name would have letters: an address range in another notation.
    #[error(
        "not a full address; write a range of addresses as a CIDR block such as \"10.0.0.0/8\""
    )]
    Digits,
    /// Characters that no name on the wire can hold.
    #[error(
        "a name holds printable ASCII only; write an internationalised name as punycode (xn--)"
    )]
    Characters,
    /// Two dots in a row, or one in front.
    #[error("a label is empty; write every name below a domain as \"*.example.com\"")]
    Label,
    /// Longer than a request can carry.
    #[error("a name has at most 255 bytes; shorten it")]
    TooLong,
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Err(DestinationError::Empty);
        }
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Net(IpNet::from(address.to_canonical())));
        }
        if text.contains('/') {
            let net = text.parse::<IpNet>().map_err(|_| DestinationError::Net)?;
            return Ok(Self::Net(canonical_net(net.trunc())));
        }
        parse_name(text)
    }
}

/// Writes a block of IPv4-mapped addresses as the IPv4 block it means.
fn canonical_net(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let mapped = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok()).map_or(net, IpNet::V4)
}

fn parse_name(text: &str) -> Result<Destination, DestinationError> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.contains(':') {
        return Err(DestinationError::Colon);
    }
    if name.len() > 255 {
        return Err(DestinationError::TooLong);
    }
    if !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err(DestinationError::Characters);
    }
    if name.split('.').any(str::is_empty) {
        return Err(DestinationError::Label);
    }
    // No top-level domain is a number, so `10.0.*` or `192.168.1` is an address range gone wrong;
    // taken as a name it would never match, and a block rule would be silently void.
    let numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit() || byte == b'*');
    if name.split('.').all(numeric) && name.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(DestinationError::Digits);
    }
    match name.strip_prefix("*.") {
        Some(parent) if !parent.contains('*') => Ok(Destination::Below(parent.to_owned())),
        None if !name.contains('*') => Ok(Destination::Name(name)),
        rest => Ok(Destination::Pattern(Pattern {
            reversed: rest.unwrap_or(&name).rsplit('.').map(str::to_owned).collect(),
            open: rest.is_some(),
        })),
    }
}

impl Destination {
    /// Whether `name` is meant.
    pub(super) fn matches_name(&self, name: &CanonicalName) -> bool {
        let name = name.as_bytes();
        match self {
            Self::Any => true,
            Self::Net(_) => false,
            Self::Name(own) => own.as_bytes() == name,
            Self::Below(parent) => name
                .strip_suffix(parent.as_bytes())
                .and_then(|front| front.strip_suffix(b"."))
                .is_some_and(|front| !front.is_empty()),
            Self::Pattern(pattern) => pattern.matches(name),
        }
    }

    /// Whether `address`, which is canonical (no IPv4-mapped form), is meant.
    pub(super) fn matches_address(&self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Net(net) => net.contains(&address),
            Self::Name(_) | Self::Below(_) | Self::Pattern(_) => false,
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Net(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Self::Net(net) => net.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::Below(parent) => write!(f, "*.{parent}"),
            Self::Pattern(pattern) => pattern.fmt(f),
        }
    }
}

impl Pattern {
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        let mut labels = name.rsplit(|&byte| byte == b'.');
        let tail_fits = self
            .reversed
            .iter()
            .all(|glob| labels.next().is_some_and(|label| label_matches(glob.as_bytes(), label)));
        let front_fits = match labels.next() {
            None => !self.open,
            Some(label) => self.open && !label.is_empty(),
        };
        tail_fits && front_fits
    }
}

/// Whether one label fits; `*` in `glob` stands for any characters of it.
fn label_matches(glob: &[u8], label: &[u8]) -> bool {
    if glob == b"*" {
        return !label.is_empty();
    }
    // Classic greedy matching: after a mismatch, let the last star swallow one byte more. Runs in
    // O(glob * label), both of which are short.
    let (mut g, mut l) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while l < label.len() {
        if glob.get(g) == Some(&b'*') {
            star = Some((g, l));
            g += 1;
        } else if glob.get(g) == Some(&label[l]) {
            g += 1;
            l += 1;
        } else if let Some((at, swallowed)) = star {
            star = Some((at, swallowed + 1));
            g = at + 1;
            l = swallowed + 1;
        } else {
            return false;
        }
    }
    glob[g..].iter().all(|&byte| byte == b'*')
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let front = self.open.then_some("*");
        let labels = front.into_iter().chain(self.reversed.iter().rev().map(String::as_str));
        for (index, label) in labels.enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            f.write_str(label)?;
        }
        Ok(())
    }
}

/// A requested name in lower case and without its final dot, on the stack.
///
/// Built once per question, so that no rule has to think about case again.
pub(super) struct CanonicalName {
    bytes: [u8; 255],
    len: usize,
}

impl CanonicalName {
    fn new(name: &HostName) -> Self {
        let text = name.as_str();
        let text = text.strip_suffix('.').unwrap_or(text).as_bytes();
        let mut bytes = [0; 255];
        // A host name has at most 255 bytes by its own check.
        let len = text.len().min(bytes.len());
        bytes[..len].copy_from_slice(&text[..len]);
        bytes[..len].make_ascii_lowercase();
        Self { bytes, len }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What is known of a target's host: its name, its address, or both.
pub(super) struct KnownHost {
    pub(super) name: Option<CanonicalName>,
    pub(super) address: Option<IpAddr>,
}

impl KnownHost {
    /// Takes the host as requested, and the address really meant where it was resolved.
    ///
    /// A name that spells an address *is* that address: otherwise `"10.0.0.1"`, sent as a name,
    /// would walk past every CIDR rule until it was resolved.
    pub(super) fn new(host: &Host, resolved: Option<IpAddr>) -> Self {
        let (name, literal) = match host {
            Host::Ip(address) => (None, Some(*address)),
            Host::Name(name) => match literal_address(name.as_str()) {
                Some(address) => (None, Some(address)),
                None => (Some(CanonicalName::new(name)), None),
            },
        };
        // By whatever spelling, what counts is who would be reached.
        Self { name, address: resolved.or(literal).map(reached) }
    }

    /// A host of which the name alone is of interest.
    pub(super) fn named(name: &HostName) -> Self {
        Self { name: Some(CanonicalName::new(name)), address: None }
    }
}

fn literal_address(name: &str) -> Option<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let bracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => name.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(text: &str) -> Destination {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn matches(rule: &str, host: &str) -> bool {
        let host = match host.parse::<IpAddr>() {
            Ok(address) => Host::Ip(address),
            Err(_) => Host::Name(HostName::new(host).unwrap()),
        };
        let known = KnownHost::new(&host, None);
        let rule = destination(rule);
        known.name.as_ref().is_some_and(|name| rule.matches_name(name))
            || known.address.is_some_and(|address| rule.matches_address(address))
    }

    #[test]
    fn each_kind_of_destination_matches_what_it_says_and_nothing_else() {
        for (rule, yes, no) in [
            ("*", &["example.com", "192.0.2.1", "::1", "."][..], &[][..]),
            ("192.0.2.1", &["192.0.2.1", "::ffff:192.0.2.1"], &["192.0.2.2", "example.com"]),
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"],
                &["11.0.0.0", "::a00:1"],
            ),
            ("10.1.2.3/8", &["10.9.9.9"], &["11.0.0.1"]),
            ("2001:db8::/32", &["2001:db8::1", "2001:db8:ffff::"], &["2001:db9::1", "10.0.0.1"]),
            ("::ffff:10.0.0.0/104", &["10.1.2.3", "::ffff:10.1.2.3"], &["11.0.0.1"]),
            ("::/0", &["::1", "2001:db8::1"], &["10.0.0.1", "::ffff:10.0.0.1"]),
            (
                "example.com",
                &["example.com", "EXAMPLE.com", "example.com."],
                &["a.example.com", "example.org"],
            ),
            ("Example.COM.", &["example.com"], &["xexample.com"]),
            (
                "*.example.com",
                &["a.example.com", "a.b.example.com", "A.Example.Com."],
                &["example.com", "xexample.com", ".example.com", "a.example.com.org"],
            ),
            (
                "api.*.example.com",
                &["api.eu.example.com", "API.us.example.com"],
                &[
                    "api.example.com",
                    "api.a.b.example.com",
                    "x.api.eu.example.com",
                    "api..example.com",
                ],
            ),
            (
                "api-*.example.com",
                &["api-1.example.com", "api-.example.com"],
                &["api.example.com", "api-1.x.example.com"],
            ),
            (
                "*.eu-*.example.com",
                &["a.eu-1.example.com", "a.b.eu-1.example.com"],
                &["eu-1.example.com"],
            ),
            ("example.*", &["example.com", "example.org"], &["example.co.uk", "example"]),
            ("*a*b*.test", &["xaxbx.test", "ab.test"], &["ba.test", "a.b.test"]),
            ("localhost", &["localhost", "LOCALHOST."], &["localhost.localdomain"]),
        ] {
            for host in yes {
                assert!(matches(rule, host), "{rule} should match {host}");
            }
            for host in no {
                assert!(!matches(rule, host), "{rule} should not match {host}");
            }
        }
    }

    #[test]
    fn a_name_that_spells_an_address_is_judged_as_the_address() {
        for name in ["10.0.0.1", "10.0.0.1.", "::ffff:10.0.0.1", "[::ffff:a00:1]"] {
            let host = Host::Name(HostName::new(name).unwrap());
            let known = KnownHost::new(&host, None);
            assert_eq!(known.address, Some("10.0.0.1".parse().unwrap()), "{name}");
            assert!(known.name.is_none(), "{name}");
        }
    }

    #[test]
    fn what_would_never_match_is_refused_with_a_remedy() {
        for (text, error) in [
            ("", DestinationError::Empty),
            ("10.0.0.0/33", DestinationError::Net),
            ("example.com/24", DestinationError::Net),
            ("example.com:80", DestinationError::Colon),
            ("[::1]", DestinationError::Colon),
            ("10.0.0.*", DestinationError::Digits),
            ("192.168.1", DestinationError::Digits),
            ("10.0.0.256", DestinationError::Digits),
            ("münchen.example", DestinationError::Characters),
            ("exa mple.com", DestinationError::Characters),
            ("exa\\mple.com", DestinationError::Characters),
            (".example.com", DestinationError::Label),
            ("a..b", DestinationError::Label),
        ] {
            assert_eq!(text.parse::<Destination>(), Err(error), "{text}");
        }
        assert_eq!("a.".repeat(200).parse::<Destination>(), Err(DestinationError::TooLong));
    }

    #[test]
    fn destinations_are_shown_as_they_can_be_written() {
        for text in
            ["*", "10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "a.b", "*.a.b", "x.*.b", "*.x*.b"]
        {
            assert_eq!(destination(text).to_string(), text);
        }
    }
}
