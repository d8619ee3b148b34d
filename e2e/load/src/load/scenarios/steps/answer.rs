//! What an answer must be and what is taken from it, in one pass over its bytes: [`Answer`].

use std::fmt;

use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Deserializer, Number, Value};

use super::template::{Encoding, Names, Template, Values};
use super::{InvalidSteps, OWN, StepSpec, invalid};
use crate::load::{Outcome, Response};

/// The expectations and captures of one step.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    status: Vec<u16>,
    contains: Option<Template>,
    fields: Node,
    /// How many values of the body are looked for.
    looks: u32,
    others: Vec<(Source, usize)>,
    /// The slots that are filled.
    captured: Vec<usize>,
}

/// Where a value is taken from when it is not a field of the body.
#[derive(Debug, Clone)]
enum Source {
    /// The whole of it, without white space around.
    Body,
    Header(String),
    /// A cookie, as an answer sets it.
    Cookie(String),
}

/// The values of a body that are looked at, as a tree of the tokens of their JSON pointers.
#[derive(Debug, Clone, Default)]
struct Node {
    looks: Vec<(u32, Look)>,
    below: Vec<Branch>,
}

#[derive(Debug, Clone)]
struct Branch {
    key: String,
    /// The same in a list.
    index: Option<usize>,
    node: Node,
}

/// What is done with a value.
#[derive(Debug, Clone)]
enum Look {
    Compare(Wanted),
    /// Kept in the slot.
    Capture(usize),
}

#[derive(Debug, Clone)]
enum Wanted {
    Text(String),
    /// The text of a string or of a number.
    Filled {
        text: Template,
        has_captures: bool,
    },
    Bool(bool),
    Number(Number),
}

/// What an answer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    /// Whether a value is another than the client captured before.
    pub(super) contradicts: bool,
}

/// More values of one body than this have no place in the set of those that were found.
const MOST_LOOKS: u32 = u64::BITS;

impl Answer {
    /// The expectations of a step. What it captures gets slots.
    pub(super) fn new(step: &StepSpec, names: &mut Names) -> Result<Self, InvalidSteps> {
        let mut answer = Self { status: step.status.clone(), ..Self::default() };
        let template = |text: &str| super::template(step, text, Encoding::Plain, names);
        answer.contains = step.contains.as_deref().map(template).transpose()?;
        for (pointer, wanted) in &step.fields {
            let wanted = match wanted {
                Value::String(text) => {
                    let filled = template(text)?;
                    let has_captures = filled.slots().any(|slot| slot >= OWN.len());
                    match filled.as_text() {
                        Some(text) => Wanted::Text(text),
                        None => Wanted::Filled { text: filled, has_captures },
                    }
                }
                Value::Bool(wanted) => Wanted::Bool(*wanted),
                Value::Number(wanted) => Wanted::Number(wanted.clone()),
                _ => {
                    return Err(invalid(
                        step,
                        format!("`{pointer}` is compared with a list or a table; name each value in it"),
                    ));
                }
            };
            answer.look(step, pointer, Look::Compare(wanted))?;
        }
        for (name, place) in &step.capture {
            let slot = names.add(name);
            answer.captured.push(slot);
            match Source::parse(place) {
                Some(source) => answer.others.push((source, slot)),
                None => answer.look(step, place, Look::Capture(slot))?,
            }
        }
        Ok(answer)
    }

    fn look(&mut self, step: &StepSpec, pointer: &str, look: Look) -> Result<(), InvalidSteps> {
        let Some(tokens) = pointer.strip_prefix('/') else {
            let remedy =
                "write a JSON pointer such as /items/0/id; a capture may also be header:NAME, cookie:NAME or body";
            return Err(invalid(step, format!("`{pointer}` is not a place in an answer; {remedy}")));
        };
        let mut node = &mut self.fields;
        for token in tokens.split('/') {
            node = node.branch(token.replace("~1", "/").replace("~0", "~"));
        }
        if self.looks == MOST_LOOKS {
            return Err(invalid(step, format!("more than {MOST_LOOKS} fields and captures; leave some out")));
        }
        node.looks.push((self.looks, look));
        self.looks += 1;
        Ok(())
    }

