//! Steps as clients take them: [`Compiled`], made once from what a file says and shared by all clients.

use std::fmt::Write as _;
use std::time::Duration;

use serde::de::IgnoredAny;

use super::answer::Answer;
use super::template::{Encoding, Names, Template, Values};
use super::{CLIENT, InvalidSteps, OWN, ROUND, StepSpec, Steps, invalid};
use crate::load::{Keys, RequestHead, request::write_rest};

/// All steps of a scenario.
#[derive(Debug)]
pub(super) struct Compiled {
    /// As they are declared.
    pub(super) steps: Vec<CompiledStep>,
    /// The order in which clients take them: once before the window, once within it, then in turn.
    pub(super) order: Vec<usize>,
    /// The position in the order at which a client is ready.
    pub(super) ready_at: usize,
    /// The position from which steps are taken again and again.
    pub(super) rounds_from: usize,
    /// How many values a client has.
    pub(super) slots: usize,
    pub(super) ledger: Option<Key>,
}

#[derive(Debug)]
pub(super) struct CompiledStep {
    pub(super) name: String,
    pub(super) once: bool,
    pub(super) attempts: u32,
    /// The pause before it.
    pub(super) think: Duration,
    pub(super) request: Request,
    pub(super) answer: Answer,
    pub(super) server_time: Option<String>,
}

/// A request whose placeholders are not filled.
#[derive(Debug)]
pub(super) struct Request {
    /// Everything before the `content-length`, or all of a request whose body never changes.
    head: Template,
    body: Option<Template>,
}

/// The key that is entered in the ledger.
#[derive(Debug)]
pub(super) struct Key {
    /// The index of the step whose answer acknowledges it.
    pub(super) step: usize,
    text: Template,
    kind: KeyKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    /// It follows from client and round.
    Round,
    /// It follows from the client alone.
    Client,
    /// It has something else in it.
    Text,
    /// It has something in it that only the acknowledgement tells.
    Given,
}

impl Compiled {
    pub(super) fn new(spec: &Steps) -> Result<Self, InvalidSteps> {
        let of = |wanted: &dyn Fn(&StepSpec) -> bool| {
            (0..spec.steps.len()).filter(|index| wanted(&spec.steps[*index])).collect::<Vec<_>>()
        };
        let before = of(&|step| step.once && !step.measured);
        let within = of(&|step| step.once && step.measured);
        let again = of(&|step| !step.once);
        if spec.steps.is_empty() {
            return Err(InvalidSteps::NoSteps);
        }
        if within.is_empty() && again.is_empty() {
            return Err(InvalidSteps::NothingMeasured);
        }
        let (ready_at, rounds_from) = (before.len(), before.len() + within.len());
        let order = [before, within, again].concat();
        let mut names = Names::new(&spec.run, &OWN);
        let mut steps: Vec<Option<CompiledStep>> = spec.steps.iter().map(|_| None).collect();
        for index in &order {
            let step = &spec.steps[*index];
            if spec.steps.iter().filter(|other| other.name == step.name).count() > 1 {
                return Err(InvalidSteps::SameName(step.name.clone()));
            }
            steps[*index] = Some(CompiledStep::new(spec, step, &mut names)?);
        }
        let steps: Vec<CompiledStep> = steps.into_iter().flatten().collect();
        let ledger = spec.ledger.as_ref().map(|_| Key::new(spec, &steps, &names)).transpose()?;
        Ok(Self { steps, order, ready_at, rounds_from, slots: names.slots(), ledger })
    }
}

impl CompiledStep {
    fn new(spec: &Steps, step: &StepSpec, names: &mut Names) -> Result<Self, InvalidSteps> {
        if step.attempts == 0 {
            return Err(invalid(step, "attempts is 0; it must be at least 1"));
        }
        let request = Request::new(spec, step, names)?;
        let answer = Answer::new(step, names)?;
        Ok(Self {
            name: step.name.clone(),
            once: step.once,
            attempts: step.attempts,
            think: step.think.unwrap_or(spec.think),
            request,
            answer,
            server_time: step.server_time.clone(),
        })
    }
}

impl Request {
    fn new(spec: &Steps, step: &StepSpec, names: &Names) -> Result<Self, InvalidSteps> {
        let template = |text: &str, encoding| super::template(step, text, encoding, names);
        let path = template(&step.path, Encoding::Path)?;
        let mut headers = Vec::new();
        for (name, value) in &step.headers {
            headers.push((name.clone(), template(value, Encoding::Plain)?));
        }
        let has = |name: &str| step.headers.keys().any(|header| header.eq_ignore_ascii_case(name));
        let is_json = step.body.as_deref().is_some_and(|body| is_json(body, names));
        if is_json && !has("content-type") {
            headers.push(("content-type".to_owned(), template("application/json", Encoding::Plain)?));
        }
        let host = if has("host") { None } else { Some(spec.host.as_str()) };
        let mut head = head(step, host, path, headers)?;
        // A server may ask for the length of what these are to have (RFC 9110, section 8.6).
        let has_content = matches!(step.method.as_str(), "POST" | "PUT" | "PATCH");
        if step.body.is_none() && has_content && !has("content-length") {
            head.push("content-length: 0\r\n");
        }
        let encoding = if is_json { Encoding::Json } else { Encoding::Plain };
        let body = step.body.as_deref().map(|body| template(body, encoding)).transpose()?;
        Ok(Self { head, body })
    }

