//! A field of an object, from which errors take their place. Main type: [`Cursor`].

use super::{
    document::Document,
    error::{Error, ErrorKind},
    node::FieldPath,
};

/// A field of an object.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    pub(crate) object: &'a Document,
    pub(crate) path: FieldPath,
}

impl<'a> Cursor<'a> {
    pub(crate) fn root(object: &'a Document) -> Self {
        Self { object, path: FieldPath::default() }
    }

    pub(crate) fn key(&self, key: &str) -> Self {
        Self { object: self.object, path: self.path.key(key) }
    }

    pub(crate) fn keys(&self, keys: &[&str]) -> Self {
        keys.iter().fold(self.clone(), |cursor, key| cursor.key(key))
    }

    pub(crate) fn item(&self, index: usize, name: &str) -> Self {
        Self { object: self.object, path: self.path.item(index, Some(name)) }
    }

    pub(crate) fn fail(&self, kind: ErrorKind, message: impl Into<String>, remedy: impl Into<String>) -> Error {
        Error::new(kind, message, remedy)
            .at(self.object.node.place_of(&self.path))
            .in_field(&self.path)
            .in_object(&self.object.label())
    }
}