    pub(super) fn captured(&self) -> &[usize] {
        &self.captured
    }

    /// Judges an answer. What it captures becomes the client's only when the whole answer is as expected.
    pub(super) fn judge(&self, response: &Response<'_>, values: &mut Values, scratch: &mut Vec<u8>) -> Verdict {
        let is_expected =
            if self.status.is_empty() { response.status < 400 } else { self.status.contains(&response.status) };
        if !is_expected {
            return Verdict { outcome: Outcome::Status(response.status), contradicts: false };
        }
        let mut seen = Seen { values, found: 0, is_wrong: false, contradicts: false };
        let fields = self.looks == 0 || seen.read(&self.fields, response.body, self.looks);
        let contradicts = seen.contradicts;
        let is_as_expected = fields
            && self.contains.as_ref().is_none_or(|wanted| {
                scratch.clear();
                wanted.write(values, scratch);
                memchr::memmem::find(response.body, scratch).is_some()
            })
            && self.others.iter().all(|(source, slot)| {
                let next = values.next(*slot);
                source.write(response, next);
                is_usable(next)
            });
        if !is_as_expected {
            return Verdict { outcome: Outcome::UnexpectedBody, contradicts };
        }
        self.captured.iter().for_each(|slot| values.adopt(*slot));
        Verdict { outcome: Outcome::Ok, contradicts: false }
    }
}

/// Whether a text can stand in a later request. An empty one is none.
fn is_usable(text: &[u8]) -> bool {
    !text.is_empty() && !text.iter().any(u8::is_ascii_control)
}

impl Source {
    fn parse(place: &str) -> Option<Self> {
        match place.split_once(':') {
            None if place == "body" => Some(Self::Body),
            Some(("header", name)) => Some(Self::Header(name.to_owned())),
            Some(("cookie", name)) => Some(Self::Cookie(name.to_owned())),
            _ => None,
        }
    }

    /// Writes the value if the answer has it.
    fn write(&self, response: &Response<'_>, text: &mut Vec<u8>) {
        match self {
            Self::Body => text.extend_from_slice(response.body.trim_ascii()),
            Self::Header(name) => text.extend_from_slice(response.header(name).unwrap_or_default()),
            Self::Cookie(name) => response.each_header("set-cookie", |cookie| {
                let value = cookie.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
                if let Some(value) = value {
                    text.clear();
                    text.extend_from_slice(value.split(|byte| *byte == b';').next().unwrap_or_default());
                }
            }),
        }
    }
}

impl Node {
    fn branch(&mut self, key: String) -> &mut Self {
        let position = self.below.iter().position(|branch| branch.key == key).unwrap_or_else(|| {
            let index = key.parse().ok().filter(|index: &usize| index.to_string() == key);
            self.below.push(Branch { key, index, node: Self::default() });
            self.below.len() - 1
        });
        &mut self.below[position].node
    }
}

/// What was seen of an answer's body so far.
struct Seen<'client> {
    values: &'client mut Values,
    /// A bit for each look that had a value.
    found: u64,
    is_wrong: bool,
    contradicts: bool,
}

/// A value without others in it.
enum Scalar<'body> {
    Text(&'body str),
    Bool(bool),
    Number(Number),
    /// Nothing, a list or a table, which are no value here.
    Other,
}

