//! Wrong input and a machine that cannot do it: each is one clear line with the place and the remedy, its own exit code, and
//! nothing left behind.

mod support;

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output},
};

use e2e_run::exit::ExitCode;
use rstest::rstest;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{has_engine, labelled, printed, private_files, processes_of, said};

const MANIFEST: &str = "\
apiVersion: v1
kind: Service
metadata: {name: redis}
spec:
  selector: {app: redis}
  ports: [{port: 6379}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: redis}
spec:
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis}}
    spec:
      containers:
        - name: redis
          image: redis:7
          ports: [{containerPort: 6379}]
          readinessProbe: {tcpSocket: {port: 6379}}
";

/// Suites that need no workspace, and a program that every machine has in place of Redis: what is tested here goes wrong before either
/// runs.
const NO_SUITES: &str =
    "suites = ['true']\nbring_up = '3s'\n[local.'redis:7']\nrun = ['sleep', '60']\nbinaries = ['sleep']\n";

/// A project of its own, with Redis alone.
struct Project {
    directory: tempfile::TempDir,
}

impl Project {
    fn new(config: &str, manifest: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        support::write(directory.path(), &[(".config/e2e.toml", config), ("manifests/redis.yaml", manifest)]);
        Self { directory }
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }

    fn runs(&self) -> std::path::PathBuf {
        self.root().join("target/e2e")
    }

