//! The doctor on the command line: exit codes, the shape of its JSON, and input of every bad kind within bounds of time.

mod support;

use std::{
    ffi::OsStr,
    net::TcpListener,
    os::unix::ffi::OsStrExt,
    process::Output,
    time::{Duration, Instant},
};

use probed::{Reply, Server};
use rstest::rstest;
use support::{printed, said, xtask};

/// Three seconds are promised for the default timeout; the rest is the program's own start on a busy machine.
const BOUND: Duration = Duration::from_secs(6);

fn doctor<S: AsRef<OsStr>>(arguments: &[S]) -> (Output, i32) {
    let begun = Instant::now();
    let output = xtask(&["doctor"]).args(arguments).output().expect("xtask runs");
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    let code = output.status.code().unwrap_or(-1);
    (output, code)
}

#[rstest]
#[case::no_port(&["--url", "http://127.0.0.1/health"], "it has no port")]
#[case::no_scheme(&["--url", "127.0.0.1:8000"], "it does not begin with http:// or https://")]
#[case::newline_in_header(&["--url", "http://127.0.0.1:9/", "--header", "X-A: 1\nX-B: 2"], "invalid header field value for \"X-A\"")]
#[case::unknown_host(&["--url", "http://nowhere.invalid:8000/"], "the host nowhere.invalid has no address")]
#[case::no_run(&["--env", "no-such-run"], "no such run;")]
#[case::no_manifests(&["--lint", "/no/such/directory"], "there is no such file or directory")]
#[case::nothing(&[], "required")]
#[case::load_on_a_url(&["--url", "http://127.0.0.1:9/", "--under-load"], "cannot be used with")]
#[case::start_of_a_url(&["--url", "http://127.0.0.1:9/", "--from-start"], "cannot be used with")]
#[case::no_time(&["--env", "latest", "--from-start", "0s"], "must be longer than zero")]
#[case::both(&["--url", "http://127.0.0.1:9/", "--env", "latest"], "cannot be used with")]
fn wrong_input_is_named(#[case] arguments: &[&str], #[case] reason: &str) {
    let (output, code) = doctor(arguments);
    assert_eq!(code, 2, "{}", said(&output));
    assert!(said(&output).contains(reason), "{}", said(&output));
}

#[test]
fn arguments_that_are_no_text_are_wrong_input() {
    let url = OsStr::from_bytes(b"http://127.0.0.1:8000/\xff");
    let (output, code) = doctor(&[OsStr::new("--url"), url]);
    assert_eq!(code, 2, "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_allow_list_is_told_as_json_and_as_text() {
    let answer = |request: &probed::Request| match request.lines().any(|line| line.starts_with("Host: localhost:")) {
        true => Reply::status(200, "OK"),
        false => Reply::status(400, "no"),
    };
    let server = Server::start(answer).await;
    let url = format!("http://{}/health", server.address);
    let (output, code) = doctor(&["--url", &url, "--pod-ip", "10.244.0.9", "--format", "json"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let port = server.address.port();
    assert_eq!(code, 1, "{found:#}");
    assert_eq!(found["verdict"], "failure");
    assert_eq!(found["observation"]["status"], 400);
    assert_eq!(found["observation"]["error"], "HTTP probe failed with statuscode: 400");
    assert_eq!(found["observation"]["body_excerpt"], "no");
    assert_eq!(found["cause"], "host-allow-list");
    let (from, to) = (format!("10.244.0.9:{port}"), format!("localhost:{port}"));
    assert_eq!(found["flip"], serde_json::json!({ "axis": "host", "from": from, "to": to }));
    assert_eq!((&found["confirmed"], &found["confidence"]), (&true.into(), &"proven".into()));
    assert_eq!(found["requests"], found["evidence"].as_array().expect("a list").len());
    assert_eq!(found["fix"]["verified"], true);
    let patch = found["fix"]["patch"].as_str().expect("a patch");
    assert!(!patch.lines().any(|line| line.trim_start().starts_with("host:")), "{patch}");
    let (output, code) = doctor(&["--url", &url]);
    let told = printed(&output);
    assert_eq!(code, 1);
    assert!(told.contains("cause: host-allow-list (proven both ways by"), "{told}");
    assert!(told.contains("patch (the probe succeeds with it):\napiVersion: apps/v1\n"), "{told}");
    let (_, code) = doctor(&["--url", &url, "--header", &format!("Host: localhost:{port}")]);
    assert_eq!(code, 0, "with the header the probe succeeds");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_explains_ends_with_6() {
    let broken = Server::start(|_| Reply::status(500, "")).await;
    let (output, code) = doctor(&["--url", &format!("http://{}/", broken.address)]);
    assert_eq!(code, 6, "{}", printed(&output));
    assert!(printed(&output).contains("cause: unknown after"), "{}", printed(&output));
    assert_eq!(doctor(&["--url", &format!("http://{}/", probed::closed_port())]).1, 6);
    // A net of documentation (RFC 5737): there is no way to it, or nobody answers.
    assert_eq!(doctor(&["--url", "http://192.0.2.1:8000/"]).1, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_never_end_are_left_in_time() {
    // Keeps each connection open and says nothing, so a handshake never ends.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("an address");
    let kept = std::thread::spawn(move || silent.incoming().flatten().take(64).collect::<Vec<_>>());
    let (output, code) = doctor(&["--url", &format!("https://{address}/")]);
    assert_eq!(code, 6, "{}", printed(&output));
    drop(kept);
    let endless = Server::start(|_| Reply::Forever(b"HTTP/1.1 200 OK\r\n\r\n".repeat(256))).await;
    // A kubelet reads 10 KiB of it and is content.
    assert_eq!(doctor(&["--url", &format!("http://{}/", endless.address)]).1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_are_shown_as_well_as_can_be() {
    let bytes = b"HTTP/1.1 503 \xff\xfe\r\nX-\xc3: \xff\r\nX-B: \xff\r\n\r\n\xff\xfe\xfd";
    let odd = Server::start(|_| Reply::Bytes(bytes.to_vec())).await;
    let (output, code) = doctor(&["--url", &format!("http://{}/", odd.address), "--format", "json"]);
    assert!(code == 1 || code == 6, "{code}: {}", said(&output));
    let found: Result<serde_json::Value, _> = serde_json::from_slice(&output.stdout);
    assert!(found.is_ok(), "{}", printed(&output));
}

#[test]
fn manifests_are_linted() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write = |probes: &str| {
        let manifest = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: app}}\nspec:\n  selector: {{matchLabels: {{app: app}}}}\n  \
             template:\n    metadata: {{labels: {{app: app}}}}\n    spec: {{containers: [{{name: app, image: app:1, ports: \
             [{{containerPort: 80}}]{probes}}}]}}\n"
        );
        std::fs::write(directory.path().join("app.yaml"), manifest).expect("a manifest");
    };
    let lint = || doctor(&[OsStr::new("--lint"), directory.path().as_os_str()]);
    write("");
    let (output, code) = lint();
    assert_eq!((code, printed(&output)), (0, "0 probes: 0 errors, 0 warnings, 0 notes\n".to_owned()));
    write(", readinessProbe: {httpGet: {path: /, port: 80, host: app.example}}");
    let (output, code) = lint();
    let told = printed(&output);
    assert_eq!(code, 1, "{told}");
    assert!(told.starts_with("error[host-set] Deployment/app containers[app].readinessProbe.host ("), "{told}");
    assert!(told.ends_with("\n1 probe: 1 error, 0 warnings, 0 notes\n"), "{told}");
}
