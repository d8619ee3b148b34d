//! Commands that write manifests: the one that the configuration names, kustomize. Main function: [`output`].

use std::{
    io::{self, IsTerminal, Read},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use super::helm;
use crate::{Error, overrides, shell::quoted};

/// How long a command may take: one that fetches over a network that is not there takes for ever.
const LIMIT: Duration = Duration::from_secs(60);
/// The oldest kustomize whose builds are those that this program knows: 5 changed what 4 did with components, labels and images.
const KUSTOMIZE_MIN: (u32, u32) = (5, 0);
/// What helm says after every error of a template.
const ADVICE: &str = "Use --debug flag";

/// What a command writes to its standard output.
pub(super) fn output(command: &[String], directory: &Path) -> Result<String, Error> {
    run(command, directory)?.map_err(|reason| {
        let remedy = helm::remedy(&reason, None).unwrap_or_else(|| "run it on its own to see more".to_owned());
        Error::of_file(shown(command), format!("it failed: {reason}"), remedy)
    })
}

/// What a command writes to its standard output, or why it says that it failed.
pub(super) fn run(command: &[String], directory: &Path) -> Result<Result<String, String>, Error> {
    let fail = |message: String, remedy: &str| Error::of_file(shown(command), message, remedy);
    let Some((program, arguments)) = command.split_first() else {
        return Err(fail("the command is empty".into(), "write the program and its arguments"));
    };
    let child = spawned(Command::new(program).args(arguments).current_dir(directory));
    let child = child.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => fail("there is no such program".into(), "install it, or correct its name"),
        _ => fail(format!("it cannot be started: {error}"), "check its permissions"),
    })?;
    let ended = within(child, LIMIT).map_err(|message| fail(message, "run it on its own to see why"))?;
    Ok(if ended.success { Ok(ended.stdout) } else { Err(reason(&ended.stderr)) })
}

/// A command as it was written, without secret values.
pub(super) fn shown(command: &[String]) -> String {
    match command {
        [shell, option, script] if shell == "sh" && option == "-c" => overrides::shown_command(script),
        words => overrides::shown_command(&words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")),
    }
}

/// Why a command failed, by what it wrote to its standard error: what kubectl logs as the reason, what follows `Error:`, else the
/// last line.
fn reason(stderr: &str) -> String {
    let lines = || stderr.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(ADVICE));
    let logged = |line: &str| line.starts_with('E') && line.contains(".go:");
    for (index, line) in lines().enumerate() {
        match line.split_once("err=").filter(|_| logged(line)) {
            // The text stands in the lines up to `>`; in many, the last one says what is wrong with those before it.
            Some((_, "<")) => {
                let text: Vec<&str> = lines().skip(index + 1).take_while(|line| *line != ">").collect();
                return match &text[..] {
                    [first, _, _, .., last] => format!("{first} ... {last}"),
                    lines => lines.join(" "),
                };
            }
            Some((_, text)) => return text.trim_matches('"').to_owned(),
            None => {}
        }
        // A values schema's refusal has a line for each value. Other programs say how they are called.
        if let Some(text) = line.strip_prefix("Error: ") {
            let rest = lines().skip(index + 1).take_while(|line| !line.starts_with("Usage:"));
            return [text].into_iter().chain(rest).collect::<Vec<_>>().join(" ");
        }
    }
    lines().next_back().unwrap_or("it says nothing").to_owned()
}

struct Ended {
    success: bool,
    stdout: String,
    stderr: String,
}

