//! A scenario that is data: steps with placeholders, as they stand in a file. Main type: [`Steps`].

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FixedReport, retry::Retry};
use crate::load::{
    Client, Failure, Identity, InvalidRequest, Moment, Next, Outcome, Random, RequestHead, Response, Scenario, Step,
};

/// Every client takes the steps that are marked `once`, waits for the others, and then takes the rest in turn again and again. A step
/// that is given up is an error in the result; steps that need what it would have captured are left out until it succeeds again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// The Host header.
    pub host: String,
    /// What `${run}` stands for: a text that no other run has.
    pub run: String,
    /// The pause before each step but the first.
    pub think: Duration,
    /// The steps, in order.
    pub steps: Vec<StepSpec>,
}

/// One request, and what its answer must be. Texts may have placeholders: `${client}` (from 0), `${round}` (from 1, counted by each
/// client), `${random}` (a whole number below a million, from the seed), `${run}`, and what earlier steps captured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepSpec {
    /// Its name in the result.
    pub name: String,
    /// Whether each client takes it once, before the measured window.
    #[serde(default)]
    pub once: bool,
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// Path and query.
    pub path: String,
    /// More headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Option<String>,
    /// The status that it must have; any below 400 unless set.
    pub status: Option<u16>,
    /// Values that the body must have, by JSON pointer.
    #[serde(default)]
    pub fields: BTreeMap<String, Value>,
    /// Texts and numbers of the body that later steps use, by the placeholder's name: where they stand, as a JSON pointer.
    #[serde(default)]
    pub capture: BTreeMap<String, String>,
    /// How often it is tried until it succeeds, with pauses that grow, or that the server asks for with Retry-After.
    #[serde(default = "one")]
    pub attempts: u32,
}

fn get() -> String {
    "GET".to_owned()
}

fn one() -> u32 {
    1
}

/// Why steps cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSteps {
    /// There is nothing to repeat.
    #[error("no step is repeated: leave `once` away from one of them")]
    NothingToRepeat,
    /// Two steps have one name.
    #[error("two steps are called `{0}`: rename one")]
    SameName(String),
    /// A placeholder that nothing fills.
    #[error("step `{step}`: nothing gives `${{{name}}}` a value before it; there is {known}")]
    UnknownPlaceholder {
        /// The step.
        step: String,
        /// The placeholder.
        name: String,
        /// Those that have a value.
        known: String,
    },
    /// It is no HTTP.
    #[error("step `{step}`: {reason}")]
    Request {
        /// The step.
        step: String,
        /// Why.
        reason: String,
    },
    /// No attempt.
    #[error("step `{0}`: attempts is 0; it must be at least 1")]
    NoAttempt(String),
}

const OWN: [&str; 4] = ["client", "round", "random", "run"];

impl Steps {
    /// Refuses steps that no client could take.
    ///
    /// # Errors
    ///
    /// See [`InvalidSteps`].
    pub fn check(&self) -> Result<(), InvalidSteps> {
        let mut known: BTreeMap<String, String> = OWN.map(|name| (name.to_owned(), "0".to_owned())).into();
        let mut names = BTreeSet::new();
        // In the order in which clients take them.
        let (once, repeated): (Vec<_>, Vec<_>) = self.steps.iter().partition(|step| step.once);
        if repeated.is_empty() {
            return Err(InvalidSteps::NothingToRepeat);
        }
        for step in once.into_iter().chain(repeated) {
            if !names.insert(&step.name) {
                return Err(InvalidSteps::SameName(step.name.clone()));
            }
            if step.attempts == 0 {
                return Err(InvalidSteps::NoAttempt(step.name.clone()));
            }
            step.write(&self.host, &known, &mut Vec::new()).map_err(|error| error.of(step, &known))?;
            known.extend(step.capture.keys().map(|name| (name.clone(), "0".to_owned())));
        }
        Ok(())
    }
}

/// Why a request could not be written.
enum Unwritten {
    Placeholder(String),
    Request(InvalidRequest),
}

impl Unwritten {
    fn of(self, step: &StepSpec, known: &BTreeMap<String, String>) -> InvalidSteps {
        let step = step.name.clone();
        match self {
            Self::Placeholder(name) => {
                let known: Vec<String> = known.keys().map(|name| format!("${{{name}}}")).collect();
                InvalidSteps::UnknownPlaceholder { step, name, known: known.join(", ") }
            }
            Self::Request(error) => InvalidSteps::Request { step, reason: error.to_string() },
        }
    }
}

