//! Probes of servers that answer or shake hands in odd ways, against what Go's own client made of them.
//!
//! `responses.json` and `handshakes.json` were recorded with Go 1.23.9: `http.Client` over `http.Transport` as `pkg/probe/http` of
//! Kubernetes sets them up, with the verdict of `DoHTTPProbe` on what came back. Neither Go nor a cluster is needed to play them.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use e2e_kubelet::observation::Observation;
use e2e_node::{
    poll::{self, Look},
    probe::{Profile, Target, send},
};
use e2e_plan::ProbeAction;
use futures_util::StreamExt;
use probed::{Program, Reply, Server};
use serde::Deserialize;

/// Go refuses a certificate for the syntax of a URI that nobody looks at here. A server with such a certificate succeeds here and fails
/// for a kubelet.
const NAMED: [&str; 1] = ["names-bad-uri"];

/// Responses that fail here as for Go, but in other words: a carriage return within a line, headers that end or stop before their empty
/// line, a header's name in other letters, and a port that no address has.
const WORDED: [&str; 7] = [
    "header-cr-value",
    "header-cr-cr-lf",
    "head-cut-line",
    "head-cut-empty-line",
    "malformed-header-open",
    "trailer-upper",
    "redirect-big-port",
];

/// A response, and what became of it.
#[derive(Deserialize)]
struct Response {
    name: String,
    /// Texts, each with how often it is sent.
    sends: Vec<(String, usize)>,
    /// Whether the connection stays open after that.
    stays_open: bool,
    success: bool,
    says: String,
}

/// A server of TLS by the arguments of openssl's commands, and what became of a handshake with it.
#[derive(Deserialize)]
struct Handshake {
    name: String,
    /// Of `openssl genpkey`.
    key: String,
    /// Of `openssl req -x509`; `-not` is a certificate that has expired, `-v1` one of the first version.
    certificate: String,
    /// Of `openssl s_server`.
    server: String,
    success: bool,
    says: String,
}

async fn probe(port: u16, https: bool, timeout: Duration) -> Observation {
    let pod_ip = IpAddr::from([10, 244, 0, 9]);
    let action = ProbeAction::HttpGet { https, host: None, port, path: "/health".to_owned(), headers: Vec::new() };
    let target = Target::new(pod_ip, port, ([127, 0, 0, 1], port).into());
    send(&action, &target, timeout, &Profile::of_version("1.32")).await
}

/// What is wrong with an observation, if it is not what Go says.
fn difference(name: &str, success: bool, says: &str, seen: &Observation) -> Option<String> {
    let told = if success { "a success" } else { says };
    (seen.success() != success).then(|| format!("{name}: Go says {told:?}, and here it is {:?}", seen.summary()))
}

