//! The git repository that a project stands in: its state, and another commit of it beside the working tree. Main functions: [`state`],
//! [`check_out`].

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The state of a working tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The commit.
    pub commit: String,
    /// The branch; nothing where none is checked out.
    pub branch: Option<String>,
    /// Whether files differ from it, new ones included.
    pub dirty: bool,
}

/// Git cannot do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("`git {command}` in {}: {reason}; {remedy}", directory.display())]
pub struct Error {
    command: String,
    directory: PathBuf,
    reason: String,
    remedy: &'static str,
}

/// The state of the working tree that `root` is in; nothing outside of a repository, or without git.
pub fn state(root: &Path) -> Option<State> {
    let commit = git(root, &["rev-parse", "HEAD"], "").ok()?;
    let dirty = !git(root, &["status", "--porcelain"], "").ok()?.is_empty();
    let branch = git(root, &["symbolic-ref", "--quiet", "--short", "HEAD"], "").ok();
    Some(State { commit, branch, dirty })
}

/// The commit that a branch, a tag or an abbreviation names.
///
/// # Errors
///
/// It names none, or `root` is in no repository.
pub fn resolve(root: &Path, name: &str) -> Result<String, Error> {
    let commit = format!("{name}^{{commit}}");
    git(
        root,
        &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit],
        "name a branch, a tag or a commit that `git log` finds",
    )
}

/// Checks a commit out at `place`, beside the working tree that `root` is in, and returns what stands there for `root`. A tree that is there
/// from an earlier call serves again, so that only files that differ get new times and are built again.
///
/// # Errors
///
/// Git refuses, or the place cannot be used.
pub fn check_out(root: &Path, commit: &str, place: &Path) -> Result<PathBuf, Error> {
    const REMEDY: &str = "see what it says; the directory of the worktree may be removed";
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let common =
        |directory: &Path| git(directory, &["rev-parse", "--path-format=absolute", "--git-common-dir"], REMEDY);
    let is_ours = place.join(".git").is_file() && common(place).ok() == Some(common(root)?);
    if is_ours {
        git(place, &["checkout", "--quiet", "--force", "--detach", commit], REMEDY)?;
    } else {
        if let Err(error) = fs::remove_dir_all(place)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            let command = format!("worktree add {}", place.display());
            return Err(Error { command, directory: root.to_owned(), reason: error.to_string(), remedy: REMEDY });
        }
        git(root, &["worktree", "prune"], REMEDY)?;
        git(root, &["worktree", "add", "--quiet", "--force", "--detach", &text(place), commit], REMEDY)?;
    }
    Ok(place.join(git(root, &["rev-parse", "--show-prefix"], REMEDY)?))
}

/// What git says on standard output, without the last line's end.
fn git(directory: &Path, arguments: &[&str], remedy: &'static str) -> Result<String, Error> {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).args(arguments);
    // A hook's variables name the repository that called it.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    let failed =
        |reason: String| Error { command: arguments.join(" "), directory: directory.to_owned(), reason, remedy };
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(failed(if said.is_empty() { "there is no such commit".to_owned() } else { said }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository with two commits of `app/file`, on branch `main`.
    fn repository() -> (tempfile::TempDir, PathBuf) {
        let top = tempfile::tempdir().expect("a directory");
        let app = top.path().join("app");
        fs::create_dir(&app).expect("a directory");
        let run = |arguments: &[&str]| git(top.path(), arguments, "").expect("git works");
        run(&["init", "--quiet", "--initial-branch=main"]);
        run(&["config", "user.email", "a@example.org"]);
        run(&["config", "user.name", "a"]);
        for text in ["first", "second"] {
            fs::write(app.join("file"), text).expect("a file");
            run(&["add", "."]);
            run(&["commit", "--quiet", "--message", text]);
        }
        run(&["tag", "v1", "HEAD~1"]);
        (top, app)
    }

    #[test]
    fn another_commit_stands_beside_the_working_tree() {
        let (top, app) = repository();
        let place = top.path().join("elsewhere/tree");
        let read = |root: &Path| fs::read_to_string(root.join("file")).expect("a file");
        for (name, expected) in [("v1", "first"), ("main", "second"), ("v1", "first")] {
            let commit = resolve(&app, name).expect("a commit");
            let root = check_out(&app, &commit, &place).expect("a tree");
            assert_eq!((root.as_path(), read(&root).as_str()), (place.join("app").as_path(), expected));
        }
        assert_eq!(read(&app), "second");
        // A directory that is no tree of this repository is replaced.
        fs::remove_dir_all(&place).expect("a directory");
        fs::create_dir_all(place.join("app")).expect("a directory");
        let commit = resolve(&app, "v1").expect("a commit");
        assert_eq!(read(&check_out(&app, &commit, &place).expect("a tree")), "first");
    }

    #[test]
    fn a_state_tells_whether_files_differ() {
        let (top, app) = repository();
        let clean = state(&app).expect("a repository");
        assert_eq!((clean.commit.len(), clean.branch.as_deref(), clean.dirty), (40, Some("main"), false));
        fs::write(app.join("new"), "").expect("a file");
        assert!(state(&app).expect("a repository").dirty);
        assert_eq!(state(&top.path().join("nowhere")), None);
    }

    #[test]
    fn an_unknown_name_is_told_with_a_remedy() {
        let (_top, app) = repository();
        let error = resolve(&app, "--no-such").expect_err("no such commit").to_string();
        assert!(error.contains("there is no such commit; name a branch, a tag or a commit"), "{error}");
    }
}