impl StepSpec {
    fn write(&self, host: &str, values: &BTreeMap<String, String>, request: &mut Vec<u8>) -> Result<(), Unwritten> {
        let fill = |text: &str| filled(text, values, str::to_owned).map_err(Unwritten::Placeholder);
        let path = filled(&self.path, values, in_path).map_err(Unwritten::Placeholder)?;
        let mut head = RequestHead::new(&self.method, &path, host).map_err(Unwritten::Request)?;
        for (name, value) in &self.headers {
            head = head.header(name, &fill(value)?).map_err(Unwritten::Request)?;
        }
        match &self.body {
            Some(body) => head.write_with_body(fill(body)?.as_bytes(), request),
            None => head.write(request),
        }
        Ok(())
    }

    /// Judges an answer, and takes from it what later steps need.
    fn judge(&self, response: &Response<'_>, values: &mut BTreeMap<String, String>) -> Outcome {
        if !self.status.map_or(response.status < 400, |status| status == response.status) {
            return Outcome::Status(response.status);
        }
        if self.fields.is_empty() && self.capture.is_empty() {
            return Outcome::Ok;
        }
        let Ok(body) = serde_json::from_slice::<Value>(response.body) else { return Outcome::UnexpectedBody };
        let as_wanted = |(pointer, wanted): (&String, &Value)| body.pointer(pointer) == Some(wanted);
        if !self.fields.iter().all(as_wanted) {
            return Outcome::UnexpectedBody;
        }
        for (name, pointer) in &self.capture {
            match body.pointer(pointer) {
                Some(Value::String(text)) if !text.is_empty() && !text.chars().any(char::is_control) => {
                    values.insert(name.clone(), text.clone());
                }
                Some(Value::Number(number)) => {
                    values.insert(name.clone(), number.to_string());
                }
                _ => return Outcome::UnexpectedBody,
            }
        }
        Outcome::Ok
    }
}

/// A captured value as it may stand in a path: spaces and other languages' letters are encoded (RFC 3986, section 2.1).
fn in_path(value: &str) -> String {
    let encoded = value.bytes().map(|byte| match byte {
        byte if byte.is_ascii_graphic() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    encoded.collect()
}

/// A text with its placeholders replaced; the name of one that has no value.
fn filled(text: &str, values: &BTreeMap<String, String>, encode: impl Fn(&str) -> String) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, behind)) = after.split_once('}') else { break };
        filled.push_str(before);
        filled.push_str(&encode(values.get(name).ok_or_else(|| name.to_owned())?));
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

impl Scenario for Steps {
    type Client = StepsClient;

    fn name(&self) -> &str {
        "steps"
    }

    fn steps(&self) -> Vec<String> {
        self.steps.iter().map(|step| step.name.clone()).collect()
    }

    fn client(&self, identity: Identity) -> StepsClient {
        let (once, repeated) = (0..self.steps.len()).partition(|index| self.steps[*index].once);
        let values = [("client", identity.index.to_string()), ("run", self.run.clone())];
        let mut client = StepsClient {
            host: self.host.clone(),
            think: self.think,
            steps: self.steps.clone(),
            once,
            repeated,
            at: 0,
            round: 0,
            attempts: 0,
            ready: false,
            pause: None,
            random: identity.random(),
            retry: Retry::new(identity.random()),
            values: values.map(|(name, value)| (name.to_owned(), value)).into(),
        };
        client.begin_round();
        client
    }
}

/// A client of [`Steps`].
#[derive(Debug)]
pub struct StepsClient {
    host: String,
    think: Duration,
    steps: Vec<StepSpec>,
    /// Indices of the steps of the set-up, then of the rest.
    once: Vec<usize>,
    repeated: Vec<usize>,
    /// The position in the one of the two that is being taken.
    at: usize,
    round: u64,
    attempts: u32,
    ready: bool,
    pause: Option<Duration>,
    random: Random,
    retry: Retry,
    values: BTreeMap<String, String>,
}

impl StepsClient {
    fn begin_round(&mut self) {
        self.round += 1;
        self.values.insert("round".to_owned(), self.round.to_string());
        self.values.insert("random".to_owned(), (self.random.number() % 1_000_000).to_string());
    }

    /// Goes on to the next step.
    fn advance(&mut self) {
        (self.at, self.attempts) = (self.at + 1, 0);
        if self.ready && self.at == self.repeated.len() {
            self.at = 0;
            self.begin_round();
        }
        if !self.think.is_zero() {
            self.pause = Some(self.think);
        }
    }

