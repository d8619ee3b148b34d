//! Durations as people write them: `250ms`, `60s`, `1m 30s`. For serde: `#[serde(with = "crate::duration")]`.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, Serializer};

/// Reads a duration such as `250ms`, `60s` or `1h`. A bare number and a negative duration are errors that say so.
pub fn parse(text: &str) -> Result<Duration, String> {
    let remedy = "write a number with a unit, such as 250ms, 60s or 5m";
    let signed: SignedDuration = text.trim().parse().map_err(|_| format!("`{text}` is not a duration; {remedy}"))?;
    Duration::try_from(signed).map_err(|_| format!("`{text}` is negative; {remedy}"))
}

/// Reads a duration that must be longer than zero.
pub fn parse_positive(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err(format!("`{text}` must be longer than zero")),
        duration => Ok(duration),
    }
}

/// [`human`] for a number of milliseconds.
pub fn human_ms(milliseconds: u64) -> String {
    human(Duration::from_millis(milliseconds))
}

/// A duration for people: `850 ms`, `1.4 s`, `12.0 s`, `2 min 5 s`.
pub fn human(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 {
        format!("{} ms", duration.as_millis())
    } else if seconds < 100.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {} s", duration.as_secs() / 60, duration.as_secs() % 60)
    }
}

/// A duration as Go prints it, and so a kubelet: `10s`, `1.5s`, `1m20s`, `1h0m0s`.
pub fn as_go(duration: Duration) -> String {
    let whole = duration.as_secs();
    let seconds = (whole % 60) as f64 + f64::from(duration.subsec_nanos()) / 1e9;
    match (whole / 3600, whole / 60 % 60) {
        (0, 0) if whole == 0 && !duration.is_zero() => format!("{}ms", seconds * 1000.0),
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// Whole milliseconds, for a file or a wire.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Writes milliseconds with their unit, or microseconds where it is no whole number of them.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    match duration.subsec_micros() % 1000 {
        0 => serializer.collect_str(&format_args!("{}ms", duration.as_millis())),
        _ => serializer.collect_str(&format_args!("{}us", duration.as_micros())),
    }
}

/// Reads what [`parse`] reads.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(parse("1m 30s"), Ok(Duration::from_secs(90)));
    }

    #[test]
    fn refuses_what_has_no_unit_or_no_length() {
        assert!(parse("60").unwrap_err().contains("number with a unit"));
        assert!(parse("-1s").unwrap_err().contains("negative"));
        assert!(parse_positive("0s").unwrap_err().contains("longer than zero"));
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        struct Pause(#[serde(with = "super")] Duration);
        for (micros, text) in [(250_000, r#""250ms""#), (1_500, r#""1500us""#), (0, r#""0ms""#)] {
            let pause = Pause(Duration::from_micros(micros));
            assert_eq!(serde_json::to_string(&pause).unwrap(), text);
            assert_eq!(serde_json::from_str::<Pause>(text).unwrap(), pause);
        }
    }

    #[test]
    fn humans_read_the_right_unit() {
        assert_eq!(human(Duration::from_millis(850)), "850 ms");
        assert_eq!(human(Duration::from_millis(1_440)), "1.4 s");
        assert_eq!(human(Duration::from_secs(125)), "2 min 5 s");
    }
}
