//! Latency samples and their summary. The main types are [`Samples`], which collects, and [`Summary`], which is reported.
//!
//! Percentiles follow HdrHistogram (<https://hdrhistogram.github.io/HdrHistogram/>, [`Histogram::value_at_quantile`]): the
//! value at quantile `q` is the upper end of the bucket that holds the sample of rank `ceil(q * count)`, the nearest-rank
//! definition. Buckets are at most 0.1% wide, so each figure is at most 0.1% above the sample that it stands for.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The largest latency that is told apart from larger ones. An hour is far above every timeout in use.
const LARGEST: Duration = Duration::from_secs(3600);

/// A summary of latencies, all in milliseconds. The field that holds it is named `latency_ms` or the like.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// How many samples there were; never 0.
    pub count: u64,
    /// The smallest sample.
    pub min: f64,
    /// The arithmetic mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p999: f64,
    /// The largest sample.
    pub max: f64,
}

/// Latencies in an HDR histogram of nanoseconds. Merging is exact: the merge of parts equals one pooled recorder.
///
/// In JSON it is a string: the histogram's V2 encoding in base64, which every HdrHistogram library reads.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Samples(Histogram<u64>);

/// Why a string is not a histogram.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum DecodeError {
    #[error("histogram is not base64")]
    Base64(#[from] base64::DecodeError),
    #[error("histogram is not in HDR V2 encoding: {0:?}")]
    Histogram(hdrhistogram::serialization::DeserializeError),
    #[error("histogram is not for latencies from 1 ns to 1 h")]
    Range,
}

/// The value of nearest rank: the smallest below or at which this share of the values lies. Sorts them; nothing without any.
pub fn nearest_rank(values: &mut [f64], quantile: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * quantile).ceil() as usize;
    values.get(rank.max(1) - 1).copied()
}

/// The middle value, or the mean of the two in the middle; nothing without any.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// A duration in milliseconds for a report. Whole nanoseconds, so that it is written in few digits and read back exactly.
pub fn milliseconds(duration: Duration) -> f64 {
    from_nanoseconds(duration.as_nanos() as u64)
}

/// A figure for a report, rounded to a number of decimals, so that it is written in few digits and read back exactly.
pub fn rounded(figure: f64, decimals: u8) -> f64 {
    let scale = 10f64.powi(decimals.into());
    (figure * scale).round() / scale
}

impl Samples {
    /// No samples yet, three significant digits.
    pub fn new() -> Self {
        Self::with_digits(3)
    }

    /// No samples yet, two significant digits (1%) in a tenth of the memory: for short intervals of which there are many.
    pub fn coarse() -> Self {
        Self::with_digits(2)
    }

    /// Adds one latency. What is above [`LARGEST`] counts as [`LARGEST`].
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds all samples of another recorder.
    pub fn merge(&mut self, other: &Samples) {
        self.0.add(&other.0).expect("all recorders cover the same range, so an addition fits");
    }

    /// Forgets all samples and keeps the memory.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// How many samples there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The value at a quantile between 0 and 1, in milliseconds; nothing without samples.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| from_nanoseconds(self.0.value_at_quantile(quantile)))
    }

    /// The summary in milliseconds; nothing without samples, because a percentile of nothing is not 0.
    pub fn summary(&self) -> Option<Summary> {
        let mut quantiles = self.0.value_at_quantiles([0.5, 0.9, 0.99, 0.999]).map(from_nanoseconds);
        if self.0.is_empty() {
            return None;
        }
        Some(Summary {
            count: self.0.len(),
            min: from_nanoseconds(self.0.min()),
            mean: from_nanoseconds(self.0.mean().round() as u64),
            p50: quantiles.next()?,
            p90: quantiles.next()?,
            p99: quantiles.next()?,
            p999: quantiles.next()?,
            max: from_nanoseconds(self.0.max()),
        })
    }

    fn with_digits(digits: u8) -> Self {
        let largest = LARGEST.as_nanos() as u64;
        Self(Histogram::new_with_bounds(1, largest, digits).expect("1 ns to 1 h at up to 3 digits is a valid range"))
    }
}

impl fmt::Debug for Samples {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The summary rather than tens of thousands of counts.
        formatter.debug_tuple("Samples").field(&self.summary()).finish()
    }
}

impl Default for Samples {
    fn default() -> Self {
        Self::new()
    }
}

