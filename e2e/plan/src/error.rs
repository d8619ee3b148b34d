//! What is wrong with a manifest, an overlay or an override, where it stands, and what to do. Main type: [`Error`].

use std::{fmt, path::PathBuf};

use super::{
    node::{FieldPath, Place},
    read::Object,
};

/// Why no plan can be made: one line that names the place, the fault and the remedy. No secret text is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{location}{message}; {remedy}")]
pub struct Error {
    /// The sort of fault.
    pub kind: ErrorKind,
    /// Where it stands.
    pub location: Box<Location>,
    /// What is wrong.
    pub message: String,
    /// The next thing to try.
    pub remedy: String,
}

/// The sorts of faults, for callers that treat them differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is not YAML.
    Syntax,
    /// A document is no Kubernetes object, or of a kind that is not supported.
    Object,
    /// A field that the kind does not have.
    UnknownField,
    /// A field's value has another type than Kubernetes wants.
    Type,
    /// A field's value is not allowed.
    Value,
    /// Something is named that does not exist.
    Missing,
    /// Something is declared twice.
    Duplicate,
    /// A field without which the object has no meaning for a plan, but which is not supported.
    Unsupported,
    /// A patch cannot be applied.
    Overlay,
    /// `--set` or a replica override cannot be applied.
    Override,
}

/// A place in the manifests. Fields that do not apply are empty or 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Location {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// The document's position in the file, from 1.
    pub document: usize,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The object, as `Kind/name`.
    pub object: String,
    /// The field's path in the object.
    pub path: String,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.as_os_str().is_empty() {
            write!(f, "{}", self.file.display())?;
            if self.line > 0 {
                write!(f, ":{}:{}", self.line, self.column)?;
            }
            if self.document > 0 {
                write!(f, ", document {}", self.document)?;
            }
            f.write_str(": ")?;
        }
        for part in [&self.object, &self.path] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        Ok(())
    }
}

impl Error {
    /// An error without a place, as for a command-line override.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { kind, location: Box::default(), message: message.into(), remedy: remedy.into() }
    }

    /// The same error, at a place.
    pub(crate) fn at(mut self, place: &Place) -> Self {
        self.location.file = place.file.to_path_buf();
        self.location.document = place.document;
        self.location.line = place.line;
        self.location.column = place.column;
        self
    }

    /// The same error, in a field.
    pub(crate) fn in_field(mut self, path: &FieldPath) -> Self {
        self.location.path = path.to_string();
        self
    }

    /// The same error, in an object.
    pub(crate) fn in_object(mut self, object: &str) -> Self {
        self.location.object = object.to_owned();
        self
    }
}

/// A field of an object, from which errors take their place.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    pub(crate) object: &'a Object,
    pub(crate) path: FieldPath,
}

impl<'a> Cursor<'a> {
    pub(crate) fn root(object: &'a Object) -> Self {
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
