//! The stable part of a report, and the bands of its figures, against the accepted snapshots, [insta](https://insta.rs) files. Main
//! functions: [`compare`], [`compare_figures`].

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use e2e_plan::target::Target;
use e2e_report::{
    bands::{Bands, Judged, judge},
    history::Entry,
    report::{Report, snapshot::stable},
};
use insta::Snapshot;
use similar::TextDiff;

use super::error::Error;
use crate::progress::Progress;

/// A snapshot that a run does not confirm. Shown as a unified diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The accepted snapshot, whether it exists or not.
    pub file: PathBuf,
    /// Its content, without insta's header; `None` if nothing was accepted so far.
    pub accepted: Option<String>,
    /// The content that this run has in its place.
    pub measured: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accepted = self.accepted.as_ref().map(|text| format!("{text}\n")).unwrap_or_default();
        let measured = format!("{}\n", self.measured);
        let diff = TextDiff::from_lines(&accepted, &measured);
        write!(f, "{}", diff.unified_diff().context_radius(4).header(&self.file.display().to_string(), "this run"))
    }
}

/// Compares a report with the snapshot of its target, `<directory>/<target>/report.snap`; `None` if they agree or `accept` has it
/// replaced.
///
/// A change is left beside the snapshot as `report.snap.new`, where `cargo insta review` finds it, and a run that agrees removes it.
///
/// # Errors
///
/// When the snapshot cannot be read, or not be replaced.
pub(super) fn compare(report: &Report, directory: &Path, accept: bool) -> Result<Option<Change>, Error> {
    let file = directory.join(report.target.as_str()).join("report.snap");
    let accepted = accepted(&file, accept)?;
    settle(file, "the part of report.json that all healthy runs share", accepted, stable(report).trim_end(), accept)
}

/// The same for the bands of the figures `names`, in `<directory>/<target>/figures.snap`, and the latest run of a history. What is outside
/// of its band, or not compared, is said.
///
/// # Errors
///
/// When the snapshot cannot be read, or not be replaced.
pub(super) fn compare_figures(
    names: &[String],
    entries: &[Entry],
    target: Target,
    directory: &Path,
    accept: bool,
    progress: &Progress,
) -> Result<Option<Change>, Error> {
    let file = directory.join(target.as_str()).join("figures.snap");
    let accepted = accepted(&file, accept)?;
    let bands = match accepted.as_deref().map(serde_json::from_str::<Bands>) {
        Some(Err(error)) if !accept => return Err(Error::Snapshot { file, reason: error.to_string() }),
        bands => bands.and_then(Result::ok),
    };
    let Judged { bands, outside, notes } = judge(names, entries, bands.as_ref(), accept);
    notes.iter().chain(&outside).for_each(|line| progress.line(line));
    let Some(bands) = bands else { return Ok(None) };
    let measured = serde_json::to_string_pretty(&bands).unwrap_or_default();
    settle(file, "where the figures of a run of the unchanged system fall", accepted, &measured, accept)
}

/// What was accepted so far. A file that cannot be read is an error unless it is to be replaced.
fn accepted(file: &Path, replace: bool) -> Result<Option<String>, Error> {
    match read(file) {
        Err(_) if replace => Ok(None),
        read => read.map_err(|reason| Error::Snapshot { file: file.to_owned(), reason }),
    }
}

/// Removes a pending snapshot that nothing differs from any more, replaces the accepted one, or leaves a pending one beside it.
fn settle(
    file: PathBuf,
    description: &str,
    accepted: Option<String>,
    measured: &str,
    accept: bool,
) -> Result<Option<Change>, Error> {
    let pending = file.with_extension("snap.new");
    if accepted.as_deref() == Some(measured) {
        // Left by an earlier run, if any.
        let _ = fs::remove_file(&pending);
        return Ok(None);
    }
    let written = write(&pending, description, measured);
    if accept {
        let replaced = written.and_then(|()| fs::rename(&pending, &file));
        return replaced.map(|()| None).map_err(|error| Error::Snapshot { file, reason: error.to_string() });
    }
    // Without the file, say in a read-only checkout, the difference is still shown.
    drop(written);
    Ok(Some(Change { file, accepted, measured: measured.to_owned() }))
}

/// The content of a snapshot; `None` if there is no file.
fn read(file: &Path) -> Result<Option<String>, String> {
    if !file.try_exists().map_err(|error| error.to_string())? {
        return Ok(None);
    }
    let snapshot = Snapshot::from_file(file).map_err(|error| error.to_string())?;
    let text = snapshot.as_text().ok_or("it is a binary snapshot")?;
    Ok(Some(text.to_string()))
}

fn write(file: &Path, description: &str, content: &str) -> io::Result<()> {
    file.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(file, format!("---\ndescription: {description}\n---\n{content}\n"))
}

#[cfg(test)]
mod tests {
    use e2e_report::report::{Verdict, empty};

    use super::*;

    fn report(verdict: Verdict) -> Report {
        empty(Target::Local, verdict)
    }

    #[test]
    fn a_snapshot_is_accepted_once_and_then_guards() {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, pending) =
            (directory.path().join("local/report.snap"), directory.path().join("local/report.snap.new"));
        let compare = |verdict, accept| compare(&report(verdict), directory.path(), accept).expect("a comparison");

        let first = compare(Verdict::Pass, false).expect("nothing was accepted");
        assert_eq!((&first.file, &first.accepted), (&file, &None));
        assert!(!file.exists() && pending.exists());
        assert_eq!(compare(Verdict::Pass, true), None);
        assert!(file.exists() && !pending.exists());

        let change = compare(Verdict::Fail, false).expect("another verdict");
        assert!(change.to_string().contains("-  \"verdict\": \"pass\",\n+  \"verdict\": \"fail\",\n"), "{change}");
        assert_eq!(read(&pending), Ok(Some(change.measured)), "for cargo insta review");
        assert_eq!(compare(Verdict::Pass, false), None);
        assert!(!pending.exists(), "the run that agrees removes it");
    }

    #[test]
    fn a_damaged_snapshot_is_an_error_until_it_is_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("local/report.snap");
        write(&file, "", "").expect("a file");
        fs::write(&file, "---\n<<<<<<< ours: [\n---\n{}\n").expect("a file");
        let error = compare(&report(Verdict::Pass), directory.path(), false).expect_err("an error").to_string();
        assert!(error.contains("local/report.snap") && error.contains("--update-snapshots"), "{error}");
        assert_eq!(compare(&report(Verdict::Pass), directory.path(), true).expect("an update"), None);
        assert_eq!(compare(&report(Verdict::Pass), directory.path(), false).expect("a comparison"), None);
    }

    #[test]
    fn damaged_bands_are_an_error_until_they_are_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        write(&directory.path().join("local/figures.snap"), "", "<<<<<<< ours").expect("a file");
        let names = ["throughput.rate_per_second".to_owned()];
        let compare = |accept| compare_figures(&names, &[], Target::Local, directory.path(), accept, &Progress::new());
        let error = compare(false).expect_err("an error").to_string();
        assert!(error.contains("local/figures.snap") && error.contains("--update-snapshots"), "{error}");
        assert!(compare(true).is_ok());
    }
}