    /// `e2e` on this project, started by another program where `wrapper` names one.
    fn e2e(&self, wrapper: &[&str], arguments: &[&str]) -> Command {
        let words: Vec<&str> = wrapper.iter().copied().chain([env!("CARGO_BIN_EXE_xtask")]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg("--root").arg(self.root()).arg("e2e").args(arguments);
        command.current_dir(self.root()).env_remove("CARGO_TARGET_DIR").env("E2E_NO_INSTALL", "1");
        command
    }

    /// One line of error with these phrases, and nothing left.
    fn expect(&self, output: &Output, code: i32, phrases: &[&str]) {
        let error = self.expect_lines(output, code, phrases);
        // The parser of flags adds how they are used.
        let usage = error.find("\n\nFor more information, try '--help'.").unwrap_or(error.len());
        assert_eq!(error[..usage].lines().count(), 1, "{error}");
    }

    /// The same for an error that is a list.
    fn expect_lines(&self, output: &Output, code: i32, phrases: &[&str]) -> String {
        let (said, reported) = (said(output), printed(output));
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(reported.is_empty(), "standard output is for reports: {reported}");
        let [_, error] = said.split("error: ").collect::<Vec<_>>()[..] else { panic!("not one error:\n{said}") };
        for phrase in phrases {
            assert!(error.contains(phrase), "`{phrase}` is not in\n{error}");
        }
        assert!(!error.starts_with(char::is_uppercase), "{error}");
        let parts: Vec<&str> = error.split(&[';', ':'][..]).map(str::trim).filter(|part| part.len() > 10).collect();
        assert_eq!(parts.iter().collect::<BTreeSet<_>>().len(), parts.len(), "a cause is said twice: {error}");
        self.expect_nothing_left();
        error.trim_end().to_owned()
    }

    fn expect_nothing_left(&self) {
        assert_eq!(processes_of(&self.root().to_string_lossy()), Vec::<String>::new());
        for run in fs::read_dir(self.runs().join("runs")).into_iter().flatten().flatten() {
            assert_eq!(private_files(&run.path()), Vec::<std::path::PathBuf>::new());
        }
    }
}

#[rstest]
#[case::unknown_key("[scenario.a]\nclient = 3\n", &[".config/e2e.toml:2:1: ", "unknown field `client`", "did you mean `clients`", "correct or remove it"])]
#[case::without_a_name("[scenario]\nclients = 3\n", &[".config/e2e.toml:2:11: ", "a table with the scenario's name", "[scenario.checkout]"])]
#[case::wrong_type("bring_up = 60\n", &[".config/e2e.toml:1:12: ", "expected a string", "correct or remove it"])]
#[case::no_unit("bring_up = '60'\n", &[".config/e2e.toml:1:12: ", "`60` is not a duration", "such as 250ms, 60s or 5m"])]
#[case::not_toml("[scenario\n", &[".config/e2e.toml:1:10: ", "correct or remove it"])]
#[case::no_clients("[scenario.a]\nclients = 0\n", &[".config/e2e.toml:2:1: ", "scenario.a: clients is 0", "from 1 to 20000"])]
#[case::no_time("[scenario.a]\nduration = '0s'\n", &[".config/e2e.toml:2:1: ", "scenario.a: duration is 0s", "longer than zero"])]
#[case::negative_line("[scenario.a]\nthresholds.latency_ms_p99_max = -1.0\nsteps = [{ name = 'x', path = '/' }]\n", &[".config/e2e.toml:2:12: ", "0 or more"])]
#[case::no_such_service("entrance = 'ngnix'\n", &["entrance is `ngnix`", "Services of the manifests: redis"])]
#[case::no_such_directory("manifests = 'manifest'\n", &["manifest: there is no such file or directory", "check the path"])]
fn a_configuration_that_makes_no_sense(#[case] config: &str, #[case] phrases: &[&str]) {
    let project = Project::new(config, MANIFEST);
    let output = project.e2e(&[], &["--target", "local"]).output().unwrap();
    project.expect(&output, 2, phrases);
    assert!(!project.runs().exists(), "nothing was made");
}

#[rstest]
#[case::broken_yaml("  ports: [{port: 6379}]\n---", "  ports: [{port: 6379}\n---", &["manifests/redis.yaml:", "not valid YAML", "correct the line"])]
#[case::misspelt_field("readinessProbe", "readynessProbe", &["manifests/redis.yaml:20:11", "Deployment/redis", "readynessProbe: unknown field", "did you mean `readinessProbe`?"])]
#[case::undeclared_port("tcpSocket: {port: 6379}", "tcpSocket: {port: http}", &["manifests/redis.yaml:20:", "Deployment/redis", "http"])]
#[case::unknown_kind("kind: Service", "kind: Servce", &["manifests/redis.yaml:2:1", "did you mean `Service`?"])]
#[case::no_program("image: redis:7", "image: nowhere/none:1", &["no local program for nowhere/none:1", "[local.\"nowhere/none:1\"]", "--target docker"])]
fn manifests_that_make_no_sense(#[case] old: &str, #[case] new: &str, #[case] phrases: &[&str]) {
    assert!(MANIFEST.contains(old));
    let project = Project::new(NO_SUITES, &MANIFEST.replacen(old, new, 1));
    let output = project.e2e(&[], &["--target", "local"]).output().unwrap();
    project.expect(&output, 2, phrases);
}

#[rstest]
#[case::no_clients(&["--clients", "0"], &["'0' for '--clients", "1..=20000"])]
#[case::clients_without_end(&["--clients", "1000000"], &["'1000000' for '--clients", "1..=20000"])]
#[case::no_time(&["--duration", "0s"], &["'0s' for '--duration", "longer than zero"])]
#[case::no_unit(&["--duration", "60"], &["'60' for '--duration", "such as 250ms, 60s or 5m"])]
#[case::no_such_scenario(&["--scenario", "order"], &["no scenario [scenario.order]", "declared: none"])]
#[case::no_such_target(&["--target", "podman"], &["there is no target `podman`", "docker, local, k8s or auto"])]
#[case::no_such_component(&["--set", "rediss.env.A=b"], &["--set rediss.env.A", "did you mean `redis`?"])]
#[case::no_such_variable(&["--set", "redis.A=b"], &["`redis.A` does not name an environment variable", "component.env.NAME=value"])]
#[case::no_such_replicas(&["--replicas", "nginx=2"], &["--replicas nginx=2", "components: redis"])]
#[case::replicas_of_nothing(&["--replicas", "=3"], &["write COMPONENT=N"])]
#[case::an_image_of_nothing(&["--against-image", "=x"], &["write COMPONENT=IMAGE"])]
#[case::no_such_overlay(&["--overlay", "overlays/oom"], &["overlays/oom", "no such file or directory", "check the path"])]
#[case::no_such_configuration(&["--config", "e2e.tml"], &["cannot read e2e.tml", "create it"])]
#[case::no_snapshots(&["--update-snapshots"], &["snapshots is not set", "leave --update-snapshots out"])]
#[case::a_filter_without_nextest(&["--filter", "test(a)"], &["--filter is in nextest's language", "`true` runs the suites", "leave it out"])]
fn flags_that_make_no_sense(#[case] flags: &[&str], #[case] phrases: &[&str]) {
    let project = Project::new(NO_SUITES, MANIFEST);
    let target: &[&str] = if flags[0] == "--target" { &[] } else { &["--target", "local"] };
    let output = project.e2e(&[], &[target, flags].concat()).output().unwrap();
    project.expect(&output, 2, phrases);
    assert!(!project.runs().exists(), "nothing was made");
}

#[test]
fn an_agent_without_a_token() {
    let output =
        support::xtask(&["agent"]).env("E2E_AGENT_TOKEN", "").env("E2E_AGENT_LISTEN", "127.0.0.1:0").output().unwrap();
    assert!(!output.status.success());
    assert!(said(&output).contains("E2E_AGENT_TOKEN is not set"), "{}", said(&output));
}

#[test]
fn a_part_of_what_is_declared_makes_no_snapshot() {
    let project = Project::new(NO_SUITES, MANIFEST);
    let output = project.e2e(&[], &["--update-snapshots", "--scenario", "a"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("'--update-snapshots' cannot be used with '--scenario"), "{said}");
    assert_eq!(output.status.code(), Some(2));
}

#[rstest]
#[case::program("suites = ['true']\n[local.'redis:7']\nrun = ['no-such-redis']\nbinaries = ['no-such-redis']\napt = ['no-such-package']\n", &["no-such-redis not found", "redis:7", "E2E_REDIS_BIN", "apt-get install --no-install-recommends no-such-package"])]
#[case::runner("suites = ['no-such-runner', 'run']\n", &["no-such-runner", "suites in .config/e2e.toml"])]
fn a_program_that_is_missing(#[case] config: &str, #[case] phrases: &[&str]) {
    let project = Project::new(config, MANIFEST);
    let output = project.e2e(&[], &["--target", "local"]).output().unwrap();
    project.expect(&output, 3, phrases);
}

/// Cargo's own words stand in the error.
#[test]
fn a_package_that_is_missing() {
    let project = Project::new("suites = ['true']\n[local.'redis:7']\ncargo = 'no-such-package'\n", MANIFEST);
    let output = project.e2e(&[], &["--target", "local"]).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    let error = said.rsplit("\nerror: ").next().unwrap();
    for phrase in ["`cargo build ", "--package no-such-package", "\n    | error: could not find `Cargo.toml`"] {
        assert!(error.contains(phrase), "`{phrase}` is not in\n{error}");
    }
    project.expect_nothing_left();
}

/// What was seen of the system is not lost with suites that end oddly, and the report says that they did.
#[rstest]
#[case::another_exit_code("echo some >&2; exit 3", "it ended with exit code 3")]
#[case::no_list_of_tests("exit 0 # {junit}", "it left no ")]
fn suites_that_end_oddly(#[case] script: &str, #[case] reason: &str) {
    // A program without a probe is ready at once.
    let manifest = MANIFEST.replace("          readinessProbe: {tcpSocket: {port: 6379}}\n", "");
    let config = NO_SUITES.replace("['true']", &format!("['sh', '-c', '{script}']"));
    let project = Project::new(&config, &manifest);
    let output = project.e2e(&[], &["--target", "local"]).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(ExitCode::Incomplete as i32), "{said}");
    let run = project.runs().join("latest");
    for text in [&said, &fs::read_to_string(run.join("report.md")).unwrap()] {
        assert!(text.contains(reason), "`{reason}` is not in\n{text}");
    }
    assert!(run.join("evidence/pods.json").exists());
    let again = support::xtask_in(project.root(), &["report", "--check"]).arg(&run).output().unwrap();
    support::expect(&again, 0, &[]);
    project.expect_nothing_left();
}

#[test]
fn no_engine() {
    let project = Project::new(NO_SUITES, MANIFEST);
    let mut command = project.e2e(&[], &["--target", "docker"]);
    let output = command.env("DOCKER_HOST", "unix:///nonexistent.sock").output().unwrap();
    project.expect(&output, 3, &["no Docker engine answers", "point DOCKER_HOST to one", "--target local"]);
}

#[test]
fn an_image_that_is_nowhere() {
    if !has_engine() {
        return;
    }
    let project = Project::new(NO_SUITES, &MANIFEST.replace("redis:7", "nowhere/none:1"));
    let id = support::unique("nowhere");
    let output = project.e2e(&[], &["--target", "docker", "--run-id", &id]).output().unwrap();
    project.expect_lines(
        &output,
        3,
        &["images are missing: nowhere/none:1", "docker pull", "[images] in .config/e2e.toml"],
    );
    assert_eq!(labelled(&id), Vec::<String>::new());
}

#[test]
fn a_run_directory_that_cannot_be_made() {
    let project = Project::new(NO_SUITES, MANIFEST);
    fs::write(project.root().join("target"), "a file").unwrap();
    let output = project.e2e(&[], &["--target", "local"]).output().unwrap();
    project.expect(&output, 3, &["cannot create ", "target/e2e", "a file stands in place of a directory", "--runs"]);
}

/// Runs the rest of its arguments in a mount namespace of its own, with `target` on a tiny disk: nothing has to be unmounted,
/// whatever happens. The first argument is the directory, the second what is done to it.
const ON_A_TINY_DISK: &str = r#"
    mount -t tmpfs -o size=256k,mode=755 tmpfs "$1" || exit 99
    cd "$1" && eval "$2"
    shift 2
    "$@"; code=$?
    left=$(find . -name secrets.json -o -name work -o -name 'work.link' -o -name '*.tmp*')
    [ -z "$left" ] || { echo "left behind: $left" >&2; exit 98; }
    exit $code
"#;

#[rstest]
#[case::read_only("mount -o remount,ro .", &["cannot create ", "Read-only file system", "make it writable", "--runs"])]
// A page is 4 KiB: with each page more, another write is the first that fails.
#[case::full("head -c 300k /dev/zero > filler", &["cannot write ", "No space left on device", "free some disk space"])]
#[case::one_page_left("head -c 252k /dev/zero > filler", &["cannot write ", "No space left on device"])]
#[case::two_pages_left("head -c 248k /dev/zero > filler", &["cannot write ", "No space left on device"])]
#[case::three_pages_left("head -c 244k /dev/zero > filler", &["cannot write ", "No space left on device"])]
fn a_disk_that_takes_nothing(#[case] setting: &str, #[case] phrases: &[&str]) {
    if !may_unshare("--mount") {
        return;
    }
    let project = Project::new(NO_SUITES, MANIFEST);
    let disk = project.root().join("target");
    fs::create_dir(&disk).unwrap();
    let disk = disk.to_string_lossy();
    let wrapper = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        ON_A_TINY_DISK,
        "sh",
        &disk,
        &format!("{{ {setting}; }} 2>/dev/null || true"),
    ];
    let output = project.e2e(&wrapper, &["--target", "local"]).output().unwrap();
    project.expect(&output, 3, phrases);
}