impl Seen<'_> {
    /// Whether the body is JSON and each of the looks had what it wanted.
    fn read(&mut self, fields: &Node, body: &[u8], looks: u32) -> bool {
        let mut body = Deserializer::from_slice(body);
        let is_read = At { seen: self, node: fields }.deserialize(&mut body).and_then(|()| body.end()).is_ok();
        is_read && !self.is_wrong && self.found.count_ones() == looks
    }

    fn meet(&mut self, node: &Node, value: &Scalar<'_>) {
        for (number, look) in &node.looks {
            self.found |= 1 << number;
            let is_right = match look {
                Look::Compare(wanted) => wanted.is(value, self.values),
                Look::Capture(slot) => {
                    let next = self.values.next(*slot);
                    value.write(next);
                    is_usable(next)
                }
            };
            let is_captured = matches!(look, Look::Compare(Wanted::Filled { has_captures: true, .. }));
            self.is_wrong |= !is_right;
            self.contradicts |= !is_right && is_captured;
        }
    }
}

impl Wanted {
    fn is(&self, value: &Scalar<'_>, values: &Values) -> bool {
        match (self, value) {
            (Self::Text(wanted), Scalar::Text(text)) => wanted == text,
            (Self::Bool(wanted), Scalar::Bool(value)) => wanted == value,
            // A file may say 1 for what JSON has as 1.0.
            (Self::Number(wanted), Scalar::Number(value)) => wanted == value || wanted.as_f64() == value.as_f64(),
            (Self::Filled { text, .. }, Scalar::Text(value)) => text.is(values, value.as_bytes()),
            (Self::Filled { text, .. }, number @ Scalar::Number(_)) => {
                // A number is short enough for the stack.
                let mut digits = std::io::Cursor::new([0; 40]);
                number.write(&mut digits);
                let length = digits.position() as usize;
                text.is(values, &digits.get_ref()[..length])
            }
            _ => false,
        }
    }
}

impl Scalar<'_> {
    /// Writes its text, if it has one.
    fn write(&self, text: &mut impl std::io::Write) {
        let written = match self {
            Self::Text(value) => text.write_all(value.as_bytes()),
            Self::Bool(value) => write!(text, "{value}"),
            Self::Number(value) => write!(text, "{value}"),
            Self::Other => Ok(()),
        };
        written.expect("a value fits into memory");
    }
}

/// A place in a body, with what is looked at there.
struct At<'seen, 'client, 'node> {
    seen: &'seen mut Seen<'client>,
    node: &'node Node,
}

impl<'de> DeserializeSeed<'de> for At<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, body: D) -> Result<(), D::Error> {
        body.deserialize_any(self)
    }
}

impl At<'_, '_, '_> {
    fn meet<E>(self, value: &Scalar<'_>) -> Result<(), E> {
        self.seen.meet(self.node, value);
        Ok(())
    }
}

impl<'de> Visitor<'de> for At<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.meet(&Scalar::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.meet(&Scalar::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.meet(&Scalar::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.meet(&Number::from_f64(value).map_or(Scalar::Other, Scalar::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.meet(&Scalar::Text(value))
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.meet(&Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.seen.meet(self.node, &Scalar::Other);
        let mut index = 0;
        loop {
            let branch = self.node.below.iter().find(|branch| branch.index == Some(index));
            let more = match branch {
                Some(Branch { node, .. }) => list.next_element_seed(At { seen: self.seen, node })?.is_some(),
                None => list.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<(), A::Error> {
        self.seen.meet(self.node, &Scalar::Other);
        while let Some(branch) = table.next_key_seed(Key(&self.node.below))? {
            match branch {
                Some(node) => table.next_value_seed(At { seen: self.seen, node })?,
                None => drop(table.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Finds the branch of a key, if it is looked at.
struct Key<'node>(&'node [Branch]);

impl<'de, 'node> DeserializeSeed<'de> for Key<'node> {
    type Value = Option<&'node Node>;

    fn deserialize<D: de::Deserializer<'de>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_str(self)
    }
}

impl<'node> Visitor<'_> for Key<'node> {
    type Value = Option<&'node Node>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|branch| branch.key == key).map(|branch| &branch.node))
    }
}
