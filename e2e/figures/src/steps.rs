//! What clients of a declared scenario do, as it stands in a file. Main type: [`Steps`].

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::scenario::Thresholds;

/// Every client takes the steps that are marked `once`, waits for the others, and then takes the rest in turn again and again. A step
/// that is given up is an error in the result; steps that need what it would have captured are left out until it succeeds again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// The scenario's name.
    pub name: String,
    /// The Host header.
    pub host: String,
    /// What `${run}` stands for: a text that no other run has.
    pub run: String,
    /// The pause before each step but a client's first.
    pub think: Duration,
    /// The steps, in order.
    pub steps: Vec<StepSpec>,
    /// What the system must keep of what it acknowledged.
    pub ledger: Option<LedgerSpec>,
}

/// One request, and what its answer must be. Texts may have placeholders: `${client}` (from 0), `${round}` (from 1, counted by each
/// client), `${random}` (a whole number below a million, from the seed), `${run}`, and what earlier steps captured. `$${` stands for
/// `${` itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepSpec {
    /// Its name in the result.
    pub name: String,
    /// Whether each client takes it once, before the measured window.
    #[serde(default)]
    pub once: bool,
    /// With `once`: all clients take it together at the window's start, and it is measured.
    #[serde(default)]
    pub measured: bool,
    /// With `once`: what a client is called that has taken it, such as `registered`.
    pub outcome: Option<String>,
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// Path and query.
    pub path: String,
    /// More headers. A body that is JSON has its `content-type` unless it is among them.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body. What is filled into JSON is escaped.
    pub body: Option<String>,
    /// The status that it must have, one or several; any below 400 unless set.
    #[serde(default, deserialize_with = "one_or_several")]
    pub status: Vec<u16>,
    /// A text that the body must contain.
    pub contains: Option<String>,
    /// Values that the body must have, by JSON pointer. A text with placeholders stands for a number as well.
    #[serde(default)]
    pub fields: BTreeMap<String, Value>,
    /// What later steps use, by the placeholder's name: where it stands, as a JSON pointer to a text, a number or a truth value, as
    /// `header:NAME`, `cookie:NAME`, or `body` for the whole.
    #[serde(default)]
    pub capture: BTreeMap<String, String>,
    /// How often it is tried until it succeeds, with pauses that grow, or that the server asks for with Retry-After.
    #[serde(default = "one")]
    pub attempts: u32,
    /// The pause before it; the scenario's unless set.
    #[serde(default, with = "pause")]
    #[schemars(with = "Option<String>")]
    pub think: Option<Duration>,
    /// A header in which answers say how many seconds the server took, such as nginx's `$upstream_header_time`. Its mean is in the result.
    pub server_time: Option<String>,
    /// Lines that its figures must not cross.
    #[serde(default)]
    pub thresholds: Thresholds,
}

/// The keys that the system must store once they are acknowledged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerSpec {
    /// The key, with placeholders. One of `${run}`, `${client}` and `${round}` alone costs no memory; any other is kept as text.
    pub key: String,
    /// The step whose answer acknowledges it; the only repeated one unless set.
    pub step: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}

fn one() -> u32 {
    1
}

/// What lies between two arrivals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Spacing {
    /// Always the same time, which shows the server's own variation best.
    #[default]
    Uniform,
    /// Exponentially distributed times, as from many people who know nothing of each other.
    Poisson,
}

/// Reads `200` and `[200, 201]`.
fn one_or_several<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<u16>, D::Error> {
    struct OneOrSeveral;

    fn status<E: de::Error>(number: i64) -> Result<u16, E> {
        let status = u16::try_from(number).ok().filter(|status| (100..=999).contains(status));
        status.ok_or_else(|| E::custom(format!("{number} is not a status; write three digits, such as 200")))
    }

    impl<'de> Visitor<'de> for OneOrSeveral {
        type Value = Vec<u16>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("a status such as 200, or a list of them")
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Vec<u16>, E> {
            Ok(vec![status(number)?])
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<Vec<u16>, E> {
            self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<u16>, A::Error> {
            let mut several = Vec::new();
            while let Some(number) = list.next_element()? {
                several.push(status(number)?);
            }
            Ok(several)
        }
    }
    value.deserialize_any(OneOrSeveral)
}

/// A pause as people write it: `250ms`.
mod pause {
    use serde::Serializer;

    use super::{Deserialize, Deserializer, Duration, de::Error as _};

    #[expect(clippy::ref_option, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(pause: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match pause {
            Some(pause) if pause.subsec_micros() % 1000 == 0 => {
                serializer.collect_str(&format_args!("{}ms", pause.as_millis()))
            }
            Some(pause) => serializer.collect_str(&format_args!("{}us", pause.as_micros())),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(pause: D) -> Result<Option<Duration>, D::Error> {
        let Some(text) = Option::<String>::deserialize(pause)? else { return Ok(None) };
        let parsed: Result<jiff::SignedDuration, _> = text.trim().parse();
        let pause = parsed.ok().and_then(|pause| Duration::try_from(pause).ok());
        let remedy = "write a number with a unit, such as 250ms, 60s or 5m";
        pause.map(Some).ok_or_else(|| D::Error::custom(format!("`{text}` is not a duration; {remedy}")))
    }
}