/// A command that runs in a process group of its own, so that what it starts can be ended with it. At a terminal it stays in the group
/// that Ctrl-C reaches and that may ask for a passphrase.
fn spawned(command: &mut Command) -> io::Result<Child> {
    if !io::stdin().is_terminal() {
        command.process_group(0);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// What came of a command; at the limit it is ended with everything that it started.
fn within(mut child: Child, limit: Duration) -> Result<Ended, String> {
    let ended = ended(&mut child, limit);
    if ended.is_err() {
        // Whoever has ended by now needs no signal.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        let _ = child.kill();
        let _ = child.wait();
    }
    ended
}

fn ended(child: &mut Child, limit: Duration) -> Result<Ended, String> {
    let began = Instant::now();
    // Read side by side, so that neither pipe fills up.
    let read = |stream: Option<Box<dyn Read + Send>>| {
        let (sender, whole) = mpsc::channel();
        std::thread::spawn(move || {
            let mut text = Vec::new();
            // A stream that breaks has given what there was, and after the limit nobody listens.
            let _ = stream.map(|mut stream| stream.read_to_end(&mut text));
            let _ = sender.send(String::from_utf8_lossy(&text).into_owned());
        });
        whole
    };
    let stdout = read(child.stdout.take().map(|stream| Box::new(stream) as _));
    let stderr = read(child.stderr.take().map(|stream| Box::new(stream) as _));
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if began.elapsed() < limit => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) => return Err(format!("it was still running after {} s", limit.as_secs())),
            Err(error) => return Err(format!("it cannot be waited for: {error}")),
        }
    };
    let text = |whole: mpsc::Receiver<String>| {
        let left = limit.saturating_sub(began.elapsed());
        whole.recv_timeout(left).map_err(|_| "it ended, and a program that it started kept its output open".to_owned())
    };
    Ok(Ended { success: status.success(), stdout: text(stdout)?, stderr: text(stderr)? })
}

/// The command that builds a kustomization, or what to do where this machine has none that knows all keys. For charts it needs helm.
pub(super) fn kustomize(directory: &Path, has_charts: bool) -> Result<Vec<String>, String> {
    let directory = directory.display().to_string();
    if has_charts && output(&["helm", "version"].map(str::to_owned), Path::new(".")).is_err() {
        return Err("install helm 3 or newer, with which kustomize renders charts".to_owned());
    }
    let charts = has_charts.then(|| "--enable-helm".to_owned());
    let mut found = Vec::new();
    let candidates: [(&[&str], &[&str]); 2] = [
        (&["kustomize", "version"], &["kustomize", "build"]),
        (&["kubectl", "version", "--client"], &["kubectl", "kustomize"]),
    ];
    for (ask, build) in candidates {
        let ask: Vec<String> = ask.iter().map(|&part| part.to_owned()).collect();
        let Ok(text) = output(&ask, Path::new(".")) else { continue };
        match kustomize_version(&text) {
            Some(version) if version >= KUSTOMIZE_MIN => {
                return Ok(build.iter().map(|&part| part.to_owned()).chain(charts).chain([directory]).collect());
            }
            Some((major, minor)) => found.push(format!("{} has kustomize {major}.{minor}", ask[0])),
            None => found.push(format!("{} has an older kustomize", ask[0])),
        }
    }
    let found = if found.is_empty() { String::new() } else { format!(" ({} here)", found.join(", ")) };
    Err(format!("install kustomize {} or kubectl 1.27, or newer ones, which build it{found}", KUSTOMIZE_MIN.0))
}

