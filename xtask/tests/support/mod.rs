//! Runs the program as a person would, with runs in a directory of their own, and looks for what it left behind.
//! Main types: [`Bench`], [`Running`].

#![expect(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod lifecycle;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use e2e_report::{
    report::Report,
    run_dir::{REPORT_JSON, RunDir},
};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// The reference system, whose load suites last long enough to be interrupted.
pub(crate) const REFERENCE: &str = "..";
/// Nginx and Redis alone: up in a moment.
pub(crate) const SMALL: &str = "../e2e/run/examples/nginx_redis";

/// What a program said to people.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What it printed for programs.
pub(crate) fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// It ended with this exit code and said all of this.
pub(crate) fn expect(output: &Output, code: i32, phrases: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{}{said}", printed(output));
    for phrase in phrases {
        assert!(said.contains(phrase), "`{phrase}` is not in {said}");
    }
}

/// The program with these arguments.
pub(crate) fn xtask(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(arguments);
    command
}

/// What a verb says of itself.
pub(crate) fn help(verb: &str) -> String {
    let output = xtask(&[verb, "--help"]).output().expect("the program starts");
    assert!(output.status.success(), "there is no verb `{verb}`");
    printed(&output)
}

/// The program on a project, with its runs there.
pub(crate) fn xtask_in(root: &Path, arguments: &[&str]) -> Command {
    let mut command = xtask(arguments);
    command.arg("--root").arg(root).arg("--runs").arg(root.join("runs"));
    command.env_remove("CARGO_TARGET_DIR").stdin(Stdio::null());
    command
}

/// The run that the last line names.
pub(crate) fn id_in(said: &str) -> String {
    said.lines().last().and_then(|line| line.rsplit(' ').next()).expect("the last line names the run").to_owned()
}

/// The workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(REFERENCE)
}

/// Makes a project of one component that is up at once, since nothing is asked of it, with suites that check nothing for so long.
pub(crate) fn leave_project(root: &Path, component: &str, suites_seconds: u32) {
    let config = "suites = ['sh', 'suites.sh']\n[local.'sleep:1']\nrun = ['sleep', '600']\nbinaries = ['sleep']\n";
    let manifest = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {component}}}\nspec:\n  selector: {{matchLabels: {{app: {component}}}}}\n  \
         template:\n    metadata: {{labels: {{app: {component}}}}}\n    spec: {{containers: [{{name: {component}, image: 'sleep:1'}}]}}\n"
    );
    let suites = format!(
        "sleep {suites_seconds}\nmkdir -p target/nextest/default\necho '<testsuites name=\"none\" tests=\"0\" failures=\"0\" errors=\"0\"></testsuites>' \
         > target/nextest/default/junit.xml\n"
    );
    write(root, &[(".config/e2e.toml", config), ("manifests/one.yaml", &manifest), ("suites.sh", &suites)]);
}

/// Writes files with the directories that they are in.
pub(crate) fn write(root: &Path, files: &[(&str, &str)]) {
    for (file, text) in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    }
}

/// A place for runs that is gone when the test ends.
pub(crate) struct Bench {
    project: &'static str,
    directory: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn of(project: &'static str) -> Self {
        Self { project, directory: tempfile::tempdir().expect("a temporary directory") }
    }

    pub(crate) fn run_directory(&self, id: &str) -> PathBuf {
        self.directory.path().join("runs").join(id)
    }

    /// The program with a verb, on this bench's project and runs.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_on(self.project, arguments)
    }

    /// The same on another project.
    pub(crate) fn command_on(&self, project: &str, arguments: &[&str]) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(project);
        let mut command = xtask(arguments);
        command.arg("--root").arg(root).arg("--runs").arg(self.directory.path());
        command.stdin(Stdio::null());
        command
    }

    /// Runs a verb to its end.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program starts")
    }

    /// Runs a verb that must succeed, and returns what it said.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        expect(&output, 0, &[]);
        said(&output)
    }

    /// The report of a run.
    pub(crate) fn report(&self, id: &str) -> Report {
        let run = RunDir::open(&self.run_directory(id)).expect("a run");
        run.read_json(REPORT_JSON).expect("a report")
    }

    /// Starts `e2e` on a target with an id of the test's choice.
    pub(crate) fn start(&self, target: &str, id: &str, more: &[&str]) -> Running {
        let mut command = self.command(&["e2e", "--target", target, "--run-id", id]);
        Running::of(command.args(more), None)
    }

    /// The same in the cluster of a kubeconfig.
    pub(crate) fn start_in(&self, kubeconfig: &Path, id: &str, more: &[&str]) -> Running {
        let mut command = self.command(&["e2e", "--target", "k8s", "--run-id", id]);
        Running::of(command.args(more).env("KUBECONFIG", kubeconfig), None)
    }

    /// The same, and stops to read what it says after a line with `text`.
    pub(crate) fn start_unread_after(&self, target: &str, id: &str, text: &'static str) -> Running {
        Running::of(&mut self.command(&["e2e", "--target", target, "--run-id", id]), Some(text))
    }
}

