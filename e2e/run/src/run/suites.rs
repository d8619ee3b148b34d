//! Runs the suites' command and reads its results. Main function: [`run`].

use std::{
    cell::RefCell,
    convert::Infallible,
    io::ErrorKind,
    path::{Path, PathBuf},
    pin::{Pin, pin},
    process::Stdio,
    time::Duration,
};

use e2e_plan::programs;
use e2e_report::{env_vars, environment::Environment, record::Record, run_data::AbnormalEnd, run_dir};
use tokio::process::{Child, Command};

use super::{Error, Signal, junit, options::workspace, prepared::Prepared, system::System};
use crate::{host::signal_group, lines, progress::Progress, provider::end_with_parent, secrets::Secrets};

/// nextest's exit code for failed tests, from its documentation.
const TESTS_FAILED: i32 = 100;
/// The same for an empty selection.
const NO_TESTS: i32 = 4;
/// nextest's variable for the option `--profile`.
const NEXTEST_PROFILE: &str = "NEXTEST_PROFILE";

/// Runs the suites against the system. Failed tests are not an error: their records explain them. An abnormal end is not an error
/// either but returned, so that the measurements so far are kept.
pub(super) async fn run(
    system: &System,
    prepared: &Prepared,
    signal: &Signal,
    progress: &Progress,
) -> Result<Option<AbnormalEnd>, Error> {
    let suites = &prepared.config.suites;
    let environment = Environment::read(&prepared.directory.join(run_dir::ENVIRONMENT))?;
    let mut live = pin!(live(system, prepared, progress));
    if suites.is_empty() {
        progress.line("running the built-in checks; `suites` in .config/e2e.toml adds your own");
        let checks = e2e::built_in::run(&environment);
        aside(&mut live, signal.or_interrupted(prepared, checks), progress).await??;
        return Ok(complete(None, prepared).err());
    }
    progress.line(format!("running the suites: {}", suites.join(" ")));
    let list = List::of(prepared);
    // An old file must not stand for this run.
    if let Some(path) = list.path() {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(run_dir::Error::new("remove", path, error).into());
            }
            _ => {}
        }
    }
    let environment_file = prepared.directory.join(run_dir::ENVIRONMENT);
    let words = filled_in(suites, &prepared.directory.join(run_dir::JUNIT), &environment_file);
    let mut command = command(&words, &prepared.options.root)?;
    command.env(env_vars::E2E_ENVIRONMENT, environment_file);
    let last_line = RefCell::new(String::new());
    let show = |line: &str| {
        progress.plain(line);
        if !line.trim().is_empty() {
            last_line.replace(line.trim().to_owned());
        }
    };
    let status = aside(&mut live, watch(command, prepared, suites, signal, &show), progress).await?;
    if status == Some(NO_TESTS) && prepared.config.needs_nextest() {
        let (reason, remedy) = ("it selected no test".to_owned(), "check its filters and its profile".to_owned());
        return Err(Error::Suites { command: suites.join(" "), reason, remedy });
    }
    if prepared.options.filter.is_none() {
        let scenarios = e2e::built_in::scenarios(&environment);
        aside(&mut live, signal.or_interrupted(prepared, scenarios), progress).await??;
    }
    let kept = list.take(prepared).and_then(|text| complete(text, prepared));
    let odd = oddity(status, prepared.config.needs_nextest(), kept.as_deref().unwrap_or_default());
    let mut end = odd.map(|odd| abnormal_end(prepared, odd)).or(kept.err());
    if let Some(end) = &mut end
        && status != Some(0)
    {
        let last_line = Secrets::new(prepared.secrets.values().cloned()).redact(&last_line.borrow());
        end.reason.push_str(&said(&last_line));
    }
    Ok(end)
}

/// The most that is quoted of a line.
const QUOTED: usize = 300;

/// A command's last line, which mostly names the error.
fn said(last_line: &str) -> String {
    match last_line.char_indices().nth(QUOTED) {
        _ if last_line.is_empty() => String::new(),
        None => format!("; its last line was `{last_line}`"),
        Some((end, _)) => format!("; its last line began `{}`", &last_line[..end]),
    }
}