/// The version of kustomize in what `kustomize version` or `kubectl version` says. Old versions of kubectl do not tell theirs.
fn kustomize_version(text: &str) -> Option<(u32, u32)> {
    let line = match text.lines().find_map(|line| line.strip_prefix("Kustomize Version:")) {
        Some(line) => line,
        None if text.contains("Client Version") => return None,
        None => text,
    };
    let mut starts = line.match_indices('v').map(|(at, _)| &line[at + 1..]);
    let version = starts.find(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::kustomize_5("v5.4.3\n", Some((5, 4)))]
    #[case::kustomize_4("{Version:kustomize/v4.5.7 GitCommit:56d82a8378dfc8dc3b3b1085e5a6e67b82966bd7}", Some((4, 5)))]
    #[case::kustomize_3("{Version:kustomize/v3.8.1 GitCommit:x BuildDate:2020-07-16T00:58:46Z}", Some((3, 8)))]
    #[case::kubectl("Client Version: v1.32.4\nKustomize Version: v5.5.0\n", Some((5, 5)))]
    #[case::old_kubectl("Client Version: version.Info{Major:\"1\", Minor:\"20\", GitVersion:\"v1.20.2\"}\n", None)]
    #[case::neither("(devel)\n", None)]
    fn versions(#[case] text: &str, #[case] expected: Option<(u32, u32)>) {
        assert_eq!(kustomize_version(text), expected);
    }

    #[test]
    fn a_command_that_fails_says_why() {
        let command = |script: &str| vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()];
        assert_eq!(output(&command("echo hello"), Path::new(".")).unwrap(), "hello\n");
        let error = output(&command("echo one >&2; echo two >&2; exit 3"), Path::new(".")).unwrap_err();
        assert!(error.to_string().ends_with("exit 3: it failed: two; run it on its own to see more"), "{error}");
        let error = output(&["no-such-program-anywhere".to_owned()], Path::new(".")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no-such-program-anywhere: there is no such program; install it, or correct its name"
        );
    }

    #[rstest]
    #[case::nothing("\n", "it says nothing")]
    #[case::the_last_line("one\ntwo\n\n", "two")]
    #[case::helm(
        "WARNING: old\nError: execution error at (shop/templates/a.yaml:2:1): no name\n\nUse --debug flag to render out invalid YAML\n",
        "execution error at (shop/templates/a.yaml:2:1): no name"
    )]
    #[case::several_lines(
        "Error: wrong values:\nshop:\n- (root): a is required\n\n",
        "wrong values: shop: - (root): a is required"
    )]
    #[case::usage("Error: unknown flag: --a\nUsage:\n  tool [flags]\n", "unknown flag: --a")]
    #[case::logged("E1128 12:00:00.1  9 run.go:72] \"command failed\" err=\"no such \\\"x\\\"\"\n", "no such \\\"x\\")]
    #[case::logged_in_lines(
        "E1128 12:00:00.1  9 run.go:72] \"command failed\" err=<\n\tcannot fetch\n\t: exit status 128\n >\n",
        "cannot fetch : exit status 128"
    )]
    #[case::logged_with_what_it_is_about(
        "E1128 12:00:00.1  9 run.go:72] \"command failed\" err=<\n\tno chart of: `\n\tname: redis\n\tversion: 1\n\t`: must specify \
         --enable-helm\n >\n",
        "no chart of: ` ... `: must specify --enable-helm"
    )]
    fn reasons(#[case] stderr: &str, #[case] expected: &str) {
        assert_eq!(reason(stderr), expected);
    }

    #[rstest]
    #[case::words(&["helm", "template", "--set", "db.password=hunter2,image.tag=3"], "helm template --set db.password=***,image.tag=3")]
    #[case::a_script(&["sh", "-c", "helm template --set 'token=x' | cat"], "helm template --set 'token=***' | cat")]
    #[case::in_one_word(&["helm", "template", "--set=a=1,db.password=hun\\,ter2,b=2"], "helm template '--set=***'")]
    #[case::with_what_a_shell_reads(&["jq", "-r", ".a; $b", "it's \"c\""], r#"jq -r '.a; $b' 'it'\''s "c"'"#)]
    #[case::with_a_quote(&["helm", "template", "--set", "db.password=it's me,b=2"], "helm template --set 'db.password=***'")]
    #[case::with_a_blank(&["helm", "template", "--set", "db.password=hun ter2,b=2"], "helm template --set 'db.password=***'")]
    #[case::in_quotes_with_a_blank(&["sh", "-c", "helm template --set 'db.password=hun ter2' ."], "helm template --set 'db.password=***' .")]
    #[case::as_json(&["helm", "template", "--set-json", "db={\"password\":\"hunter2\"}"], "helm template --set-json ***")]
    #[case::in_quotes(&["sh", "-c", "helm template --set db.password=\"hun ter2\" -f 'a b'"], "helm template --set db.password=*** -f 'a b'")]
    fn a_command_is_shown_without_secrets(#[case] command: &[&str], #[case] expected: &str) {
        let command: Vec<String> = command.iter().map(|&part| part.to_owned()).collect();
        assert_eq!(shown(&command), expected);
    }

    #[rstest]
    #[case::it_still_runs("sleep 1000 & echo $! > pid; wait", "it was still running after 1 s")]
    #[case::it_has_ended("sleep 1000 & echo $! > pid", "it ended, and a program that it started kept its output open")]
    fn what_a_command_started_is_ended_with_it(#[case] script: &str, #[case] expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        let child = spawned(Command::new("sh").args(["-c", script]).current_dir(directory.path())).unwrap();
        assert_eq!(within(child, Duration::from_secs(1)).map(|ended| ended.stdout).unwrap_err(), expected);
        let pid = std::fs::read_to_string(directory.path().join("pid")).unwrap();
        // One that has ended has no command line, whether or not anybody has waited for it.
        let is_there = || std::fs::read(format!("/proc/{}/cmdline", pid.trim())).is_ok_and(|line| !line.is_empty());
        let deadline = Instant::now() + Duration::from_secs(5);
        while is_there() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!is_there(), "the program that it started is still running");
    }
}
