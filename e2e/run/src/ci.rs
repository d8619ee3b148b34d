//! What a CI system shows of a run. In GitHub Actions, without a flag: a log group for each phase, annotations at the lines of the
//! manifests, the job's summary. Main function: [`publish`].

use std::{
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
};

use e2e_report::{
    env_vars::{GITHUB_STEP_SUMMARY, GITHUB_WORKSPACE},
    report::{
        Report,
        annotations::{Annotation, annotations},
        comment,
    },
};

use crate::progress::Progress;

/// Tells GitHub Actions of a report, where it runs this program. What cannot be told is said and changes no result.
pub(crate) fn publish(report: &Report, root: &Path, progress: &Progress) {
    if !progress.is_github() {
        return;
    }
    let workspace = std::env::var_os(GITHUB_WORKSPACE).map(PathBuf::from);
    for annotation in annotations(report) {
        let line = annotation
            .line
            .map(|line| e2e_plan::Line { file: in_repository(&line.file, root, workspace.as_deref()), ..line.clone() });
        progress.plain(&Annotation { line: line.as_ref(), ..annotation }.workflow_command());
    }
    let Some(summary) = std::env::var_os(GITHUB_STEP_SUMMARY).filter(|path| !path.is_empty()) else { return };
    let text = comment::render(report, comment::LONGEST);
    let written = OpenOptions::new().create(true).append(true).open(&summary);
    if let Err(error) = written.and_then(|mut file| file.write_all(text.as_bytes())) {
        progress.line(format!("cannot write the job's summary to {}: {error}", Path::new(&summary).display()));
    }
}

/// A file named from the project's root, as it is called in the repository: annotations know no other names.
fn in_repository(file: &Path, root: &Path, workspace: Option<&Path>) -> PathBuf {
    let path = root.join(file);
    let path = path.canonicalize().unwrap_or(path);
    let workspace = workspace.and_then(|workspace| workspace.canonicalize().ok());
    let inside = workspace.and_then(|workspace| path.strip_prefix(workspace).ok().map(Path::to_owned));
    inside.unwrap_or_else(|| file.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_from_the_root_of_the_repository() {
        let workspace = tempfile::tempdir().unwrap();
        let root = workspace.path().join("shop");
        std::fs::create_dir_all(root.join("manifests")).unwrap();
        std::fs::write(root.join("manifests/app.yaml"), "").unwrap();
        let named = |workspace| in_repository(Path::new("manifests/app.yaml"), &root, workspace);
        assert_eq!(named(Some(workspace.path())), Path::new("shop/manifests/app.yaml"));
        assert_eq!(named(None), Path::new("manifests/app.yaml"));
    }
}
