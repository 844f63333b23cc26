//! Which ports and transports a rule speaks of.
//!
//! Sets only; whether the host matches is the business of `destination`.

use std::fmt;

use rustsocks_proto::Protocol;

/// A set of ports, kept as sorted ranges that neither touch nor overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(Vec<(u16, u16)>);

/// Why a text is no set of ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a port or a range; write 443, \"443\", \"8000-9000\", \"80,443\" or \"*\"")]
pub struct PortsError(String);

impl Ports {
    /// Every port.
    pub fn all() -> Self {
        Self(vec![(0, u16::MAX)])
    }

    /// One port.
    pub fn one(port: u16) -> Self {
        Self(vec![(port, port)])
    }

    /// Reads `*`, a port, a range `a-b` (both ends included), or several of these separated by
    /// commas. Spaces around them are ignored.
    ///
    /// # Errors
    /// [`PortsError`] quotes the part that cannot be read. A range whose end is below its start
    /// would match nothing and is refused.
    pub fn parse(text: &str) -> Result<Self, PortsError> {
        let ranges = text.split(',').map(parse_range).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::from_ranges(ranges))
    }

    /// The union of several sets.
    pub fn union(sets: impl IntoIterator<Item = Self>) -> Self {
        Self::from_ranges(sets.into_iter().flat_map(|set| set.0).collect())
    }

    /// Whether the set holds no port at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the set holds `port`.
    pub fn contains(&self, port: u16) -> bool {
        // The ranges are sorted and disjoint: only the last one that starts at or below can hold it.
        let after = self.0.partition_point(|&(start, _)| start <= port);
        after.checked_sub(1).is_some_and(|index| port <= self.0[index].1)
    }

    fn from_ranges(mut ranges: Vec<(u16, u16)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::with_capacity(ranges.len());
        for (start, end) in ranges {
            match merged.last_mut() {
                Some(last) if u32::from(start) <= u32::from(last.1) + 1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        Self(merged)
    }
}

fn parse_range(part: &str) -> Result<(u16, u16), PortsError> {
    let part = part.trim();
    let wrong = || PortsError(part.to_owned());
    if part == "*" {
        return Ok((0, u16::MAX));
    }
    let (start, end) = part.split_once('-').unwrap_or((part, part));
    let number = |text: &str| {
        let text = text.trim();
        // `u16::from_str` would let a plus sign pass.
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten().ok_or_else(wrong)
    };
    let (start, end) = (number(start)?, number(end)?);
    if start <= end { Ok((start, end)) } else { Err(wrong()) }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, &(start, end)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match (start, end) {
                (0, u16::MAX) => write!(f, "{comma}*")?,
                _ if start == end => write!(f, "{comma}{start}")?,
                _ => write!(f, "{comma}{start}-{end}")?,
            }
        }
        Ok(())
    }
}

/// The transports a rule speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocols {
    /// TCP alone.
    Tcp,
    /// UDP alone.
    Udp,
    /// TCP and UDP.
    Both,
}

impl Protocols {
    /// The name as the file writes it: `tcp`, `udp` or `both`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Both => "both",
        }
    }

    /// Whether `protocol` is among them.
    pub fn contains(self, protocol: Protocol) -> bool {
        match self {
            Self::Both => true,
            Self::Tcp => protocol == Protocol::Tcp,
            Self::Udp => protocol == Protocol::Udp,
        }
    }

    pub(super) fn union(self, other: Self) -> Self {
        if self == other { self } else { Self::Both }
    }
}

impl fmt::Display for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_way_of_writing_ports_is_read() {
        for (text, inside, outside) in [
            ("443", vec![443], vec![442, 444]),
            ("80,443,8000-9000", vec![80, 443, 8000, 8500, 9000], vec![81, 7999, 9001]),
            (" 80 , 443 ", vec![80, 443], vec![79]),
            ("8000 - 8001", vec![8000, 8001], vec![8002]),
            ("*", vec![0, 1, 65535], vec![]),
            ("0-65535", vec![0, 65535], vec![]),
            ("10-20,15-30,31", vec![10, 25, 31], vec![9, 32]),
        ] {
            let ports = Ports::parse(text).unwrap();
            assert!(inside.iter().all(|&port| ports.contains(port)), "{text}");
            assert!(!outside.iter().any(|&port| ports.contains(port)), "{text}");
        }
    }

    #[test]
    fn what_is_no_port_is_refused_and_quoted() {
        for text in ["", "http", "65536", "-1", "+80", "90-80", "80-", "80;443", "80,,443", "1-2-3"]
        {
            let error = Ports::parse(text).unwrap_err().to_string();
            assert!(error.contains("is not a port"), "{text}: {error}");
        }
    }

    #[test]
    fn ports_are_shown_in_their_shortest_form() {
        let shown = |text: &str| Ports::parse(text).unwrap().to_string();
        assert_eq!(shown("443,80,81,8000-9000"), "80-81,443,8000-9000");
        assert_eq!(shown("80,*"), "*");
    }
}
