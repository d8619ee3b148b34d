//! A serde deserialiser over [`Node`]s that refuses fields which the Rust type does not have and knows the place of every
//! fault. serde hands each struct's field names to the deserialiser, so nothing has to be compared afterwards.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor, value::StrDeserializer},
    forward_to_deserialize_any,
};

use super::{
    error::{Error, ErrorKind},
    node::{Entry, FieldPath, Node, Place, Tree},
    suggest::{hint, placeholder},
};

/// More faults than this in one object say that it is something else.
const MAX_FAULTS: usize = 20;

/// Reads a Kubernetes type from a tree. A field that is at fault is told and left out, so that the others are looked at as well; no
/// value means that nothing could be made of the tree.
pub(crate) fn from_node<T: for<'de> Deserialize<'de>>(node: &Node) -> (Option<T>, Vec<Error>) {
    read(node, Keys::Exact)
}

/// The same as Go reads it, to which a field's name is the same in any case.
pub(crate) fn from_node_as_go<T: for<'de> Deserialize<'de>>(node: &Node) -> (Option<T>, Vec<Error>) {
    read(node, Keys::InAnyCase)
}

/// How a key names a field.
#[derive(Clone, Copy)]
enum Keys {
    Exact,
    InAnyCase,
}

impl Keys {
    /// The field that a key names.
    fn field(self, fields: &[&'static str], key: &str) -> Option<&'static str> {
        let is_meant = |field: &str| match self {
            Self::Exact => field == key,
            Self::InAnyCase => field.eq_ignore_ascii_case(key),
        };
        fields.iter().copied().find(|field| is_meant(field))
    }
}

fn read<T: for<'de> Deserialize<'de>>(node: &Node, keys: Keys) -> (Option<T>, Vec<Error>) {
    let mut errors = Vec::new();
    let mut rest = Cow::Borrowed(node);
    loop {
        let fault = match T::deserialize(Reader { node: &rest, path: FieldPath::default(), keys }) {
            Ok(value) => return (Some(value), errors),
            Err(fault) => *fault.0,
        };
        let error = Error::new(fault.kind, fault.message, fault.remedy);
        let Some((place, path)) = fault.place else {
            errors.push(error.at(&node.place));
            return (None, errors);
        };
        errors.push(error.at(&place).in_field(&path));
        if errors.len() == MAX_FAULTS || !rest.to_mut().remove(&path) {
            return (None, errors);
        }
    }
}

/// An error on its way up; the innermost node that sees it gives it its place.
#[derive(Debug)]
struct Fault(Box<FaultDetails>);

#[derive(Debug)]
struct FaultDetails {
    kind: ErrorKind,
    message: String,
    remedy: String,
    place: Option<(Place, FieldPath)>,
}

impl Fault {
    fn new(kind: ErrorKind, message: String, remedy: String) -> Self {
        Self(Box::new(FaultDetails { kind, message, remedy, place: None }))
    }

    fn at(mut self, place: &Place, path: &FieldPath) -> Self {
        self.0.place.get_or_insert_with(|| (place.clone(), path.clone()));
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        // The text may quote the value, and the value may be a secret.
        Self::new(
            ErrorKind::Type,
            "the value has the wrong form".into(),
            "see the field's description in the Kubernetes API".into(),
        )
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match unexpected {
            Unexpected::Bool(_) => "a boolean",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
            Unexpected::Float(_) => "a number",
            Unexpected::Str(_) => "a string",
            Unexpected::Seq => "a list",
            Unexpected::Map => "a map",
            _ => "null",
        };
        wrong_type(&expected.to_string(), found)
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        if matches!(unexpected, Unexpected::Signed(_) | Unexpected::Unsigned(_)) {
            return Self::new(ErrorKind::Type, "the number is out of range".into(), "write a smaller one".into());
        }
        Self::new(ErrorKind::Type, format!("the value is not {expected}"), "correct the value".into())
    }
}

fn wrong_type(expected: &str, found: &str) -> Fault {
    let remedy = match (expected, found) {
        ("a string", "a boolean" | "an integer" | "a number") => "put the value in quotes",
        ("an integer" | "a boolean" | "a number", "a string") => "remove the quotes, or correct the value",
        (_, "null") => "give a value, or remove the field",
        _ => "check the indentation and the dashes of the lines below",
    };
    Fault::new(ErrorKind::Type, format!("expected {expected}, found {found}"), remedy.into())
}

struct Reader<'a> {
    node: &'a Node,
    path: FieldPath,
    keys: Keys,
}

impl Reader<'_> {
    fn wrong(&self, expected: &str) -> Fault {
        let mut fault = wrong_type(expected, self.node.type_name());
        // A Service has labels where workloads have a selector of two sorts.
        if expected == "a string" && self.path.to_string().ends_with("selector.matchLabels") {
            fault.0.remedy = "write the labels directly under `selector`, without `matchLabels`".to_owned();
        }
        if let Tree::Text(text) = &self.node.tree
            && let Some(remedy) = placeholder(text)
        {
            fault.0.remedy = remedy.to_owned();
        }
        fault.at(&self.node.place, &self.path)
    }

