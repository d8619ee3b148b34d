//! `cargo xtask load` as a person runs it, against servers of the test's own: what it prints and how it ends.

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Output},
    thread,
};

use support::said;

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
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["load", "--no-self-check", "--duration", "500ms", "--clients", "4"]).args(more);
    command
}

/// A project with a scenario `two`, whose first step is taken once.
fn project(attempts: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let config = format!(
        "[[load.two.steps]]\nname = 'register'\nonce = true\npath = '/register/${{client}}'\n{attempts}\n\
         [[load.two.steps]]\nname = 'ask'\npath = '/ask'\n"
    );
    fs::create_dir(directory.path().join(".config")).unwrap();
    fs::write(directory.path().join(".config/e2e.toml"), config).unwrap();
    directory
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn clients_whose_set_up_failed_are_told() {
    let address = serve(|path| if path.starts_with("/register/") && path != "/register/0" { 500 } else { 200 });
    let project = project("attempts = 1");
    let (root, url) = (project.path().to_string_lossy(), format!("http://{address}/"));
    let arguments = ["--root", &root, "--url", &url, "--scenario", "two"];

    let output = load(&arguments).output().unwrap();
    let shown = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}{}", said(&output));
    assert!(shown.contains("0 errors, 1 of 4 clients ready"), "{shown}");
    assert!(shown.contains("set-up       4 requests, 3 errors: status_500: 3"), "{shown}");

    let output = load(&arguments).args(["--format", "json"]).output().unwrap();
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{figures}");
    assert_eq!(
        [&figures["clients_ready"], &figures["clients"], &figures["set_up_errors"], &figures["errors"]],
        [1, 4, 3, 0],
        "{figures}"
    );
}
