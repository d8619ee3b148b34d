use std::net::SocketAddr;

use e2e_kubelet::{diagnosis::Confidence, status::Exit};
use rstest::rstest;
use tokio::time::sleep;

use super::*;
use crate::{
    doctor::tests::{POD, case},
    node::{ExecError, ExecResult, RuntimeError},
    probe::Target,
};

/// What a container does with a command, and the port on which it listens.
trait Commands: Send + Sync + 'static {
    fn exec(&self, command: &[String], timeout: Duration)
    -> impl Future<Output = Result<ExecResult, ExecError>> + Send;

    fn port(&self) -> Option<u16>;
}

/// A container that is only asked to run commands.
struct Only<C>(C);

impl<C: Commands> Runtime for Only<C> {
    async fn start(&self, _: &str, _: &str) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn wait_exit(&self, _: &str, _: &str) -> Exit {
        std::future::pending().await
    }

    async fn kill(&self, _: &str, _: &str, _: Duration) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn exec(&self, _: &str, _: &str, command: &[String], timeout: Duration) -> Result<ExecResult, ExecError> {
        self.0.exec(command, timeout).await
    }

    fn target(&self, _: &str) -> Option<Target> {
        self.0.port().map(|port| Target::new(POD, port, SocketAddr::from(([127, 0, 0, 1], port))))
    }
}

/// A container in which `true` and the probe's command take so many milliseconds; the command fails where nobody listens, if it looks.
struct Container {
    nothing_ms: u64,
    command_ms: u64,
    looks: bool,
}

impl Commands for Container {
    async fn exec(&self, command: &[String], timeout: Duration) -> Result<ExecResult, ExecError> {
        let is_nothing = command == ["true"];
        let takes = Duration::from_millis(if is_nothing { self.nothing_ms } else { self.command_ms });
        sleep(takes.min(timeout)).await;
        if takes > timeout {
            return Err(ExecError::TimedOut);
        }
        let is_closed = command.iter().any(|word| word.ends_with(":1"));
        Ok(ExecResult { exit_code: i32::from(self.looks && is_closed), output: Vec::new() })
    }

    fn port(&self) -> Option<u16> {
        Some(6379)
    }
}

async fn diagnosed(command: &[&str], timeout: Duration, container: impl Commands) -> Diagnosis {
    let mut case = case(&[], timeout);
    case.probe.action = ProbeAction::Exec { command: command.iter().map(|word| (*word).to_owned()).collect() };
    diagnose_command(&case, &Only(container), &Profile::default(), "app-0").await
}

#[rstest]
#[case::slow_command(Container { nothing_ms: 20, command_ms: 3_000, looks: true }, Some(Cause::TooSlow), "the command takes 3.0 s")]
#[case::slow_runtime(Container { nothing_ms: 2_000, command_ms: 3_000, looks: true }, None, "not even `true` ends within 1.0 s")]
#[case::hangs(Container { nothing_ms: 20, command_ms: 60_000, looks: true }, None, "still running after 10.0 s")]
#[case::cannot_fail(Container { nothing_ms: 20, command_ms: 20, looks: false }, None, "proves nothing about port 6379")]
#[case::well(Container { nothing_ms: 20, command_ms: 20, looks: true }, None, "")]
#[tokio::test(start_paused = true)]
async fn a_command_is_told_from_the_runtime(
    #[case] container: Container,
    #[case] cause: Option<Cause>,
    #[case] explanation: &str,
) {
    let found = diagnosed(&["check", "redis:6379"], Duration::from_secs(1), container).await;
    assert_eq!(found.cause, cause, "{found:#?}");
    assert!(found.explanation.contains(explanation), "{}", found.explanation);
    assert_eq!(found.explanation.is_empty(), explanation.is_empty(), "{}", found.explanation);
    // Nothing was made to succeed and taken back.
    assert_ne!(found.confidence, Confidence::Proven);
    let patch = found.fix.and_then(|fix| fix.patch);
    assert_eq!(patch.is_some_and(|patch| patch.contains("timeoutSeconds: 5")), cause.is_some());
}

/// A container with these programs, each a script, beside a shell if it has one; it listens on port 8000.
struct Image {
    programs: tempfile::TempDir,
    variables: Vec<(&'static str, &'static str)>,
}