/// A program that runs, with what it says on standard error.
pub(crate) struct Running {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

impl Running {
    pub(crate) fn of(command: &mut Command, unread_after: Option<&'static str>) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let stderr = child.stderr.take().expect("a pipe");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let reader = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let is_last = unread_after.is_some_and(|text| line.contains(text));
                sink.lock().expect("no panic").push(line);
                if is_last {
                    return;
                }
            }
        });
        Self { child, lines, reader }
    }

    pub(crate) fn said(&self) -> String {
        self.lines.lock().expect("no panic").join("\n")
    }

    /// Waits until it says something.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let there = wait_until(Duration::from_secs(120), || {
            self.said().contains(text) || self.child.try_wait().is_ok_and(|status| status.is_some())
        });
        assert!(there && self.said().contains(text), "it never said `{text}`:\n{}", self.said());
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("it runs");
    }

    /// The same for its process group, which it must lead.
    pub(crate) fn signal_group(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process_group(pid, signal).expect("it runs");
    }

    /// Waits for its end, and says how long that took.
    pub(crate) fn wait(&mut self, limit: Duration) -> (ExitStatus, Duration) {
        let started = Instant::now();
        let mut status = None;
        wait_until(limit, || {
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        });
        let status = status.unwrap_or_else(|| panic!("it did not end within {limit:?}:\n{}", self.said()));
        let took = started.elapsed();
        // What it said last may still be in the pipe, which what a killed program leaves holds open for longer.
        wait_until(Duration::from_secs(5), || self.reader.is_finished());
        (status, took)
    }
}

impl Drop for Running {
    /// A test that failed leaves nothing running.
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(Signal::TERM);
            if !wait_until(Duration::from_secs(30), || self.child.try_wait().is_ok_and(|status| status.is_some())) {
                let _ = self.child.kill();
            }
        }
    }
}

/// An id that no other test run uses at the same time.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

/// Looks until it is so.
pub(crate) fn wait_until(limit: Duration, mut look: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if look() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Processes that belong to a run: its id stands in their arguments, their environment or their working directory.
pub(crate) fn processes_of(id: &str) -> Vec<String> {
    let mine = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) || name == mine {
            continue;
        }
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        let directory = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        let (arguments, environment) = (read("cmdline"), read("environ"));
        let texts = [&arguments[..], &environment[..], directory.as_os_str().as_encoded_bytes()];
        if texts.iter().any(|text| text.windows(id.len()).any(|part| part == id.as_bytes())) {
            found.push(format!("{name}: {}", String::from_utf8_lossy(&arguments).replace('\0', " ")));
        }
    }
    found
}

/// Private files of a run that should be gone.
pub(crate) fn private_files(run: &Path) -> Vec<PathBuf> {
    let outside = std::env::temp_dir().join(format!("e2e-{}", run.file_name().expect("an id").to_string_lossy()));
    let private = [run.join("secrets.json"), run.join("work"), run.join("work.link"), outside];
    private.into_iter().filter(|path| path.symlink_metadata().is_ok()).collect()
}

/// What an engine has of a run: containers, networks and volumes with its label.
pub(crate) fn labelled(id: &str) -> Vec<String> {
    let filter = format!("label=e2e.run={id}");
    let lists: [&[&str]; 3] = [
        &["ps", "--all", "--format", "container {{.Names}}"],
        &["network", "ls", "--format", "network {{.Name}}"],
        &["volume", "ls", "--format", "volume {{.Name}}"],
    ];
    lists.iter().flat_map(|list| docker(&[list, &["--filter", &filter][..]].concat())).collect()
}

/// Lines that the docker command prints.
pub(crate) fn docker(arguments: &[&str]) -> Vec<String> {
    let output = Command::new("docker").args(arguments).output().expect("the docker command is there");
    assert!(output.status.success(), "docker {arguments:?}: {}", said(&output));
    printed(&output).lines().map(str::to_owned).collect()
}

/// Whether an engine answers and there is a command to look into it; says so when not.
pub(crate) fn has_engine() -> bool {
    let answers = Command::new("docker").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let answers = answers.is_ok_and(|status| status.success());
    if !answers {
        eprintln!("SKIPPED: this test needs a Docker engine and the docker command");
    }
    answers
}

/// Everything that a run leaves running or lying about, when it should have left nothing; given a moment to end.
pub(crate) fn assert_nothing_left(run: &Path, on_docker: bool) {
    let id = run.file_name().expect("an id").to_string_lossy().into_owned();
    let mut left: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    wait_until(Duration::from_secs(10), || {
        left.insert("processes", processes_of(&id));
        left.insert("files", private_files(run).iter().map(|path| path.display().to_string()).collect());
        if on_docker {
            left.insert("engine", labelled(&id));
        }
        left.values().all(Vec::is_empty)
    });
    left.retain(|_, things| !things.is_empty());
    assert!(left.is_empty(), "the run {id} left {left:#?}");
}

/// The files below a directory that hold one of the texts.
pub(crate) fn files_with(directory: &Path, texts: &[String]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry")) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, texts));
        } else {
            let bytes = fs::read(&path).unwrap_or_default();
            let holds = |text: &String| bytes.windows(text.len()).any(|part| part == text.as_bytes());
            found.extend(texts.iter().any(holds).then_some(path));
        }
    }
    found
}
