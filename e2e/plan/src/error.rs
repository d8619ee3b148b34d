//! What is wrong with a manifest, an overlay or an override, where it stands, and what to do. Main types: [`Error`], and
//! [`Errors`] for all that is wrong with an input.

use std::{cell::RefCell, fmt, path::PathBuf};

use super::node::{FieldPath, Place};

/// Why no plan can be made: one line that names the place, the fault and the remedy. No secret text is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{location}{message}; {remedy}")]
pub struct Error {
    /// The sort of fault.
    pub(crate) kind: ErrorKind,
    /// Where it stands.
    pub location: Box<Location>,
    /// What is wrong.
    pub message: String,
    /// The next thing to try.
    pub remedy: String,
}

/// The sorts of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// A file or directory cannot be read, or a command that should write manifests does not.
    File,
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

/// Everything that is wrong with an input, by file and line; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors(Vec<Error>);

impl Errors {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Error> {
        self.0.iter()
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for Errors {
    /// One is a line of its own; several are counted, and stand below each other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return only.fmt(f);
        }
        write!(f, "{} errors in the manifests", self.0.len())?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl std::error::Error for Errors {}

/// Where faults are gathered while the rest is still looked at.
#[derive(Debug, Default)]
pub(crate) struct Faults(RefCell<Vec<Error>>);

impl Faults {
    pub(crate) fn push(&self, error: Error) {
        self.0.borrow_mut().push(error);
    }

    pub(crate) fn extend(&self, errors: impl IntoIterator<Item = Error>) {
        self.0.borrow_mut().extend(errors);
    }

    /// The value, or none for one that was a fault.
    pub(crate) fn keep<T>(&self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    /// Forgets the others.
    pub(crate) fn retain(&self, is_kept: impl Fn(&Error) -> bool) {
        self.0.borrow_mut().retain(is_kept);
    }

    pub(crate) fn append(&self, other: Self) {
        self.extend(other.0.into_inner());
    }

    /// Whether there is one of this object, named as `Kind/name`.
    pub(crate) fn concern(&self, object: &str) -> bool {
        self.0.borrow().iter().any(|error| error.location.object == object)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// An error with all of them, each once and in the order of the files; none if there are none.
    pub(crate) fn into_result(self) -> Result<(), Errors> {
        let mut errors: Vec<Error> = Vec::new();
        let all = self.0.into_inner();
        for error in &all {
            if !errors.contains(error) && !all.iter().any(|other| error.follows_from(other)) {
                errors.push(error.clone());
            }
        }
        let files: Vec<PathBuf> = errors.iter().map(|error| error.location.file.clone()).collect();
        let file = |error: &Error| files.iter().position(|file| *file == error.location.file);
        errors.sort_by_key(|error| (file(error), error.location.line, error.location.column));
        if errors.is_empty() { Ok(()) } else { Err(Errors(errors)) }
    }
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
    /// A fault of a file or directory as a whole.
    pub(crate) fn of_file(file: impl Into<PathBuf>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorKind::File, message, remedy);
        error.location.file = file.into();
        error
    }

    /// An error without a place, as for a command-line override.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { kind, location: Box::default(), message: message.into(), remedy: remedy.into() }
    }

    /// Whether this says that something is missing where another fault has taken it away, or is wrong with what stands for it.
    fn follows_from(&self, other: &Self) -> bool {
        let is_cause = matches!(other.kind, ErrorKind::UnknownField | ErrorKind::Type);
        let inside = other.location.path.strip_prefix(&self.location.path);
        let inside = inside.filter(|_| is_cause && self.location.object == other.location.object);
        match self.kind {
            ErrorKind::Missing => inside.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])),
            ErrorKind::Value => inside == Some(""),
            _ => false,
        }
    }

    pub(crate) fn at(mut self, place: &Place) -> Self {
        self.location.file = place.file.to_path_buf();
        self.location.document = place.document;
        self.location.line = place.line;
        self.location.column = place.column;
        self
    }

    pub(crate) fn in_field(mut self, path: &FieldPath) -> Self {
        self.location.path = path.to_string();
        self
    }

    pub(crate) fn in_object(mut self, object: &str) -> Self {
        self.location.object = object.to_owned();
        self
    }
}