impl Extend<Duration> for Samples {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, latencies: I) {
        latencies.into_iter().for_each(|latency| self.record(latency));
    }
}

impl From<Samples> for String {
    fn from(samples: Samples) -> Self {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&samples.0, &mut bytes).expect("writing to memory does not fail");
        BASE64.encode(bytes)
    }
}

impl TryFrom<String> for Samples {
    type Error = DecodeError;

    fn try_from(text: String) -> Result<Self, DecodeError> {
        let bytes = BASE64.decode(text)?;
        let decoded = Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(DecodeError::Histogram)?;
        let ours = Self::new().0;
        if (decoded.low(), decoded.high()) != (ours.low(), ours.high()) {
            return Err(DecodeError::Range);
        }
        Ok(Self(decoded))
    }
}

impl JsonSchema for Samples {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Samples".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "contentEncoding": "base64",
            "description": "Latencies in nanoseconds: an HDR histogram in V2 encoding."
        })
    }
}

fn from_nanoseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds_up_to(last: u64) -> Samples {
        let mut samples = Samples::new();
        samples.extend((1..=last).map(Duration::from_millis));
        samples
    }

    /// At most 0.1% above the true value.
    fn assert_close(figure: f64, value: f64) {
        assert!((value..=value * 1.001).contains(&figure), "{figure} for {value}");
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        // Of 1 ms to 1000 ms: rank 500, 900, 990 and 999; the mean is 500.5.
        let summary = milliseconds_up_to(1000).summary().unwrap();
        assert_eq!(summary.count, 1000);
        assert_close(summary.p50, 500.0);
        assert_close(summary.p90, 900.0);
        assert_close(summary.p99, 990.0);
        assert_close(summary.p999, 999.0);
        assert_close(summary.max, 1000.0);
        assert!((summary.min - 1.0).abs() <= 0.001, "{summary:?}");
        assert!((summary.mean - 500.5).abs() <= 0.5, "{summary:?}");
    }

    #[test]
    fn small_samples_follow_the_definition() {
        // With three samples the median is the second, and every higher percentile the third.
        let summary = milliseconds_up_to(3).summary().unwrap();
        assert_close(summary.p50, 2.0);
        assert_close(summary.p90, 3.0);
        assert_close(summary.p999, 3.0);
    }

    #[test]
    fn nothing_has_no_summary() {
        assert_eq!(Samples::new().summary(), None);
        assert_eq!(Samples::new().quantile_ms(0.5), None);
    }

    #[test]
    fn a_merge_equals_one_pooled_recorder() {
        let mut parts = [Samples::new(), Samples::new(), Samples::new()];
        let mut pooled = Samples::new();
        for number in 0..10_000u64 {
            // Spread over 1 ns to about 100 s without a pattern.
            let latency = Duration::from_nanos(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (27 + number % 37));
            parts[number as usize % 3].record(latency);
            pooled.record(latency);
        }
        let mut merged = Samples::new();
        parts.iter().for_each(|part| merged.merge(part));
        assert_eq!(merged, pooled);
        assert_eq!(merged.summary(), pooled.summary());
        assert_eq!(String::from(merged), String::from(pooled));
    }

    #[test]
    fn json_keeps_every_count() {
        for samples in [Samples::new(), milliseconds_up_to(500), Samples::coarse()] {
            let json = serde_json::to_string(&samples).unwrap();
            let read: Samples = serde_json::from_str(&json).unwrap();
            assert_eq!((&read, read.summary()), (&samples, samples.summary()));
        }
        assert!(serde_json::from_str::<Samples>("\"no base64!\"").is_err());
        assert!(serde_json::from_str::<Samples>("\"aGVsbG8=\"").is_err());
        let mut other = Vec::new();
        V2Serializer::new().serialize(&Histogram::<u64>::new_with_max(1000, 3).unwrap(), &mut other).unwrap();
        assert!(matches!(Samples::try_from(BASE64.encode(other)), Err(DecodeError::Range)));
    }

    #[test]
    fn the_largest_latency_is_a_bound() {
        let mut samples = Samples::new();
        samples.extend([Duration::from_secs(7200), Duration::MAX]);
        let summary = samples.summary().unwrap();
        assert_eq!(summary.count, 2);
        assert_close(summary.max, 3_600_000.0);
    }
}
