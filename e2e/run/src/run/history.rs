//! What each finished run adds a line to: a file beside the runs, or a git ref that travels with the repository. Main type: [`History`].

use std::{
    fs,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use e2e_report::{history::Entry, report::Report, run_dir};

use super::Error;
use crate::git;

/// The file's name, beside the runs.
const HISTORY: &str = "history.jsonl";

/// The page for a browser, beside the runs.
pub const HISTORY_HTML: &str = "history.html";

/// The finished runs of a project.
#[derive(Debug, Clone)]
pub struct History {
    pub(super) root: PathBuf,
    pub(super) runs: PathBuf,
    /// The git ref, where one is named.
    pub(super) reference: Option<String>,
}

impl History {
    /// Adds a finished run.
    ///
    /// # Errors
    ///
    /// The file or the ref cannot be written.
    pub(crate) fn append(&self, report: &Report) -> Result<(), Error> {
        let entry = Entry::new(report);
        let path = self.runs.join(HISTORY);
        let failed = |error: std::io::Error| run_dir::Error::new("write", &path, error);
        let line = serde_json::to_string(&entry).map_err(|error| failed(error.into()))?;
        match &self.reference {
            Some(reference) => git::append_to_ref(&self.root, reference, &line)?,
            None => append(&path, &line).map_err(failed)?,
        }
        Ok(())
    }

    /// The runs so far, oldest first. Lines of another version of the program that this one does not understand are left out.
    ///
    /// # Errors
    ///
    /// The file or the ref is there and cannot be read.
    pub fn read(&self) -> Result<Vec<Entry>, Error> {
        let path = self.runs.join(HISTORY);
        let text = match &self.reference {
            Some(reference) => git::read_ref(&self.root, reference)?.unwrap_or_default(),
            None => match fs::read_to_string(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
                read => read.map_err(|error| run_dir::Error::new("read", &path, error))?,
            },
        };
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }
}

fn append(path: &Path, line: &str) -> std::io::Result<()> {
    // One write, so that the lines of runs that end together do not mix.
    fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(format!("{line}\n").as_bytes())
}
