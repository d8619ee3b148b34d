//! The run directory, which contains everything for a run's report. Main type: [`RunDir`].

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::command;

/// `target/e2e/runs/<id>/`. Names of files in it are [evidence ids](crate::finding::Finding::evidence).
#[derive(Debug, Clone)]
pub struct RunDir {
    path: PathBuf,
}

/// The running system, for the suites.
pub const ENVIRONMENT: &str = "environment.json";
/// The request from the command line and the configuration.
pub const REQUEST: &str = "request.json";
/// One record per test.
pub const RESULTS: &str = "results";
/// The evidence gathered before teardown.
pub const EVIDENCE: &str = "evidence";
/// The test runner's results.
pub const JUNIT: &str = "junit.xml";
/// The abnormal end of the suites' command.
pub const SUITES: &str = "suites.json";
/// The report as data.
pub const REPORT_JSON: &str = "report.json";
/// The report for people.
pub const REPORT_MARKDOWN: &str = "report.md";
/// The report for a browser.
pub const REPORT_HTML: &str = "report.html";
/// The report as a comment on a pull request.
pub const COMMENT: &str = "comment.md";
/// Private data of local processes and container volumes; removed with the system.
pub const WORK: &str = "work";
/// Values of this run's secrets, mode 0600; removed with the system.
pub const SECRETS: &str = "secrets.json";

/// The file that keeps backups and build contexts out of a directory of runs: <https://bford.info/cachedir/>.
const TAG: &str = "CACHEDIR.TAG";
/// What it contains.
const TAG_TEXT: &str =
    "Signature: 8a477f597d28d172789f06886806bc55\n# Runs of e2e, with their secrets while they last.\n";

/// Whether a directory is one of runs.
pub fn holds_runs(directory: &Path) -> bool {
    fs::read_to_string(directory.join(TAG)).is_ok_and(|text| text == TAG_TEXT)
}

/// A file of the run directory cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {reason}{}", path.display(), remedy(reason.kind()))]
pub struct Error {
    /// `write`, `read`, `create`.
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// Why.
    pub reason: io::Error,
}

fn remedy(kind: io::ErrorKind) -> String {
    let other_directory = "choose another directory with --runs";
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("; free some disk space: `{}` removes the leftovers of earlier runs", command::line("gc"))
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("; make it writable, or {other_directory}")
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            format!("; a file stands in place of a directory: move it, or {other_directory}")
        }
        _ => String::new(),
    }
}

impl Error {
    /// An error for a file or directory.
    pub fn new(action: &'static str, path: &Path, reason: impl Into<io::Error>) -> Self {
        Self { action, path: path.to_owned(), reason: reason.into() }
    }
}

impl RunDir {
    /// Creates `runs/<id>` below `parent` with its subdirectories, writes the first files with `fill`, and points `latest` to it.
    /// On failure, leaves nothing.
    pub fn create(parent: &Path, id: &str, fill: impl FnOnce(&Self) -> Result<(), Error>) -> Result<Self, Error> {
        let (runs, path) = (parent.join("runs"), parent.join("runs").join(id));
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| Error::new("create", &path, error)
        };
        fs::create_dir_all(&runs).map_err(failed(&runs))?;
        // What another run left is neither written over nor removed.
        fs::create_dir(&path).map_err(failed(&path))?;
        let make = || {
            // The last one contains the files of Secrets.
            for (name, mode) in [(RESULTS, 0o755), (EVIDENCE, 0o755), (WORK, 0o700)] {
                let directory = path.join(name);
                let made = fs::DirBuilder::new().recursive(true).mode(mode).create(&directory);
                made.map_err(failed(&directory))?;
            }
            let made = Self { path: path.canonicalize().map_err(|error| Error::new("read", &path, error))? };
            write_whole(&parent.join(TAG), TAG_TEXT, 0o644)?;
            fill(&made)?;
            point_latest(parent, id)?;
            Ok(made)
        };
        // An incomplete directory is useless and may contain secrets.
        make().inspect_err(|_| drop(fs::remove_dir_all(&path)))
    }

    /// Opens an existing run directory.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let path = path.canonicalize().map_err(|error| Error::new("open", path, error))?;
        Ok(Self { path })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or directory in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// The run's id: the directory's name.
    pub fn id(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Writes text atomically.
    pub fn write(&self, name: impl AsRef<Path>, text: &str) -> Result<PathBuf, Error> {
        write_whole(&self.path.join(name), text, 0o644)
    }

    /// Writes text with mode 0600.
    pub fn write_private(&self, name: impl AsRef<Path>, text: &str) -> Result<PathBuf, Error> {
        write_whole(&self.path.join(name), text, 0o600)
    }

    /// Writes data as indented JSON.
    pub fn write_json(&self, name: impl AsRef<Path>, data: &impl Serialize) -> Result<PathBuf, Error> {
        let path = self.path.join(&name);
        let mut text = serde_json::to_string_pretty(data).map_err(|error| Error::new("write", &path, error))?;
        text.push('\n');
        self.write(name, &text)
    }

    /// Reads text.
    pub fn read(&self, name: impl AsRef<Path>) -> Result<String, Error> {
        let path = self.path.join(name);
        fs::read_to_string(&path).map_err(|error| Error::new("read", &path, error))
    }

    /// Reads JSON.
    pub fn read_json<T: DeserializeOwned>(&self, name: impl AsRef<Path>) -> Result<T, Error> {
        let text = self.read(&name)?;
        serde_json::from_str(&text).map_err(|error| Error::new("read", &self.path.join(name), error))
    }

    /// Reads JSON if the file exists.
    pub fn read_json_if_there<T: DeserializeOwned>(&self, name: impl AsRef<Path>) -> Result<Option<T>, Error> {
        if self.path.join(&name).exists() { self.read_json(name).map(Some) } else { Ok(None) }
    }
}