    /// Lets the visitor's own errors, such as a number out of range, have this node's place.
    fn placed<T>(&self, result: Result<T, Fault>) -> Result<T, Fault> {
        result.map_err(|fault| fault.at(&self.node.place, &self.path))
    }

    fn integer<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.tree {
            Tree::Int(value) => self.placed(visitor.visit_i64(value)),
            _ => Err(self.wrong("an integer")),
        }
    }

    fn map<'de, V: Visitor<'de>>(self, fields: Option<&'static [&'static str]>, visitor: V) -> Result<V::Value, Fault> {
        let Tree::Map(entries) = &self.node.tree else { return Err(self.wrong("a map")) };
        let access = Fields { entries: entries.iter(), current: None, fields, path: &self.path, keys: self.keys };
        self.placed(visitor.visit_map(access))
    }
}

macro_rules! integers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.integer(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.tree {
            // Only quantities, ports and shares take any type. As Go reads it: `limits: {cpu: }` is a limit of 0.
            Tree::Null => self.placed(visitor.visit_i64(0)),
            Tree::Bool(value) => self.placed(visitor.visit_bool(*value)),
            Tree::Int(value) => self.placed(visitor.visit_i64(*value)),
            Tree::Float(value) => self.placed(visitor.visit_f64(*value)),
            Tree::Text(value) => self.placed(visitor.visit_str(value)),
            Tree::List(_) => self.deserialize_seq(visitor),
            Tree::Map(_) => self.map(None, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.map(Some(fields), visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.map(None, visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Tree::List(items) = &self.node.tree else { return Err(self.wrong("a list")) };
        let access = Items { items: items.iter().enumerate(), path: &self.path, keys: self.keys };
        self.placed(visitor.visit_seq(access))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.tree {
            Tree::Text(value) => self.placed(visitor.visit_str(value)),
            // As Go reads it: `data: {level: }` is an empty text.
            Tree::Null => self.placed(visitor.visit_str("")),
            _ => Err(self.wrong("a string")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.tree {
            Tree::Bool(value) => self.placed(visitor.visit_bool(value)),
            _ => Err(self.wrong("a boolean")),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.tree {
            Tree::Float(value) => self.placed(visitor.visit_f64(value)),
            _ => self.integer(visitor),
        }
    }

    integers! { deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    forward_to_deserialize_any! {
        i128 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier ignored_any
    }
}

struct Fields<'a> {
    entries: std::slice::Iter<'a, Entry>,
    current: Option<&'a Entry>,
    fields: Option<&'static [&'static str]>,
    path: &'a FieldPath,
    keys: Keys,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        let path = self.path.key(&entry.key);
        let unknown = |fields: &'static [&'static str]| {
            let remedy = match entry.key.as_str() {
                // An Ingress of a version that clusters had before 1.22.
                "serviceName" | "servicePort" if fields.contains(&"service") => {
                    "write `service: {name: <name>, port: {number: <port>}}`".to_owned()
                }
                key => hint(key, fields.iter().copied(), "the fields here are"),
            };
            Fault::new(ErrorKind::UnknownField, "unknown field".into(), remedy).at(&entry.place, &path)
        };
        let key = match self.fields {
            Some(fields) => self.keys.field(fields, &entry.key).ok_or_else(|| unknown(fields))?,
            None => entry.key.as_str(),
        };
        self.current = Some(entry);
        seed.deserialize(StrDeserializer::<Fault>::new(key)).map(Some).map_err(|fault| fault.at(&entry.place, &path))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some(entry) = self.current.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(Reader { node: &entry.node, path: self.path.key(&entry.key), keys: self.keys })
    }
}

struct Items<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    path: &'a FieldPath,
    keys: Keys,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((index, node)) = self.items.next() else { return Ok(None) };
        seed.deserialize(Reader { node, path: self.path.item(index, node.item_name()), keys: self.keys }).map(Some)
    }
}
