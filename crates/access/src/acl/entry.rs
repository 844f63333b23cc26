//! Single values of the access file, checked while they are read.
//!
//! Each error text is `problem; remedy`, which `file` puts beside line and key.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use super::destination::Destination;
use super::ports::{Ports, Protocols};
use super::verdict::Decision;

/// A value that the file writes as one text or number.
pub(super) trait Written: Sized {
    /// What may stand here, for error messages.
    const EXPECTED: &'static str;

    fn from_text(text: &str) -> Result<Self, String>;

    /// Most values are texts; a number is then the wrong type.
    fn from_number(number: i64) -> Result<Self, String> {
        Err(format!("{number} is a number; write {}", Self::EXPECTED))
    }
}

/// One value.
pub(super) struct Entry<T>(pub(super) T);

/// One value, or a list of them that is not empty.
pub(super) struct OneOrMany<T>(pub(super) Vec<T>);

struct EntryVisitor<T>(PhantomData<T>);

impl<T: Written> Visitor<'_> for EntryVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        T::from_number(number).map_err(E::custom)
    }
}

impl<'de, T: Written> Deserialize<'de> for Entry<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor(PhantomData)).map(Self)
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Written> Visitor<'de> for ListVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, or a list of such", T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
        EntryVisitor(PhantomData).visit_str(text).map(|value| vec![value])
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Vec<T>, E> {
        EntryVisitor(PhantomData).visit_i64(number).map(|value| vec![value])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut values = Vec::new();
        while let Some(Entry(value)) = list.next_element()? {
            values.push(value);
        }
        if values.is_empty() {
            let expected = T::EXPECTED;
            return Err(A::Error::custom(format!(
                "an empty list matches nothing; write {expected}"
            )));
        }
        Ok(values)
    }
}

impl<'de, T: Written> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData)).map(Self)
    }
}

impl Written for Decision {
    const EXPECTED: &'static str = "\"allow\" or \"block\"";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "allow" => Ok(Self::Allow),
            "block" => Ok(Self::Block),
            _ => Err(format!("neither of the two; write {}", Self::EXPECTED)),
        }
    }
}

impl Written for Destination {
    const EXPECTED: &'static str = "an address, a CIDR block, a name, \"*.name\" or \"*\"";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: super::destination::DestinationError| error.to_string())
    }
}

impl Written for Ports {
    const EXPECTED: &'static str = "443, \"443\", \"8000-9000\", \"80,443\" or \"*\"";

    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.to_string())
    }

    fn from_number(number: i64) -> Result<Self, String> {
        u16::try_from(number)
            .map(Self::one)
            .map_err(|_| "not a port; write a number from 0 to 65535".to_owned())
    }
}

impl Written for Protocols {
    const EXPECTED: &'static str = "\"tcp\", \"udp\" or \"both\"";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "both" => Ok(Self::Both),
            _ => Err(format!("not a transport; write {}", Self::EXPECTED)),
        }
    }
}

/// A rule's priority, with the bounds and the default of RustSocks 0.9.
#[derive(Clone, Copy)]
pub(super) struct Priority(pub(super) u32);

impl Priority {
    pub(super) const DEFAULT: Self = Self(100);
}

impl Written for Priority {
    const EXPECTED: &'static str = "a whole number from 0 to 4294967295";

    fn from_text(_: &str) -> Result<Self, String> {
        Err(format!("a text is no priority; write {}", Self::EXPECTED))
    }

    fn from_number(number: i64) -> Result<Self, String> {
        let number = u32::try_from(number);
        number.map(Self).map_err(|_| format!("out of range; write {}", Self::EXPECTED))
    }
}