/// Shows the load's rate and the components, as they change.
async fn live(system: &System, prepared: &Prepared, progress: &Progress) -> Infallible {
    let (mut said, mut snapshots) = (system.said.clone(), system.snapshots.clone());
    let component_of = |pod: &str| {
        let spec = prepared.pods.iter().find(|spec| spec.name == pod);
        spec.map(|spec| spec.component.name.clone())
    };
    loop {
        progress.components(&snapshots.borrow_and_update(), component_of);
        let changed = tokio::select! {
            changed = said.changed() => changed.map(|()| progress.live(&said.borrow_and_update())),
            changed = snapshots.changed() => changed,
        };
        if changed.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Work's result, while people see what it says of how it goes.
async fn aside<T>(
    live: &mut Pin<&mut impl Future<Output = Infallible>>,
    work: impl Future<Output = T>,
    progress: &Progress,
) -> T {
    let done = tokio::select! {
        never = live => match never {},
        done = work => done,
    };
    progress.live_done();
    progress.rows_done();
    done
}

/// Placeholders of the suites' command: where the runner writes its list of tests, and what the system is.
const JUNIT: &str = "{junit}";
const ENVIRONMENT: &str = "{environment}";

/// A suites' command with its placeholders replaced.
pub fn filled_in(words: &[String], junit: &Path, environment: &Path) -> Vec<String> {
    let (junit, environment) = (junit.to_string_lossy(), environment.to_string_lossy());
    words.iter().map(|word| word.replace(JUNIT, &junit).replace(ENVIRONMENT, &environment)).collect()
}

/// Where the runner leaves its list of tests.
enum List {
    /// Where the command was told to.
    Told(PathBuf),
    /// Where a nextest profile says.
    Nextest { path: PathBuf, profile: String },
    /// Nowhere: the suites leave records.
    None,
}

impl List {
    fn of(prepared: &Prepared) -> Self {
        let suites = &prepared.config.suites;
        if suites.iter().any(|word| word.contains(JUNIT)) {
            return Self::Told(prepared.directory.join(run_dir::JUNIT));
        }
        if !prepared.config.needs_nextest() {
            return Self::None;
        }
        let profile = profile(suites, std::env::var(NEXTEST_PROFILE).ok());
        // nextest keeps its store there wherever cargo builds to: `store.dir` is `target/nextest` of the workspace.
        let path = workspace(&prepared.options.root).join(format!("target/nextest/{profile}/junit.xml"));
        Self::Nextest { path, profile }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::Told(path) | Self::Nextest { path, .. } => Some(path),
            Self::None => None,
        }
    }

    /// The list that this run wrote; or what is odd about it.
    fn take(&self, prepared: &Prepared) -> Result<Option<String>, AbnormalEnd> {
        let Some(path) = self.path() else { return Ok(None) };
        let text = std::fs::read_to_string(path).map_err(|error| {
            let remedy = match self {
                Self::Nextest { profile, .. } => {
                    format!("set `path = \"junit.xml\"` under [profile.{profile}.junit] in .config/nextest.toml")
                }
                _ => format!("see its output; it must write the file {JUNIT}"),
            };
            abnormal_end(prepared, (format!("it left no {} ({error})", path.display()), remedy))
        })?;
        Ok(Some(text))
    }
}

/// Sees to it that `junit.xml` and the records name the same tests, whichever of them the suites wrote.
fn complete(junit: Option<String>, prepared: &Prepared) -> Result<Vec<junit::Case>, AbnormalEnd> {
    let directory = &prepared.directory;
    let (records, _) = Record::read_all(directory);
    let written = match junit {
        Some(text) => {
            let cases = junit::read(&text);
            let missing = junit::missing_records(&cases, &records);
            let written = missing.iter().try_for_each(|record| directory.write_json(record.file(), record).map(drop));
            written.and_then(|()| directory.write(run_dir::JUNIT, &text)).map(|_| cases)
        }
        None if records.is_empty() => Ok(Vec::new()),
        None => {
            let text = junit::of_records(&records);
            directory.write(run_dir::JUNIT, &text).map(|_| junit::read(&text))
        }
    };
    written.map_err(|error| abnormal_end(prepared, (error.to_string(), "run again once it can be written".to_owned())))
}

fn abnormal_end(prepared: &Prepared, (reason, remedy): (String, String)) -> AbnormalEnd {
    let command = match &prepared.config.suites[..] {
        [] => "the built-in checks".to_owned(),
        words => words.join(" "),
    };
    AbnormalEnd { command, reason, remedy }
}

/// The anomaly of an exit code, and the fix. nextest documents its own; of any other runner a failed test in its list explains one
/// that is not zero.
fn oddity(status: Option<i32>, is_nextest: bool, cases: &[junit::Case]) -> Option<(String, String)> {
    let explained = || !is_nextest && cases.iter().any(junit::Case::failed);
    let status = match status {
        Some(0) => return None,
        Some(TESTS_FAILED) if is_nextest => return None,
        Some(_) if explained() => return None,
        Some(code) if is_nextest => format!("exit code {code}"),
        Some(code) => format!("exit code {code}, and no test failed"),
        None => "a signal".to_owned(),
    };
    Some((format!("it ended with {status}"), "see its output".to_owned()))
}

/// Rejects a command whose program is missing, before anything starts.
pub(super) fn check(words: &[String], root: &Path) -> Result<(), Error> {
    let Some(program) = words.first() else { return Ok(()) };
    let is_there = match program.contains('/') {
        true => root.join(program).is_file(),
        false => programs::find(program, programs::path()).is_some(),
    };
    match is_there {
        true => Ok(()),
        false => Err(Error::NoSuites { program: program.clone() }),
    }
}

fn command(words: &[String], root: &Path) -> Result<Command, Error> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Error::Suites {
            command: String::new(),
            reason: "it is empty".to_owned(),
            remedy: "set suites in .config/e2e.toml, or remove the key".to_owned(),
        });
    };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Free of any surrounding run.
    command.env_remove(env_vars::E2E_ENVIRONMENT);
    // Its own group: on Ctrl-C this process stops it.
    command.process_group(0);
    end_with_parent(&mut command);
    Ok(command)
}