    /// What comes of an answer, or of none.
    fn settle(&mut self, step: Step, outcome: Outcome, response: Option<&Response<'_>>) {
        if outcome.is_ok() {
            self.retry.reset();
            self.advance();
            return;
        }
        self.attempts += 1;
        self.pause = Some(self.retry.delay(response));
        // Without its set-up a client can do nothing; one step of many may fail.
        if self.attempts >= self.steps[step.0].attempts && !self.steps[step.0].once {
            let pause = self.pause;
            for name in self.steps[step.0].capture.keys() {
                self.values.remove(name);
            }
            self.advance();
            self.pause = pause;
        }
    }
}

impl Client for StepsClient {
    type Report = FixedReport;

    fn next(&mut self, _at: &Moment, request: &mut Vec<u8>) -> Next {
        loop {
            if let Some(pause) = self.pause.take() {
                return Next::Think(pause);
            }
            if !self.ready && self.at == self.once.len() {
                (self.ready, self.at) = (true, 0);
                return Next::Ready;
            }
            let order = if self.ready { &self.repeated } else { &self.once };
            let Some(index) = order.get(self.at).copied() else { return Next::Finish };
            let step = &self.steps[index];
            if step.once && self.attempts >= step.attempts {
                return Next::Finish;
            }
            match step.write(&self.host, &self.values, request) {
                Ok(()) => return Next::Send(Step(index)),
                // Only steps that nobody has checked need something that nothing before them gives.
                Err(_) if self.at == 0 => return Next::Finish,
                // It needs what a step of this round that was given up would have captured.
                Err(_) => self.advance(),
            }
        }
    }

    fn receive(&mut self, _at: &Moment, step: Step, response: &Response<'_>) -> Outcome {
        let outcome = self.steps[step.0].judge(response, &mut self.values);
        self.settle(step, outcome, Some(response));
        outcome
    }

    fn failed(&mut self, _at: &Moment, step: Step, failure: Failure) {
        self.settle(step, Outcome::Failure(failure), None);
    }

    fn finish(self, _at: &Moment) -> FixedReport {
        FixedReport {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(toml_like: Value) -> Steps {
        let steps = serde_json::from_value(toml_like).expect("steps");
        Steps { host: "localhost".to_owned(), run: "r".to_owned(), think: Duration::ZERO, steps }
    }

    #[test]
    fn placeholders_are_filled() {
        let values = BTreeMap::from([("client", "3"), ("name", "Jo é")].map(|(a, b)| (a.to_owned(), b.to_owned())));
        let fill = |text| filled(text, &values, str::to_owned);
        assert_eq!(fill("a-${client}-${client}"), Ok("a-3-3".to_owned()));
        assert_eq!(fill("${nobody}"), Err("nobody".to_owned()));
        assert_eq!(fill("no ${end"), Ok("no ${end".to_owned()));
        assert_eq!(fill("{\"plain\": 1}"), Ok("{\"plain\": 1}".to_owned()));
        assert_eq!(filled("/of/${name}?a=1", &values, in_path), Ok("/of/Jo%20%C3%A9?a=1".to_owned()));
    }

    #[test]
    fn steps_that_cannot_be_taken_say_why() {
        let of = |value: Value| steps(value).check().map_err(|error| error.to_string());
        let known = "there is ${client}, ${random}, ${round}, ${run}";
        for (value, said) in [
            (serde_json::json!([]), "no step is repeated: leave `once` away from one of them".to_owned()),
            (
                serde_json::json!([{"name": "a", "path": "/${token}"}]),
                format!("step `a`: nothing gives `${{token}}` a value before it; {known}"),
            ),
            (
                serde_json::json!([{"name": "a", "path": "/"}, {"name": "a", "path": "/"}]),
                "two steps are called `a`: rename one".to_owned(),
            ),
            (
                serde_json::json!([{"name": "a", "path": "/", "attempts": 0}]),
                "step `a`: attempts is 0; it must be at least 1".to_owned(),
            ),
            (
                serde_json::json!([{"name": "a", "path": "/a b"}]),
                "step `a`: target \"/a b\" cannot stand in an HTTP request".to_owned(),
            ),
        ] {
            assert_eq!(of(value), Err(said));
        }
        let captured = serde_json::json!([
            {"name": "use", "path": "/${token}"},
            {"name": "get", "path": "/", "once": true, "capture": {"token": "/token"}},
        ]);
        assert_eq!(of(captured), Ok(()), "what is done once comes first");
    }
}
