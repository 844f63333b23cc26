//! Bytes, spans and times as people read them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::console::safe::Text;

/// A count of bytes in binary units, two or three digits.
pub(crate) fn bytes(count: u64) -> String {
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64;
    for unit in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        value /= 1024.0;
        if value < 9.95 {
            return format!("{value:.1} {unit}");
        }
        if value < 1023.5 {
            return format!("{value:.0} {unit}");
        }
    }
    format!("{:.0} EiB", value / 1024.0)
}

/// Bytes per second; nothing where nothing moves.
#[cfg(feature = "tui")]
pub(crate) fn rate(per_second: f64) -> String {
    match per_second.round() as u64 {
        0 => String::new(),
        count => format!("{}/s", bytes(count)),
    }
}

/// A span of time by its two largest units.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..=9 => format!("{:.1} s", span.as_secs_f64()),
        10..=59 => format!("{seconds} s"),
        60..=3599 => format!("{minutes} min {} s", seconds % 60),
        3600..=86_399 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// A time of the API.
pub(crate) fn time(text: &Text) -> Option<Timestamp> {
    text.as_str().parse().ok()
}

/// A time of the API in the local zone, to the second; as it came where it is no time.
pub(crate) fn local(text: &Text) -> String {
    in_zone(text, "%Y-%m-%d %H:%M:%S")
}

/// The time of day alone.
pub(crate) fn local_clock(text: &Text) -> String {
    in_zone(text, "%H:%M:%S")
}

fn in_zone(text: &Text, form: &str) -> String {
    match time(text) {
        Some(time) => time.to_zoned_datetime(TimeZone::system()).strftime(form).to_string(),
        None => text.to_string(),
    }
}

/// How long it is from one time to a later one; zero where they are no such times.
pub(crate) fn between(from: &Text, to: &Text) -> Duration {
    match (time(from), time(to)) {
        (Some(from), Some(to)) => to.duration_since(from).try_into().unwrap_or_default(),
        _ => Duration::ZERO,
    }
}

/// A count with its noun, in the plural where it is not one.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_binary_units() {
        for (count, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (10_188, "9.9 KiB"),
            (10_190, "10 KiB"),
            (1_048_063, "1023 KiB"),
            (1_048_064, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(bytes(count), shown, "{count}");
        }
    }

    #[test]
    fn spans_have_their_two_largest_units() {
        for (millis, shown) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_500, "1.5 s"),
            (59_999, "59 s"),
            (61_000, "1 min 1 s"),
            (3_600_000, "1 h 0 min"),
            (200_000_000, "2 d 7 h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), shown, "{millis}");
        }
    }

    #[test]
    fn what_is_no_time_is_shown_as_it_came() {
        assert_eq!(local(&Text::from("soon\u{1b}")), "soon\\u{1b}");
        assert_eq!(between(&Text::from("x"), &Text::from("y")), Duration::ZERO);
    }
}