/// The nextest profile that a command names, or else its environment.
fn profile(words: &[String], of_environment: Option<String>) -> String {
    let named = words.iter().enumerate().find_map(|(position, word)| match word.as_str() {
        "--profile" | "-P" => words.get(position + 1).map(String::as_str),
        word => word.strip_prefix("--profile=").or_else(|| word.strip_prefix("-P")),
    });
    named.map(str::to_owned).or(of_environment).unwrap_or_else(|| "default".to_owned())
}

/// Runs a command and passes on its lines; returns its exit code, or `None` if a signal ended it. If this process must stop, the
/// command is stopped first.
async fn watch(
    mut command: Command,
    prepared: &Prepared,
    words: &[String],
    signal: &Signal,
    on_line: &dyn Fn(&str),
) -> Result<Option<i32>, Error> {
    let child = command.spawn().map_err(|error| Error::Suites {
        command: words.join(" "),
        reason: error.to_string(),
        remedy: format!("install {}, or set another command in .config/e2e.toml", words[0]),
    })?;
    let mut child = Group(child);
    let ended = signal.or_interrupted(prepared, end(&mut child.0, on_line)).await;
    if ended.is_err() {
        child.stop().await;
    }
    ended
}

/// How long to wait for a command's last output after its end. A program that it left behind may hold its output open forever.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Passes on a command's lines until its end; returns its exit code, or `None` if a signal ended it.
async fn end(child: &mut Child, on_line: &dyn Fn(&str)) -> Option<i32> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut said = pin!(async { tokio::join!(lines::each(stdout, on_line), lines::each(stderr, on_line)) });
    let status = tokio::select! {
        _ = &mut said => child.wait().await,
        status = child.wait() => {
            let _ = tokio::time::timeout(LAST_WORDS, &mut said).await;
            status
        }
    };
    status.ok().and_then(|status| status.code())
}

/// How long nextest may take to stop its tests, which it gives 10 s.
const STOP_LIMIT: Duration = Duration::from_secs(12);

/// A command and its process group: nextest, and during builds cargo and compilers.
struct Group(Child);

