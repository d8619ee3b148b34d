//! Clusters that cannot be used, and kubeconfigs that lead nowhere: what is said of them, how the program ends, and how soon.
//! None of it needs a cluster.

mod support;

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use e2e_run::exit::ExitCode;
use probed::{Reply, Server, Speaks};
use rstest::rstest;
use support::{Bench, SMALL};

/// Nobody waits longer than this for a cluster that will not answer.
const SOON: Duration = Duration::from_secs(20);

/// A kubeconfig with one context, `kind-dev`, which is the current one.
fn kubeconfig(directory: &Path, server: &str, authority: Option<&str>) -> PathBuf {
    let file = directory.join("kubeconfig");
    let authority = authority.map_or_else(String::new, |pem| {
        fs::write(directory.join("authority.pem"), pem).expect("a file");
        ", certificate-authority: authority.pem".to_owned()
    });
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: kind-dev\n\
         clusters: [{{name: c, cluster: {{server: \"{server}\"{authority}}}}}]\n\
         users: [{{name: u, user: {{token: sesame}}}}]\n\
         contexts: [{{name: kind-dev, context: {{cluster: c, user: u}}}}]\n"
    );
    fs::write(&file, text).expect("a file");
    file
}

/// Asks for a system in the cluster of a kubeconfig, and holds what is said against what should be.
fn expect(kubeconfig: &Path, more: &[&str], exit: ExitCode, phrases: &[&str]) {
    let bench = Bench::of(SMALL);
    let started = Instant::now();
    let mut command = bench.command(&["up", "--target", "k8s"]);
    let output = command.args(more).env("KUBECONFIG", kubeconfig).output().expect("the program runs");
    let (took, said) = (started.elapsed(), support::said(&output));
    support::expect(&output, exit as i32, phrases);
    assert!(!said.contains("sesame"), "a token is a secret: {said}");
    assert!(took < SOON, "it took {took:?}: {said}");
}

#[rstest]
#[case::no_file(None, &["the kubeconfig cannot be used", "kind create cluster", "--target docker"])]
#[case::not_yaml(Some("contexts: [}"), &["the kubeconfig cannot be used", "correct the file that KUBECONFIG names"])]
#[case::no_contexts(Some("apiVersion: v1\nkind: Config\n"), &["the kubeconfig cannot be used", "current-context"])]
fn a_kubeconfig_that_is_none(#[case] text: Option<&str>, #[case] phrases: &[&str]) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("kubeconfig");
    if let Some(text) = text {
        fs::write(&file, text).expect("a file");
    }
    expect(&file, &[], ExitCode::BadInput, phrases);
}

#[rstest]
#[case::a_typo("https://127.0.0.1:1", &["--context", "kind-dve"], &["`kind-dve`", "did you mean `kind-dev`?"])]
// A documentation address (RFC 5737), which is no machine's.
#[case::not_this_machine("https://203.0.113.7:6443", &[], &["does not look like a cluster of this machine", "--allow-remote kind-dev"])]
fn a_context_that_is_not_taken(#[case] server: &str, #[case] more: &[&str], #[case] phrases: &[&str]) {
    let directory = tempfile::tempdir().expect("a directory");
    expect(&kubeconfig(directory.path(), server, None), more, ExitCode::BadInput, phrases);
}

#[test]
fn nobody_listens() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = kubeconfig(directory.path(), &format!("https://{}", probed::closed_port()), None);
    expect(&file, &[], ExitCode::NotUp, &["kind-dev does not answer", "Connection refused", "start the cluster"]);
}

/// The kernel takes the connection, and nobody ever says a word.
#[test]
fn nobody_shakes_hands() {
    let directory = tempfile::tempdir().expect("a directory");
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let file = kubeconfig(directory.path(), &format!("https://{}", silent.local_addr().expect("its port")), None);
    expect(&file, &[], ExitCode::NotUp, &["kind-dev does not answer", "start the cluster"]);
}

#[rstest]
#[case::expired(Speaks::TlsExpired, probed::expired_certificate_pem(), &["expired", "renew the certificate"])]
#[case::not_this_authority(Speaks::Tls, probed::expired_certificate_pem(), &["check certificate-authority-data"])]
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_does_not_hold(#[case] speaks: Speaks, #[case] authority: String, #[case] phrases: &[&str]) {
    let server = Server::speaking(speaks, |_| Reply::status(200, "{}")).await;
    let directory = tempfile::tempdir().expect("a directory");
    let address = format!("https://localhost:{}", server.address.port());
    expect(&kubeconfig(directory.path(), &address, Some(&authority)), &[], ExitCode::NotUp, phrases);
}

/// It tells its version, and then takes every request and says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent() {
    let version = r#"{"major":"1","minor":"30","gitVersion":"v1.30.0","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;
    let answer = move |request: &probed::Request| match request.text.starts_with("GET /version ") {
        true => Reply::status(200, version),
        false => Reply::ThenNothing(Vec::new()),
    };
    let server = Server::start(answer).await;
    let directory = tempfile::tempdir().expect("a directory");
    let address = format!("http://{}", server.address);
    let words = format!("{address} did not answer within 10.0 s");
    expect(&kubeconfig(directory.path(), &address, None), &[], ExitCode::NotUp, &[&words]);
}

/// It answers, and does not know who asks.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_not_valid_any_more() {
    let status = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}"#;
    let server = Server::start(move |_| Reply::status(401, status)).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = kubeconfig(directory.path(), &format!("http://{}", server.address), None);
    expect(&file, &[], ExitCode::NotUp, &["Unauthorized", "renew the credentials of this context"]);
}
