//! `cargo xtask load` as a person runs it, against servers of the test's own: what it prints and how it ends.

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    process::Command,
    thread,
    time::Duration,
};

use probed::closed_port;
use rstest::rstest;
use rustix::process::Signal;
use support::{Running, expect, printed, processes_of, said, unique, xtask};

/// Answers each request with the status that `answer` gives for its path, for as long as the test runs.
fn serve(answer: fn(&str) -> u16) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || converse(&stream, answer));
        }
    });
    address
}

fn converse(mut stream: &TcpStream, answer: fn(&str) -> u16) {
    let mut path: Option<String> = None;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if line.is_empty() {
            let status = answer(&path.take().unwrap_or_default());
            if write!(stream, "HTTP/1.1 {status} Word\r\ncontent-length: 2\r\n\r\nOK").is_err() {
                return;
            }
        } else if path.is_none() {
            path = line.split(' ').nth(1).map(str::to_owned);
        }
    }
}

/// Load for half a second, without the check before it: a test shares the machine with others.
fn load(more: &[&str]) -> Command {
    let mut command = xtask(&["load", "--no-self-check", "--duration", "500ms"]);
    command.args(more);
    command
}

/// A project with a scenario `two`, whose first step is taken once.
fn project(attempts: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let config = format!(
        "[[scenario.two.steps]]\nname = 'register'\nonce = true\npath = '/register/${{client}}'\n{attempts}\n\
         [[scenario.two.steps]]\nname = 'ask'\npath = '/ask'\n"
    );
    support::write(directory.path(), &[(".config/e2e.toml", &config)]);
    directory
}

#[test]
fn clients_whose_set_up_failed_are_told() {
    let address = serve(|path| if path.starts_with("/register/") && path != "/register/0" { 500 } else { 200 });
    let project = project("attempts = 1");
    let (root, url) = (project.path().to_string_lossy(), format!("http://{address}/"));
    let arguments = ["--root", &root, "--url", &url, "--scenario", "two", "--clients", "4"];

    let output = load(&arguments).output().unwrap();
    let shown = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}{}", said(&output));
    assert!(shown.contains("0 errors, 1 of 4 clients ready"), "{shown}");
    assert!(shown.contains("set-up       4 requests, 3 errors: 3 × status_500"), "{shown}");

    let output = load(&arguments).args(["--format", "json"]).output().unwrap();
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{figures}");
    assert_eq!(
        [&figures["clients_ready"], &figures["clients"], &figures["set_up_errors"], &figures["errors"]],
        [1, 4, 3, 0],
        "{figures}"
    );
}

#[test]
fn a_scenario_loads_as_declared_unless_a_flag_says_otherwise() {
    let project = project("attempts = 1");
    let file = project.path().join(".config/e2e.toml");
    let steps = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("[scenario.two]\nrate = 100\nclients = 3\nduration = '600ms'\n{steps}")).unwrap();
    let (root, url) = (project.path().to_string_lossy(), format!("http://{}/", serve(|_| 200)));
    let shown = |more: &[&str]| {
        let load = ["load", "--no-self-check", "--root", &root, "--url", &url, "--scenario", "two"];
        printed(&xtask(&load).args(more).output().unwrap())
    };
    let declared = shown(&[]);
    assert!(["in 0.6 s", "3 clients", "100/s asked"].iter().all(|text| declared.contains(text)), "{declared}");
    let changed = shown(&["--clients", "2", "--rate", "50", "--duration", "200ms"]);
    assert!(["in 0.2 s", "2 clients", "50/s asked"].iter().all(|text| changed.contains(text)), "{changed}");
}

#[rstest]
#[case::all_well(0, &["http://SERVER/"], "0 errors")]
#[case::all_well_with_agents(0, &["http://SERVER/", "--agents", "2"], "0 errors")]
#[case::another_status(1, &["http://SERVER/", "--expect-status", "204"], "status_200")]
#[case::another_body(1, &["http://SERVER/", "--expect-body", "KO", "--agents", "2"], "unexpected_body")]
#[case::too_slow_a_rate(2, &["http://SERVER/", "--rate", "1e-19"], "'1e-19' for '--rate <RATE>': a rate must be finite and at least 0.000001")]
#[case::too_slow_a_ramp(2, &["http://SERVER/", "--rate", "9", "--ramp-to", "1e-19"], "for '--ramp-to <RATE>'")]
#[case::no_host(2, &["http://nobody.invalid/"], "cannot look up nobody.invalid:80")]
#[case::no_host_for_agents(2, &["http://nobody.invalid/", "--agents", "2"], "cannot look up nobody.invalid:80")]
#[case::no_certificate(2, &["https://SERVER/", "--authorities", "Cargo.toml"], "the given PEM text")]
#[case::no_certificate_for_agents(2, &["https://SERVER/", "--authorities", "Cargo.toml", "--agents", "2"], "the given PEM text")]
#[case::too_many_clients(2, &["http://SERVER/", "--clients", "4000000000"], "use fewer clients")]
#[case::too_many_clients_for_agents(2, &["http://SERVER/", "--clients", "4000000000", "--agents", "2"], "use fewer clients")]
#[case::more_agents_than_clients(2, &["http://NOBODY/", "--agents", "41"], "--agents 41 exceeds --clients 40")]
#[case::no_such_scenario(2, &["http://NOBODY/", "--scenario", "three"], "no scenario [scenario.three]")]
#[case::down(3, &["http://NOBODY/"], "no server at NOBODY (NOBODY: Connection refused (os error 111)): start it")]
#[case::down_with_agents(3, &["http://NOBODY/", "--agents", "2"], "no server at NOBODY")]
#[case::no_tls(3, &["https://SERVER/", "--insecure"], "tls_failed")]
fn each_end_has_its_exit_code(#[case] code: i32, #[case] arguments: &[&str], #[case] expected: &str) {
    let project = project("attempts = 1");
    let (server, nobody) = (serve(|_| 200).to_string(), closed_port().to_string());
    let named = |text: &str| text.replace("SERVER", &server).replace("NOBODY", &nobody);
    let mut command = load(&["--root", &project.path().to_string_lossy(), "--url"]);
    let output = command.args(arguments.iter().map(|text| named(text))).output().unwrap();
    let told = printed(&output) + &said(&output);
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(told.contains(&named(expected)), "{told}");
}

#[test]
fn a_configuration_with_a_typo_is_bad_input() {
    let project = project("attempt = 1");
    let url = format!("http://{}/", closed_port());
    let arguments = ["--root", &project.path().to_string_lossy(), "--url", &url, "--scenario", "two"];
    expect(&load(&arguments).output().unwrap(), 2, &[".config/e2e.toml:", "`attempt`"]);
}

#[rstest]
#[case::alone(&[], Signal::INT)]
#[case::with_agents(&["--agents", "2"], Signal::INT)]
#[case::terminated(&[], Signal::TERM)]
fn an_interrupt_ends_it_in_order(#[case] agents: &[&str], #[case] signal: Signal) {
    let (url, id) = (format!("http://{}/", serve(|_| 200)), unique("interrupted"));
    let mut command = load(&["--url", &url, "--warm-up", "60s"]);
    // As a terminal does it, the signal goes to all of the group.
    let mut run = Running::of(command.args(agents).env("E2E_TEST_ID", &id).process_group(0), None);
    run.wait_for(" requests/s");
    run.signal_group(signal);
    let (status, _) = run.wait(Duration::from_secs(20));
    assert_eq!(status.code(), Some(4), "{}", run.said());
    assert!(support::wait_until(Duration::from_secs(5), || processes_of(&id).is_empty()), "{:?}", processes_of(&id));
}
