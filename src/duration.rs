//! Durations as people write them: `500ms`, `10s`, `5m`, `1h30m`, `30d`.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::time::Duration;

use crate::text::serde_by_text;

/// The longest duration: ten years, so that adding one to any clock cannot overflow.
const MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Milliseconds of each unit.
const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Reads a duration: whole numbers, each with its unit `ms`, `s`, `m`, `h` or `d`, added up.
///
/// # Errors
/// A sentence that quotes the text and says how one is written. A number without a unit is an
/// error, and so is more than ten years.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "\"{text}\" has no unit: write \"{text}s\" for seconds, or use ms, m, h or d"
        ));
    }
    let malformed = || {
        format!(
            "\"{text}\" is no duration: write whole numbers with their unit, as in 500ms, 10s, 5m, 1h30m or 30d"
        )
    };
    let too_long = || format!("\"{text}\" is more than ten years");
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let (_, millis) = UNITS
            .into_iter()
            .find(|(name, _)| *name == unit && !number.is_empty())
            .ok_or_else(malformed)?;
        total = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(millis)?.checked_add(total))
            .ok_or_else(too_long)?;
        rest = after;
    }
    match Duration::from_millis(total) {
        _ if text.is_empty() => Err(malformed()),
        long if long > MAX => Err(too_long()),
        duration => Ok(duration),
    }
}

/// A duration as [`parse_duration`] reads it, in as few units as there need be.
#[must_use]
pub fn written(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, millis) in UNITS.iter().rev() {
        if left >= *millis {
            // Writing to a String cannot fail.
            let _ = write!(text, "{}{unit}", left / millis);
            left %= millis;
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

/// A duration that is written as text, such as `"30s"`, in JSON as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(pub Duration);

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(self.0))
    }
}

impl FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_duration(text).map(Self)
    }
}

serde_by_text!(HumanDuration);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for (millis, text) in [
            (0, "0s"),
            (500, "500ms"),
            (10_000, "10s"),
            (300_000, "5m"),
            (5_400_000, "1h30m"),
            (90_001, "1m30s1ms"),
            (2_592_000_000, "30d"),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!(written(duration), text);
            assert_eq!(parse_duration(text), Ok(duration));
        }
    }

    #[test]
    fn durations_add_up() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("30d", 2_592_000_000),
            ("1s500ms", 1_500),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_duration_is_told_why() {
        for (text, why) in [
            ("10", "no unit"),
            ("", "no duration"),
            ("s", "no duration"),
            ("10 s", "no duration"),
            ("1.5s", "no duration"),
            ("-1s", "no duration"),
            ("10sec", "no duration"),
            ("10s5", "no duration"),
            ("1µs", "no duration"),
            ("off", "no duration"),
            ("4000d", "ten years"),
            ("99999999999999999999d", "ten years"),
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(
                error.contains(why) && error.contains(text),
                "{text}: {error}"
            );
        }
    }
}
