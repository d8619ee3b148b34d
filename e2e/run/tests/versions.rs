//! Two versions of a project that cargo builds: each is run with its own programs.

use std::{fs, path::Path, process::Command};

use e2e_run::{Options, against, image::cargo_binaries, progress::Progress};

/// A repository of one package, whose program prints `text`, committed.
fn repository(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path();
    fs::create_dir(root.join("src")).expect("a directory");
    let manifest = "[package]\nname = \"speaker\"\nedition = \"2024\"\n\n[workspace]\n";
    fs::write(root.join("Cargo.toml"), manifest).expect("a file");
    fs::write(root.join(".gitignore"), "/target\n").expect("a file");
    say(root, text);
    for arguments in [
        &["init", "--quiet"][..],
        &["add", "."],
        &["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "a version"],
    ] {
        let status = Command::new("git").arg("-C").arg(root).args(arguments).status().expect("git");
        assert!(status.success(), "git {arguments:?}: {status}");
    }
    directory
}

/// Has the program print another text.
fn say(root: &Path, text: &str) {
    fs::write(root.join("src/main.rs"), format!("fn main() {{ println!(\"{text}\"); }}\n")).expect("a file");
}

/// What the program of the tree at `root` prints.
async fn said(root: &Path) -> String {
    let programs = cargo_binaries(root, &["speaker".to_owned()], &|_| {}).await.expect("cargo builds it");
    let output = Command::new(&programs["speaker"]).output().expect("a program");
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn each_version_is_run_with_its_own_programs() {
    let directory = repository("base");
    say(directory.path(), "head");
    let options = Options::new(directory.path());
    for _ in 0..2 {
        assert_eq!(said(directory.path()).await, "head\n");
        let base = against::at(&options, "HEAD", &Progress::new()).expect("a tree");
        assert_eq!(said(&base.options.root).await, "base\n");
    }
}

#[test]
fn a_target_directory_that_both_versions_share_is_refused() {
    let directory = repository("base");
    let shared = directory.path().join("shared");
    fs::create_dir(directory.path().join(".cargo")).expect("a directory");
    let config = format!("[build]\ntarget-dir = {:?}\n", shared.display().to_string());
    fs::write(directory.path().join(".cargo/config.toml"), config).expect("a file");
    let refused = against::at(&Options::new(directory.path()), "HEAD", &Progress::new());
    let error = refused.expect_err("it is refused").to_string();
    assert!(error.contains(&format!("into {}", shared.display())), "{error}");
    assert!(error.contains("target-dir of a .cargo/config.toml"), "{error}");
}