/// In a network namespace of its own, where nobody else misses the ports.
#[test]
fn every_port_is_taken() {
    if !may_unshare("--net") {
        return;
    }
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.arg("--net").arg(this).args(["--ignored", "--exact", "with_every_port_taken", "--nocapture"]);
    let output = command.output().unwrap();
    support::expect(&output, 0, &[]);
    let said = printed(&output) + &said(&output);
    said.lines().filter(|line| line.contains("SKIPPED")).for_each(|line| eprintln!("{line}"));
}

#[test]
#[ignore = "takes every port: `every_port_is_taken` runs it where that harms nobody"]
fn with_every_port_taken() {
    // The range from which ports for plain processes are chosen.
    let ports = 15_000..32_000;
    let wanted = ports.len() as u64 + 100;
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < wanted) {
        return eprintln!("SKIPPED: this process may not open {wanted} files");
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.current.max(Some(wanted)), ..limit }).unwrap();
    let _taken: Vec<TcpListener> = ports.map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap()).collect();

    let project = Project::new(NO_SUITES, MANIFEST);
    let output = project.e2e(&[], &["--target", "local"]).output().unwrap();
    project.expect(&output, 3, &["no free port on 127.0.0.1 for redis-0 port 6379", "15000 to 29999", "ss -ltnp"]);
}

/// Whether this user may have a namespace of its own; says so when not.
fn may_unshare(which: &str) -> bool {
    let may = Command::new("unshare").args([which, "true"]).output().is_ok_and(|output| output.status.success());
    if !may {
        eprintln!("SKIPPED: this test needs `unshare {which}`, which only root may use");
    }
    may
}