impl Image {
    fn of(programs: &[(&str, &str)], variables: &[(&'static str, &'static str)]) -> Self {
        let image = Self { programs: tempfile::tempdir().unwrap(), variables: variables.to_vec() };
        for (name, script) in programs {
            match script.strip_prefix("-> ") {
                Some(program) => std::os::unix::fs::symlink(program, image.programs.path().join(name)).unwrap(),
                None => drop(image.with_script(name, &format!("#!/bin/sh\n{script}\n"), 0o755)),
            }
        }
        image
    }

    /// Writes a script of this mode, and returns its path.
    fn with_script(&self, name: &str, text: &str, mode: u32) -> String {
        let path = self.programs.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Commands for Image {
    async fn exec(&self, command: &[String], _: Duration) -> Result<ExecResult, ExecError> {
        let program = self.programs.path().join(&command[0]);
        let mut process = tokio::process::Command::new(program);
        process.args(&command[1..]).env_clear().env("PATH", self.programs.path());
        let output = process.envs(self.variables.iter().copied()).output().await;
        let output = output.map_err(|error| ExecError::Failed(error.to_string()))?;
        let exit_code = output.status.code().unwrap_or(-1);
        Ok(ExecResult { exit_code, output: [output.stdout, output.stderr].concat() })
    }

    fn port(&self) -> Option<u16> {
        Some(8000)
    }
}

const SH: (&str, &str) = ("sh", "-> /bin/sh");
const BASH: (&str, &str) = ("bash", "-> /bin/bash");
const TRUE: (&str, &str) = ("true", "exit 0");
/// Answers who knows the password.
const REDIS: (&str, &str) = ("redis-cli", "[ \"$REDISCLI_AUTH\" = s3cret ] || [ \"$*\" = \"-a s3cret ping\" ]");
/// Answers on port 8000 alone.
const CHECK: (&str, &str) = ("check", "case \"$*\" in *:8000*) exit 0;; *) exit 7;; esac");
/// Refuses on port 8080, answers on port 8000 and finds nothing elsewhere.
const AT_8080: &str = "case \"$*\" in *:8000*) echo up;; *:8080*) exit 22;; *) exit 7;; esac";
/// Whether the first line has the last argument.
const GREP: (&str, &str) =
    ("grep", "read -r line; for last; do :; done; case $line in *\"$last\"*) exit 0;; *) exit 1;; esac");
const TIMEOUT: (&str, &str) = ("timeout", "shift; exec \"$@\"");
const PASSWORD: (&str, &str) = ("REDIS_PASSWORD", "s3cret");

#[rstest]
#[case::one_string(&["check :8000"], &[SH, CHECK], Cause::CommandWithoutShell, "- :8000\n")]
#[case::a_variable(&["redis-cli", "-a", "$REDIS_PASSWORD", "ping"], &[SH, REDIS], Cause::CommandWithoutShell, "- redis-cli -a $REDIS_PASSWORD ping\n")]
#[case::a_variable_of_kubernetes(&["redis-cli", "-a", "$(REDIS_PASSWORD)", "ping"], &[SH, REDIS], Cause::CommandWithoutShell, "${REDIS_PASSWORD}")]
#[case::a_script_in_parts(&["sh", "-c", "check", ":8000"], &[SH, CHECK], Cause::CommandWithoutShell, "- check :8000\n")]
#[case::no_bash(&["bash", "-c", "check :8000"], &[SH, CHECK], Cause::CommandNotFound, "- sh\n")]
#[case::no_credentials(&["redis-cli", "ping"], &[SH, REDIS], Cause::MissingCredentials, "REDISCLI_AUTH=${REDIS_PASSWORD")]
#[case::no_credentials_in_a_script(&["sh", "-c", "redis-cli ping || exit 1"], &[SH, REDIS], Cause::MissingCredentials, "redis-cli ping || exit 1\n")]
#[case::another_port(&["curl", "-f", "http://127.0.0.1:8080/"], &[SH, ("curl", CHECK.1)], Cause::WrongPort, "http://127.0.0.1:8000/\n")]
#[case::another_port_in_a_script(&["sh", "-c", "timeout 3 curl -f http://127.0.0.1:8080/ 2>&1 || exit 1"], &[SH, ("curl", CHECK.1), TIMEOUT], Cause::WrongPort, "http://127.0.0.1:8000/ 2>&1 || exit 1\n")]
#[case::a_word_of_bash(&["sh", "-c", "[[ -d /tmp ]] && check :8000"], &[SH, BASH, CHECK], Cause::CommandWithoutShell, "- bash\n")]
#[case::a_list_of_bash(&["sh", "-c", "ports=(8000) && check :${ports[0]}"], &[SH, BASH, CHECK], Cause::CommandWithoutShell, "- bash\n")]
#[tokio::test]
async fn a_command_that_a_change_makes_succeed_is_proven(
    #[case] command: &[&str],
    #[case] programs: &[(&str, &str)],
    #[case] cause: Cause,
    #[case] patched: &str,
) {
    let found = run(command, Image::of(programs, &[PASSWORD])).await;
    assert_eq!((found.cause, found.confidence), (Some(cause), Confidence::Proven), "{found:#?}");
    assert!(!format!("{found:?}").contains("s3cret"), "{found:?}");
    let patch = found.fix.and_then(|fix| fix.patch).unwrap();
    assert!(patch.replace(['\\', '"'], "").contains(patched), "{patch}");
}

#[rstest]
#[case::no_program(&["pg_isready", "-q"], &[SH, TRUE], Some(Cause::CommandNotFound), "the container lacks pg_isready")]
#[case::no_program_in_a_script(&["sh", "-c", "curl -f http://127.0.0.1:8000/ | check"], &[SH, CHECK], Some(Cause::CommandNotFound), "the container lacks curl")]
#[case::no_program_and_another_exit_status(&["sh", "-c", "pg_isready || exit 1"], &[SH], Some(Cause::CommandNotFound), "the container lacks pg_isready")]
#[case::one_of_two_programs(&["sh", "-c", "curl :1 || check :1"], &[SH, CHECK], None, "exit status 7")]
#[case::a_connection_to_another_port(&["check", "127.0.0.1:8080"], &[SH, CHECK], None, "exit status 7")]
#[case::no_shell(&["sh", "-c", "check :8000"], &[TRUE, CHECK], Some(Cause::CommandNotFound), "the container has no shell")]
#[case::nothing_at_all(&["sh", "-c", "check :8000"], &[], Some(Cause::CommandNotFound), "the container has no shell")]
#[case::no_program_and_no_shell(&["pg_isready"], &[], Some(Cause::CommandNotFound), "the container lacks pg_isready")]
#[case::the_app_is_down(&["check", ":1"], &[SH, CHECK], None, "the command ends with exit status 7")]
#[case::the_password_is_another(&["redis-cli", "ping"], &[SH, ("redis-cli", "exit 1")], None, "exit status 1")]
#[case::a_word_of_bash(&["bash", "-c", "[[ -f /no/such/file ]]"], &[SH, BASH], None, "exit status 1")]
#[case::another_directory(&["sh", "-c", "cd /usr/bin && ./false"], &[SH], None, "exit status 1")]
#[case::another_path(&["sh", "-c", "export PATH=/usr/bin\nfalse"], &[SH], None, "exit status 1")]
#[case::a_line_that_goes_on(&["sh", "-c", "check \\\n  http://127.0.0.1:1/"], &[SH, CHECK], None, "exit status 7")]
#[case::patterns(&["sh", "-c", "case no in\n  ready) exit 0;;\n  alive) exit 0;;\nesac\nexit 3"], &[SH], None, "exit status 3")]
#[case::a_sum(&["sh", "-c", "now=5 && [ $((now + 1)) -lt 3 ]"], &[SH], None, "exit status 1")]
#[case::a_program_that_says_127(&["check"], &[SH, ("check", "exit 127")], None, "exit status 127, which a shell gives")]
#[case::the_program_of_another(&["timeout", "5", "pg_isready"], &[SH, TIMEOUT], Some(Cause::CommandNotFound), "the container lacks pg_isready")]
#[case::the_shell_itself(&["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/1"], &[SH], Some(Cause::CommandNotFound), "the container lacks bash")]
#[case::no_program_in_a_pipe_behind_another(&["timeout", "5", "sh", "-c", "pg_isready | grep -q up"], &[SH, TIMEOUT, GREP], Some(Cause::CommandNotFound), "the container lacks pg_isready")]
#[case::no_program_whose_output_is_compared(&["sh", "-c", "test \"$(pg_isready)\" = up"], &[SH], Some(Cause::CommandNotFound), "the container lacks pg_isready")]
#[case::no_program_before_another(&["sh", "-c", "pg_isready | grep -q up && check :8000"], &[SH, GREP, CHECK], Some(Cause::CommandNotFound), "the container lacks pg_isready")]
#[case::no_program_at_the_end(&["sh", "-c", "set -e; up=$(pg_isready)\ncheck :8000"], &[SH, CHECK], Some(Cause::CommandNotFound), "the container lacks pg_isready")]
#[case::no_program_for_a_document(&["sh", "-c", "grep up <<EOF | pg_isready\nup\nEOF"], &[SH, GREP], Some(Cause::CommandNotFound), "the container lacks pg_isready")]
#[case::no_program_and_a_list_of_bash(&["bash", "-c", "ports=(8080 9090) && pg_isready ${ports[0]}"], &[SH, BASH], Some(Cause::CommandNotFound), "the container lacks pg_isready")]
#[case::one_program_that_is_negated(&["sh", "-c", "if ! pg_isready; then exit 1; fi"], &[SH], Some(Cause::CommandNotFound), "the container lacks pg_isready")]
#[case::no_program_but_a_negation(&["sh", "-c", "! pgrep job && check :1"], &[SH, CHECK], None, "exit status 7")]
#[case::no_program_but_a_pipe(&["sh", "-c", "pgrep app | echo && check :1"], &[SH, CHECK], None, "exit status 7")]
#[case::no_program_in_a_variable(&["sh", "-c", "export ME=$(hostname) && check :1"], &[SH, CHECK], None, "exit status 7")]
#[case::a_question(&["sh", "-c", "! command -v systemctl && check :1"], &[SH, CHECK], None, "exit status 7")]
#[case::no_program_and_an_exit_status_of_127(&["sh", "-c", "pgrep app | echo && other"], &[SH, ("other", "exit 127")], None, "exit status 127")]
#[case::no_program_behind_an_exit_status_of_127(&["sh", "-c", "other && jq ."], &[SH, ("other", "exit 127")], None, "exit status 127")]
#[case::no_bash_for_its_words(&["sh", "-c", "[[ -d /tmp ]] && check :8000"], &[SH, CHECK], None, "exit status 127")]
#[case::a_list_of_bash(&["bash", "-c", "ports=(8080 9090) && check ${ports[0]}"], &[SH, BASH, CHECK], None, "exit status 7")]
#[case::a_name_of_a_script(&["sh", "-c", "! test -d /tmp", "readiness"], &[SH], None, "exit status 1")]
#[case::a_variable_of_another_language(&["sum", "{ exit $NF }"], &[SH, ("sum", "[ \"$1\" = '{ exit  }' ]")], None, "exit status 1")]
#[case::a_refusal_at_the_port(&["curl", "-f", "http://127.0.0.1:8080/"], &[SH, ("curl", AT_8080)], None, "exit status 22")]
#[case::a_refusal_that_a_pipe_hides(&["sh", "-c", "curl -f http://127.0.0.1:8080/ | grep -q up"], &[SH, ("curl", AT_8080), GREP], None, "exit status 1")]
#[case::no_program_but_another_command_decides(&["sh", "-c", "pg_isready | grep -q up && exit 0; check :1"], &[SH, GREP, CHECK], None, "exit status 7")]
#[case::no_program_but_an_alternative(&["sh", "-c", "pg_isready && exit 0 || check :1 | grep -q up"], &[SH, GREP, CHECK], None, "exit status 1")]
#[case::a_directory(&["/tmp"], &[SH], None, "cannot be run")]
#[tokio::test]
async fn a_command_that_no_change_makes_succeed_is_not_proven(
    #[case] command: &[&str],
    #[case] programs: &[(&str, &str)],
    #[case] cause: Option<Cause>,
    #[case] explanation: &str,
) {
    let found = run(command, Image::of(programs, &[PASSWORD])).await;
    assert_eq!((found.success(), found.cause, found.confirmed), (false, cause, false), "{found:#?}");
    assert!(found.explanation.contains(explanation), "{}", found.explanation);
    assert!(found.fix.is_some(), "{found:#?}");
}

#[rstest]
#[case::whatever_comes(&["sh", "-c", "check :1 || true"], &[SH, TRUE, CHECK], "where check cannot be found")]
#[case::the_last_of_a_pipe(&["sh", "-c", "check :1 | grep -v never; exit 0"], &[SH, CHECK, ("grep", "exit 0")], "where check and grep cannot be found")]
#[case::a_negation(&["sh", "-c", "! pgrep job"], &[SH, ("pgrep", "exit 1")], "")]
#[case::a_negation_about_a_port(&["sh", "-c", "! check :8000 -x :9"], &[SH, ("check", "exit 7")], "")]
#[case::nothing(&["echo", "ok"], &[SH, ("echo", "exit 0")], "asks nothing of the app")]
#[case::a_script_of_nothing(&["sh", "-c", "exit 0"], &[SH], "asks nothing of the app")]
#[case::a_port(&["sh", "-c", "check :8000; exit 0"], &[SH, CHECK], "proves nothing about port 8000")]
#[case::well(&["sh", "-c", "check :8000"], &[SH, CHECK], "")]
#[case::well_without_a_port(&["sh", "-c", "redis-cli ping"], &[SH, ("redis-cli", "exit 0")], "")]
#[case::a_file(&["sh", "-c", "test -f /bin/sh || check :1"], &[SH, CHECK], "")]
#[case::a_program(&["check", "-s", ":8000"], &[SH, CHECK], "")]
#[tokio::test]
async fn a_probe_that_cannot_fail_is_found_out(
    #[case] command: &[&str],
    #[case] programs: &[(&str, &str)],
    #[case] explanation: &str,
) {
    let found = run(command, Image::of(programs, &[])).await;
    assert_eq!((found.success(), found.cause), (true, None), "{found:#?}");
    assert!(found.explanation.contains(explanation), "{}", found.explanation);
    assert_eq!(found.explanation.is_empty(), explanation.is_empty(), "{}", found.explanation);
}

/// A container that starts nothing, not even what it has.
struct Stuck;

impl Commands for Stuck {
    async fn exec(&self, command: &[String], _: Duration) -> Result<ExecResult, ExecError> {
        Err(ExecError::Failed(format!("cannot start {:?}: the container is paused", command[0])))
    }

    fn port(&self) -> Option<u16> {
        None
    }
}

#[tokio::test]
async fn a_runtime_that_starts_nothing_shows_no_missing_program() {
    let found = diagnosed(&["sh", "-c", "check"], Duration::from_secs(1), Stuck).await;
    assert_eq!((found.cause, found.explanation.contains("sh cannot be run")), (None, true), "{found:#?}");
}

/// The first line of a script and its mode, and what is found with a shell that runs it.
#[rstest]
#[case::not_executable("#!/bin/sh", 0o644, Cause::CommandWithoutShell, "may not be executed")]
#[case::no_interpreter("#!/no/such/shell", 0o755, Cause::CommandNotFound, "lacks the interpreter")]
#[tokio::test]
async fn a_script_that_cannot_be_executed_is_run_by_a_shell(
    #[case] first_line: &str,
    #[case] mode: u32,
    #[case] cause: Cause,
    #[case] explanation: &str,
) {
    let image = Image::of(&[SH], &[]);
    let script = image.with_script("check.sh", &format!("{first_line}\nexit 0\n"), mode);
    let found = run(&[&script, "-v"], image).await;
    assert_eq!((found.cause, found.confidence), (Some(cause), Confidence::Proven), "{found:#?}");
    assert!(found.explanation.contains(explanation), "{}", found.explanation);
}

#[tokio::test]
async fn a_script_of_another_shell_lacks_its_interpreter() {
    let image = Image::of(&[SH, ("env", "exit 127")], &[]);
    let text = format!("#!{}/env bash\n[[ -d /tmp ]]\n", image.programs.path().display());
    let script = image.with_script("check.sh", &text, 0o755);
    let found = run(&[&script], image).await;
    assert_eq!((found.cause, found.confirmed), (Some(Cause::CommandNotFound), false), "{found:#?}");
    assert!(found.explanation.contains("lacks the interpreter"), "{}", found.explanation);
}

#[tokio::test]
async fn a_file_that_may_not_be_executed_is_not_missing() {
    // To dash, a file that is there is found; to bash, one that may be executed.
    let image = Image::of(&[("sh", "-> /bin/bash")], &[]);
    let program = image.with_script("check.py", "import sys\nsys.exit(0)\n", 0o644);
    let found = run(&[&program], image).await;
    assert_eq!((found.success(), found.cause), (false, None), "{found:#?}");
}

/// A command that fails every third time, whoever runs it.
#[tokio::test]
async fn a_command_that_comes_and_goes_is_flaky() {
    let image = Image::of(
        &[
            SH,
            (
                "check",
                "echo x >> \"$0.count\"\nset -- $(while read -r line; do echo x; done < \"$0.count\")\nexit $(($# % 3 != 0))",
            ),
        ],
        &[],
    );
    let found = run(&["check"], image).await;
    assert_eq!(found.cause, Some(Cause::Flaky), "{found:#?}");
}

async fn run(command: &[&str], image: Image) -> Diagnosis {
    diagnosed(command, Duration::from_secs(5), image).await
}