    /// Writes the request; false when a placeholder has no value.
    pub(super) fn write(&self, values: &Values, scratch: &mut Vec<u8>, request: &mut Vec<u8>) -> bool {
        if !self.head.is_filled(values) || !self.body.as_ref().is_none_or(|body| body.is_filled(values)) {
            return false;
        }
        self.head.write(values, request);
        scratch.clear();
        if let Some(body) = &self.body {
            body.write(values, scratch);
        }
        write_rest(self.body.as_ref().map(|_| scratch.as_slice()), request);
        true
    }
}

/// The request's head, which is refused when it cannot be HTTP with harmless values in it.
fn head(
    step: &StepSpec,
    host: Option<&str>,
    path: Template,
    headers: Vec<(String, Template)>,
) -> Result<Template, InvalidSteps> {
    let invalid = |error: crate::load::InvalidRequest| super::invalid(step, error.to_string());
    let mut checked = RequestHead::new(&step.method, &path.sample(), host.unwrap_or("host")).map_err(invalid)?;
    let mut head = Template::default();
    head.push(&format!("{} ", step.method));
    head.append(path);
    head.push(" HTTP/1.1\r\n");
    if let Some(host) = host {
        head.push(&format!("host: {host}\r\n"));
    }
    for (name, value) in headers {
        checked = checked.header(&name, &value.sample()).map_err(invalid)?;
        head.push(&format!("{name}: "));
        head.append(value);
        head.push("\r\n");
    }
    Ok(head)
}

/// Whether a body is JSON, whatever stands for its placeholders.
fn is_json(body: &str, names: &Names) -> bool {
    let body = Template::parse(body, Encoding::Json, names);
    body.is_ok_and(|body| serde_json::from_str::<IgnoredAny>(&body.sample()).is_ok())
}

impl Key {
    fn new(spec: &Steps, steps: &[CompiledStep], names: &Names) -> Result<Self, InvalidSteps> {
        let ledger = spec.ledger.as_ref().expect("a ledger");
        let invalid = |reason: String| InvalidSteps::Ledger(reason);
        let step = match &ledger.step {
            Some(name) => steps.iter().position(|step| step.name == *name).ok_or_else(|| {
                let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
                invalid(format!("there is no step `{name}`; there is {}", names.join(", ")))
            })?,
            None => {
                let mut repeated = (0..steps.len()).filter(|index| !steps[*index].once);
                match (repeated.next(), repeated.next(), steps.len()) {
                    (Some(only), None, _) => only,
                    (None, None, 1) => 0,
                    _ => return Err(invalid("set `step` to the step whose answer acknowledges the key".to_owned())),
                }
            }
        };
        let text = Template::parse(&ledger.key, Encoding::Plain, names)
            .map_err(|name| invalid(format!("`${{{name}}}` in its key has no value; there is {}", names.listed())))?;
        if text.sample().chars().any(char::is_control) {
            return Err(invalid("its key has a control character; remove it".to_owned()));
        }
        let has = |wanted: &dyn Fn(usize) -> bool| text.slots().any(wanted);
        let kind = if has(&|slot| steps[step].answer.captured().contains(&slot)) {
            KeyKind::Given
        } else if has(&|slot| slot != CLIENT && slot != ROUND) {
            KeyKind::Text
        } else if has(&|slot| slot == ROUND) {
            KeyKind::Round
        } else {
            KeyKind::Client
        };
        Ok(Self { step, text, kind })
    }

    /// Adds the key to a set of a client's. A key that only the acknowledgement would have told has no name.
    pub(super) fn enter(&self, round: u64, values: &Values, scratch: &mut Vec<u8>, keys: &mut Keys, is_given: bool) {
        match self.kind {
            KeyKind::Round => keys.add_round(round),
            KeyKind::Client => keys.add_round(1),
            KeyKind::Given if !is_given => keys.add_unnamed(),
            KeyKind::Text | KeyKind::Given => {
                scratch.clear();
                self.text.write(values, scratch);
                keys.add(&String::from_utf8_lossy(scratch));
            }
        }
    }

    /// Writes the key of a client's round.
    pub(super) fn write(&self, client: u32, round: u64, key: &mut String) {
        self.text.append_to(key, |slot, key| {
            let number = if slot == CLIENT { u64::from(client) } else { round };
            write!(key, "{number}").expect("writing to memory does not fail");
        });
    }

    /// What all keys of a run look like, as SQL's LIKE writes it.
    pub(super) fn pattern(&self) -> String {
        self.text.pattern()
    }
}
