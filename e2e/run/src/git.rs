//! The git repository that a project stands in: its state, another commit of it beside the working tree, and files in refs of their own.
//! Main functions: [`state`], [`check_out`], [`append_to_ref`].

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use e2e_report::{env_vars::BRANCHES, request::SourceState};

/// Git cannot do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("`git {command}` in {}: {reason}; {remedy}", directory.display())]
pub struct Error {
    command: String,
    directory: PathBuf,
    reason: String,
    remedy: &'static str,
}

/// The commit, branch and state of the repository that `root` is in; nothing outside of one, or without git.
pub(crate) fn state(root: &Path) -> Option<SourceState> {
    let named = || BRANCHES.iter().filter_map(|name| std::env::var(name).ok()).find(|name| !name.is_empty());
    Some(SourceState {
        commit: git(root, &["rev-parse", "--verify", "HEAD"], "").ok()?,
        branch: git(root, &["symbolic-ref", "--quiet", "--short", "HEAD"], "").ok().or_else(named),
        dirty: !git(root, &["status", "--porcelain"], "").ok()?.is_empty(),
    })
}

/// The commit that a branch, a tag or an abbreviation names.
///
/// # Errors
///
/// It names none, or `root` is in no repository.
pub(crate) fn resolve(root: &Path, name: &str) -> Result<String, Error> {
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
pub(crate) fn check_out(root: &Path, commit: &str, place: &Path) -> Result<PathBuf, Error> {
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

/// The file in a ref's commit.
const FILE: &str = "history.jsonl";
/// How often a ref is tried that other processes move at the same time.
const ATTEMPTS: usize = 20;

/// The text of the file that a ref such as `refs/e2e/history` keeps; nothing where there is no such ref.
///
/// # Errors
///
/// `root` is in no repository, or the ref holds something else.
pub(crate) fn read_ref(root: &Path, name: &str) -> Result<Option<String>, Error> {
    match tip(root, name)? {
        Some(commit) => git(root, &["show", &format!("{commit}:{FILE}")], REF_REMEDY).map(Some),
        None => Ok(None),
    }
}

/// Adds a line to the file that a ref keeps, as a commit on top of the last one. No working tree, index or branch is touched.
///
/// # Errors
///
/// `root` is in no repository, the ref's name is not allowed, or others move it all the time.
pub(crate) fn append_to_ref(root: &Path, name: &str, line: &str) -> Result<(), Error> {
    let mut attempts = 0;
    loop {
        let old = tip(root, name)?;
        let text = match &old {
            Some(commit) => git(root, &["show", &format!("{commit}:{FILE}")], REF_REMEDY)? + "\n",
            None => String::new(),
        };
        let blob = git_with(root, &["hash-object", "-w", "--stdin"], &format!("{text}{line}\n"), REF_REMEDY)?;
        let tree = git_with(root, &["mktree"], &format!("100644 blob {blob}\t{FILE}\n"), REF_REMEDY)?;
        let parent = old.iter().flat_map(|old| ["-p", old]);
        let arguments: Vec<&str> = ["commit-tree", &tree, "-m", "a run"].into_iter().chain(parent).collect();
        let commit = git(root, &arguments, REF_REMEDY)?;
        // Forty zeros: it must not exist yet.
        let expected = old.unwrap_or_else(|| "0".repeat(commit.len()));
        match git(root, &["update-ref", name, &commit, &expected], REF_REMEDY) {
            Err(_) if attempts < ATTEMPTS && tip(root, name)?.as_ref() != Some(&expected) => attempts += 1,
            moved => return moved.map(drop),
        }
    }
}

const REF_REMEDY: &str = "run it in a git repository, and name the ref like refs/e2e/history";

/// The commit that a ref stands at.
fn tip(root: &Path, name: &str) -> Result<Option<String>, Error> {
    git(root, &["check-ref-format", name], REF_REMEDY)?;
    let found = git(root, &["for-each-ref", "--format=%(objectname)", name], REF_REMEDY)?;
    Ok(Some(found).filter(|found| !found.is_empty()))
}

/// What git says on standard output, without the last line's end.
fn git(directory: &Path, arguments: &[&str], remedy: &'static str) -> Result<String, Error> {
    git_with(directory, arguments, "", remedy)
}

fn git_with(directory: &Path, arguments: &[&str], input: &str, remedy: &'static str) -> Result<String, Error> {
    let mut command = Command::new("git");
    command.arg("--no-optional-locks").arg("-C").arg(directory).args(arguments);
    // A hook's variables name the repository that called it.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    if arguments.first() == Some(&"commit-tree") {
        // A CI machine has no name of its own.
        for (name, value) in [("NAME", "e2e"), ("EMAIL", "e2e@localhost")] {
            command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
        }
    }
    let failed =
        |reason: String| Error { command: arguments.join(" "), directory: directory.to_owned(), reason, remedy };
    let mut run = || {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn()?;
        // Read before it prints: these commands print one line.
        let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output()?;
        // One that fails may read nothing, and says why.
        if output.status.success() { written.map(|()| output) } else { Ok(output) }
    };
    let output = run().map_err(|error: std::io::Error| failed(error.to_string()))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            // What is only verified is refused without a word.
            let reason = match arguments[0] {
                "rev-parse" => "there is no such commit",
                "check-ref-format" => "this is not the name of a ref",
                _ => "it failed without a message",
            };
            Err(failed(if said.is_empty() { reason.to_owned() } else { said }))
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
    fn a_ref_keeps_the_lines_of_processes_that_write_at_the_same_time() {
        const NAME: &str = "refs/e2e/history";
        let (_top, app) = repository();
        assert_eq!(read_ref(&app, NAME).expect("a repository"), None);
        std::thread::scope(|scope| {
            for line in ["one", "two", "three"] {
                let app = &app;
                scope.spawn(move || append_to_ref(app, NAME, line).expect("a line"));
            }
        });
        let text = read_ref(&app, NAME).expect("a ref").expect("lines");
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["one", "three", "two"]);
        assert!(!state(&app).expect("a repository").dirty, "the working tree is as it was");
    }

    #[test]
    fn a_ref_that_cannot_be_is_told_with_a_remedy() {
        let (top, app) = repository();
        let error = append_to_ref(&app, "refs/e2e/..", "line").expect_err("no such ref").to_string();
        assert!(error.contains("refs/e2e/..") && error.contains("not the name of a ref; "), "{error}");
        assert!(error.contains("name the ref like refs/e2e/history"), "{error}");
        let outside = tempfile::tempdir().expect("a directory");
        let error = append_to_ref(outside.path(), "refs/e2e/history", "line").expect_err("no repository").to_string();
        assert!(error.contains("run it in a git repository"), "{error}");
        drop(top);
    }

    #[test]
    fn a_command_that_reads_nothing_says_why() {
        let (top, _app) = repository();
        let more_than_a_pipe_holds = "x".repeat(1 << 20);
        let error = git_with(top.path(), &["no-such-command"], &more_than_a_pipe_holds, "").expect_err("no command");
        assert!(error.to_string().contains("is not a git command"), "{error}");
    }

    #[test]
    fn an_unknown_name_is_told_with_a_remedy() {
        let (_top, app) = repository();
        let error = resolve(&app, "--no-such").expect_err("no such commit").to_string();
        assert!(error.contains("there is no such commit; name a branch, a tag or a commit"), "{error}");
    }
}