/// A failure in other words than Go's. The recording has a status in words of its own.
fn other_words(case: &Response, seen: &Observation) -> Option<String> {
    let is_other = !seen.message.ends_with(&case.says) && !case.says.starts_with("FAILURE status=");
    let Response { name, says, .. } = case;
    (is_other && !WORDED.contains(&name.as_str())).then(|| format!("{name}: Go says {says:?}, here {:?}", seen.message))
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_are_read_as_go_reads_them() {
    let cases: Vec<Response> = serde_json::from_str(include_str!("responses.json")).expect("the recorded responses");
    let count = cases.len();
    let played = cases.into_iter().map(|case| async move {
        let bytes = case.sends.iter().flat_map(|(text, times)| text.repeat(*times).into_bytes()).collect();
        let reply = if case.stays_open { Reply::ThenNothing(bytes) } else { Reply::Bytes(bytes) };
        let server = Server::start(move |_| reply.clone()).await;
        let timeout = if case.stays_open { Duration::from_millis(500) } else { Duration::from_secs(10) };
        let seen = probe(server.address.port(), false, timeout).await;
        difference(&case.name, case.success, &case.says, &seen).or_else(|| other_words(&case, &seen))
    });
    let differences: Vec<Option<String>> = futures_util::stream::iter(played).buffered(8).collect().await;
    let differences: Vec<String> = differences.into_iter().flatten().collect();
    assert!(differences.is_empty(), "{} of {count}:\n{}", differences.len(), differences.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn hands_are_shaken_as_go_shakes_them() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("SKIPPED: there is no openssl on this machine, so nothing was proved");
        return;
    }
    let cases: Vec<Handshake> = serde_json::from_str(include_str!("handshakes.json")).expect("the recorded handshakes");
    let place = tempfile::tempdir().expect("a directory for keys");
    let mut keys = BTreeMap::new();
    let (mut differences, mut played) = (Vec::new(), 0);
    for case in &cases {
        let key = keys.entry(case.key.clone()).or_insert_with(|| key(place.path(), &case.key)).clone();
        let certificate = key.as_ref().and_then(|key| certificate(place.path(), key, &case.certificate));
        // Builds of openssl differ in what they still make.
        let Some((key, certificate)) = key.zip(certificate) else { continue };
        let Some((_server, port)) = serving(&key, &certificate, &case.server).await else { continue };
        played += 1;
        let seen = probe(port, true, Duration::from_secs(10)).await;
        let difference = difference(&case.name, case.success, &case.says, &seen);
        assert!(
            difference.is_some() || !NAMED.contains(&case.name.as_str()),
            "{} is named as a difference and is none",
            case.name
        );
        differences.extend(difference.filter(|_| !NAMED.contains(&case.name.as_str())));
    }
    println!("{played} of {} handshakes played, {} differ by name", cases.len(), NAMED.len());
    assert!(differences.is_empty(), "{} of {played}:\n{}", differences.len(), differences.join("\n"));
    assert!(played * 4 > cases.len() * 3, "only {played} of {} could be played", cases.len());
}

fn openssl(arguments: &[&str]) -> bool {
    Command::new("openssl").args(arguments).output().is_ok_and(|output| output.status.success())
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn key(place: &Path, arguments: &str) -> Option<PathBuf> {
    let path = place.join(format!("{}.key", arguments.replace([' ', ':'], "-")));
    let out = path.to_str()?;
    openssl(&[&["genpkey"], words(arguments).as_slice(), &["-out", out]].concat()).then_some(path)
}

fn certificate(place: &Path, key: &Path, arguments: &str) -> Option<PathBuf> {
    let (path, request) = (place.join("certificate.pem"), place.join("request.pem"));
    let (key, out, request) = (key.to_str()?, path.to_str()?, request.to_str()?);
    let _ = std::fs::remove_file(&path);
    let name = if arguments.contains("-subj") { vec![] } else { vec!["-subj", "/CN=app"] };
    let made = match arguments {
        "-not" | "-v1" => {
            let days = if arguments == "-not" { "-1" } else { "2" };
            openssl(&[&["req", "-new", "-key", key, "-out", request], name.as_slice()].concat())
                && openssl(&["x509", "-req", "-in", request, "-signkey", key, "-out", out, "-days", days])
        }
        _ => {
            let fixed = ["req", "-x509", "-new", "-key", key, "-out", out, "-days", "2"];
            openssl(&[fixed.as_slice(), &name, &words(arguments)].concat())
        }
    };
    (made && path.exists()).then_some(path)
}

/// `openssl s_server` on a free port; `None` when it does not start with these arguments.
async fn serving(key: &Path, certificate: &Path, arguments: &str) -> Option<(Program, u16)> {
    let address = probed::closed_port();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-www", "-quiet", "-accept", &address.to_string()]);
    command.arg("-key").arg(key).arg("-cert").arg(certificate).args(words(arguments));
    let mut running = Program::start(&mut command).ok()?;
    let listens = poll::until("a listener", Duration::from_secs(10), Duration::from_millis(10), || {
        let has_ended = matches!(running.0.try_wait(), Ok(Some(_)));
        async move {
            match tokio::net::TcpStream::connect(address).await {
                Ok(_) => Look::Done(true),
                Err(_) if has_ended => Look::Done(false),
                Err(error) => Look::NotYet(error.to_string()),
            }
        }
    });
    listens.await.ok().filter(|listens| *listens).map(|_| (running, address.port()))
}