fn write_whole(path: &Path, text: &str, mode: u32) -> Result<PathBuf, Error> {
    use std::os::unix::fs::OpenOptionsExt;

    let fail = |error: io::Error| Error::new("write", path, error);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(fail)?;
    }
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary))).map_err(fail)?;
    Ok(path.to_owned())
}

/// Points `latest` below `parent` to the run `id`.
pub fn point_latest(parent: &Path, id: &str) -> Result<(), Error> {
    let latest = parent.join("latest");
    // A temporary link and a rename: two concurrent starts leave a valid link.
    let next = parent.join(format!("latest.{id}"));
    std::os::unix::fs::symlink(Path::new("runs").join(id), &next)
        .and_then(|()| fs::rename(&next, &latest))
        .map_err(|error| Error::new("write", &latest, error))
}

/// A unique id that sorts by time: `20261123-214501-3f9c`.
pub fn new_run_id() -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    format!("{now}-{}", &random_hex()[..4])
}

/// The time, such as `2026-11-23T21:45:01Z`.
pub fn now_text() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// 32 random hexadecimal digits from the system.
pub fn random_hex() -> String {
    format!("{:032x}", random())
}

/// A random number from the system.
pub fn random() -> u128 {
    let mut bytes = [0_u8; 16];
    // Without random numbers there are no secrets: panics.
    getrandom::fill(&mut bytes).expect("the system's random source works");
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_points_to_the_newest() {
        let parent = tempfile::tempdir().unwrap();
        let nothing = |_: &RunDir| Ok(());
        RunDir::create(parent.path(), "one", nothing).unwrap();
        let two = RunDir::create(parent.path(), "two", nothing).unwrap();
        assert_eq!(RunDir::open(&parent.path().join("latest")).unwrap().id(), "two");
        two.write_json("x/y.json", &[1, 2]).unwrap();
        assert_eq!(two.read_json::<Vec<u8>>("x/y.json").unwrap(), [1, 2]);
    }

    #[test]
    fn private_data_is_closed_to_others() {
        use std::os::unix::fs::PermissionsExt;

        let parent = tempfile::tempdir().unwrap();
        let run = RunDir::create(parent.path(), "one", |_| Ok(())).unwrap();
        assert_eq!(fs::metadata(run.join(WORK)).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_directory_that_cannot_be_filled_is_not_there() {
        let parent = tempfile::tempdir().unwrap();
        let kept = RunDir::create(parent.path(), "one", |_| Ok(())).unwrap();
        let full = |directory: &RunDir| {
            directory.write_private(SECRETS, "{}")?;
            Err(Error::new("write", &directory.join(REQUEST), io::Error::from_raw_os_error(28)))
        };
        let error = RunDir::create(parent.path(), "two", full).unwrap_err().to_string();
        assert!(error.contains("request.json") && error.contains("free some disk space"), "{error}");
        assert_eq!(fs::read_dir(parent.path().join("runs")).unwrap().count(), 1);
        assert_eq!(RunDir::open(&parent.path().join("latest")).unwrap().id(), kept.id());
    }

    #[test]
    fn an_unwritable_directory_is_named_with_a_remedy() {
        let error = RunDir::create(Path::new("/proc/nowhere"), "one", |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains("/proc/nowhere"), "{error}");
        let said = |code| Error::new("write", Path::new("x"), io::Error::from_raw_os_error(code)).to_string();
        assert!(
            said(28)
                .starts_with("cannot write x: No space left on device (os error 28); free some disk space: `e2e gc` ")
        );
        assert!(said(13).ends_with("; make it writable, or choose another directory with --runs"));
    }
}
