//! The file that each finished run adds a line to. Main functions: [`append`], [`read`].

use std::{
    fs,
    io::{ErrorKind, Write as _},
    path::Path,
};

use e2e_report::{history::Entry, report::Report, run_dir};

use crate::git;

/// Its name, beside the runs.
pub const HISTORY: &str = "history.jsonl";

/// Adds a finished run of the project at `root`.
///
/// # Errors
///
/// The file cannot be written.
pub fn append(root: &Path, runs: &Path, report: &Report) -> Result<(), run_dir::Error> {
    let mut entry = Entry::new(report);
    if let Some(state) = git::state(root) {
        (entry.commit, entry.branch, entry.dirty) = (Some(state.commit), state.branch, state.dirty);
    }
    let path = runs.join(HISTORY);
    let failed = |error: std::io::Error| run_dir::Error::new("write", &path, error);
    let line = serde_json::to_string(&entry).map_err(|error| failed(error.into()))? + "\n";
    // One write, so that the lines of runs that end together do not mix.
    let mut file = fs::OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
    file.write_all(line.as_bytes()).map_err(failed)
}

/// The runs so far, oldest first. Lines of another version of the program that this one does not understand are left out.
///
/// # Errors
///
/// The file is there and cannot be read.
pub fn read(runs: &Path) -> Result<Vec<Entry>, run_dir::Error> {
    let path = runs.join(HISTORY);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(run_dir::Error::new("read", &path, error)),
    };
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}
