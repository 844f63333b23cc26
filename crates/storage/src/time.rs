//! The one textual form of a time: fixed-width UTC, so that text order is time order.

use jiff::Timestamp;
use jiff::tz::Offset;

/// A time as `2026-01-02T03:04:05.678+00:00`, cut to milliseconds.
///
/// Written digit by digit: three of these per record through `format!` cost more than the rest
/// of the record together.
pub fn to_text(time: Timestamp) -> String {
    let utc = Offset::UTC.to_datetime(time);
    let mut text = *b"0000-00-00T00:00:00.000+00:00";
    let mut put = |range: std::ops::Range<usize>, value: i16| {
        let mut rest = value.unsigned_abs();
        for digit in text[range].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    };
    put(0..4, utc.year());
    put(5..7, utc.month().into());
    put(8..10, utc.day().into());
    put(11..13, utc.hour().into());
    put(14..16, utc.minute().into());
    put(17..19, utc.second().into());
    put(20..23, utc.millisecond());
    text.iter().copied().map(char::from).collect()
}

/// Reads a time, in the fixed form or any other of RFC 3339.
///
/// # Errors
/// When it is none.
pub fn from_text(text: &str) -> Result<Timestamp, jiff::Error> {
    text.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_the_same_width_and_sorts_as_text() {
        let texts: Vec<String> = ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.6789Z"]
            .map(|text| to_text(from_text(text).unwrap()))
            .into();
        assert_eq!(texts, ["2026-01-02T03:04:05.000+00:00", "2026-01-02T03:04:05.678+00:00"]);
        assert!(texts.is_sorted());
    }

    #[test]
    fn text_reads_back() {
        let time: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        assert_eq!(from_text(&to_text(time)).unwrap(), time);
    }
}