impl Group {
    /// Asks the group to stop, which nextest passes on to its tests, and waits.
    async fn stop(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        if tokio::time::timeout(STOP_LIMIT, self.0.wait()).await.is_err() {
            self.signal(rustix::process::Signal::KILL);
            // It cannot refuse that.
            let _ = self.0.wait().await;
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        if let Some(leader) = self.0.id() {
            signal_group(leader, signal);
        }
    }
}

impl Drop for Group {
    /// Reached before the command's end only by a panic.
    fn drop(&mut self) {
        self.signal(rustix::process::Signal::TERM);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    async fn shell(script: &str) -> (Option<i32>, Vec<String>, Duration) {
        let words = ["sh", "-c", script].map(str::to_owned);
        let mut child = command(&words, Path::new("/")).expect("words").spawn().expect("a shell");
        let (lines, started) = (RefCell::new(Vec::new()), Instant::now());
        let code = end(&mut child, &|line| lines.borrow_mut().push(line.to_owned())).await;
        (code, lines.into_inner(), started.elapsed())
    }

    #[tokio::test]
    async fn output_that_is_no_text_is_read_to_its_end() {
        // More than a pipe holds comes after it: a command whose output nobody reads would be ended by a signal, or wait.
        let script = "printf '\\377\\n'; yes | head -n 100000 >&2; yes | head -n 100000; echo last; exit 100";
        let (code, lines, _) = shell(script).await;
        assert_eq!((code, lines.len(), lines[0].as_str()), (Some(100), 200_002, "\u{fffd}"));
    }

    #[tokio::test]
    async fn a_program_that_is_left_behind_does_not_hold_the_run() {
        let (code, lines, took) = shell("sleep 20 & echo last; exit 3").await;
        assert_eq!((code, lines), (Some(3), vec!["last".to_owned()]));
        assert!(took < Duration::from_secs(10), "{took:?}");
    }

    #[tokio::test]
    async fn a_command_that_closes_its_output_is_waited_for() {
        let (code, ..) = shell("exec >&- 2>&-; sleep 0.3; exit 7").await;
        assert_eq!(code, Some(7));
    }

    #[test]
    fn only_a_failed_test_explains_an_exit_code() {
        let list = |inside: &str| {
            junit::read(&format!("<testsuite name='s'><testcase name='t'>{inside}</testcase></testsuite>"))
        };
        let (passed, failed) = (list(""), list("<failure/>"));
        assert_eq!(oddity(Some(0), false, &[]), None);
        assert_eq!(oddity(Some(1), false, &failed), None);
        let odd = |status, is_nextest, cases: &[junit::Case]| oddity(status, is_nextest, cases).expect("an oddity").0;
        assert_eq!(odd(Some(1), false, &passed), "it ended with exit code 1, and no test failed");
        assert_eq!(odd(Some(5), false, &[]), "it ended with exit code 5, and no test failed");
        assert_eq!(odd(None, false, &passed), "it ended with a signal");
        assert_eq!(oddity(Some(TESTS_FAILED), true, &[]), None);
        assert_eq!(odd(Some(101), true, &failed), "it ended with exit code 101");
    }

    #[test]
    fn the_last_line_is_quoted() {
        assert_eq!(said("No module named pytest"), "; its last line was `No module named pytest`");
        assert_eq!(said(""), "");
        assert_eq!(said(&"é".repeat(QUOTED + 1)), format!("; its last line began `{}`", "é".repeat(QUOTED)));
    }

    #[rstest::rstest]
    #[case("cargo nextest run", None, "default")]
    #[case("cargo nextest run", Some("ci"), "ci")]
    #[case("cargo nextest run --profile e2e", Some("ci"), "e2e")]
    #[case("cargo nextest run -P mine --workspace", None, "mine")]
    #[case("cargo nextest run -Pmine", None, "mine")]
    #[case("cargo nextest run --profile=ci", None, "ci")]
    fn a_command_names_its_profile(
        #[case] command: &str,
        #[case] of_environment: Option<&str>,
        #[case] expected: &str,
    ) {
        let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        assert_eq!(profile(&words, of_environment.map(str::to_owned)), expected);
    }
}
