use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use e2e_kubelet::{
    diagnosis::joined,
    observation::{Kind, Verdict},
    protocol::Protocol,
};
use e2e_plan::ProbeAction;
use probed::{Reply, Request, Server, closed_port, header, response};
use rstest::rstest;
use tokio::time::Instant;

use super::*;

pub(super) use super::EXAMPLE_POD_IP as POD;

pub(super) fn case(headers: &[(&str, &str)], timeout: Duration) -> Case {
    let headers = owned(headers);
    Case {
        kind: "Deployment".into(),
        component: "backend".into(),
        container: "app".into(),
        which: ProbeKind::Liveness,
        probe: Probe {
            timeout,
            ..Probe::new(ProbeAction::HttpGet { https: false, host: None, port: 8000, path: "/health".into(), headers })
        },
        known: Known { services: vec!["backend".into()], ..Known::default() },
    }
}

/// Whether a case's request goes over TLS, its path and its headers.
fn get(case: &mut Case) -> (&mut bool, &mut String, &mut Vec<(String, String)>) {
    match &mut case.probe.action {
        ProbeAction::HttpGet { https, path, headers, .. } => (https, path, headers),
        _ => unreachable!("every case is an httpGet probe"),
    }
}

/// A request that works at an address.
fn works(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> WorkingRequest {
    let host = "localhost:8000".to_owned();
    WorkingRequest { address, https: false, host, target: target.to_owned(), headers: owned(headers) }
}

fn owned(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn examine(case: &Case, ports: &[(u16, SocketAddr)]) -> Diagnosis {
    let target = Target { pod_ip: POD, ports: ports.iter().copied().collect::<BTreeMap<_, _>>(), host: None };
    let start = Instant::now();
    let diagnosis = diagnose(case, &target, &Profile::default()).await;
    // What looks flaky may be a limit, which a second's pauses tell.
    let wavers = diagnosis.evidence.iter().any(|trial| 0 < trial.succeeded && trial.succeeded < trial.sent);
    let limit = match diagnosis.observation.status {
        _ if wavers => case.probe.timeout * 9,
        Some(429) => case.probe.timeout * 8,
        _ => case.probe.timeout * 4,
    };
    assert!(start.elapsed() < limit, "{:?}", start.elapsed());
    assert!(diagnosis.requests <= 15);
    assert_eq!(diagnosis.requests as usize, diagnosis.evidence.len());
    let json = serde_json::to_string(&diagnosis).unwrap();
    assert_eq!(serde_json::from_str::<Diagnosis>(&json).unwrap(), diagnosis);
    diagnosis
}

#[tokio::test]
async fn credentials_of_the_request_that_works_stay_out_of_the_patch() {
    let server = Server::start(|r| {
        Reply::status(if header(r, "Authorization") == Some("Basic c2VjcmV0") { 200 } else { 401 }, "")
    })
    .await;
    let mut case = case(&[], Duration::from_secs(1));
    let headers = [("Authorization", "Basic c2VjcmV0"), ("X-Other", "1")];
    case.known.works = Some(works(server.address, "/health", &headers));
    let diagnosis = examine(&case, &[(8000, server.address)]).await;
    assert_eq!((diagnosis.cause, diagnosis.confidence), (Some(Cause::MissingHeader), Confidence::Proven));
    let fix = diagnosis.fix.clone().unwrap();
    assert_eq!(fix.verified, Some(true));
    let patch = fix.patch.unwrap();
    assert!(patch.ends_with(
        "- name: Authorization\n                  value: \"Basic <base64 of user:password>\" # a placeholder: put your own here\n"
    ), "{patch}");
    assert!(!serde_json::to_string(&diagnosis).unwrap().contains("c2VjcmV0"));
}

#[rstest]
#[case::header("/health", &[("X-Api-Token", "s3cret")], "value: \"<the app's own>\"")]
#[case::query("/health?token=s3cret", &[], "path: \"/health?token=<hidden>\"")]
#[tokio::test]
async fn secrets_of_the_request_that_works_are_not_shown(
    #[case] target: &str,
    #[case] headers: &[(&str, &str)],
    #[case] shown: &str,
) {
    let server = Server::start(|r| Reply::status(if r.contains("s3cret") { 200 } else { 403 }, "")).await;
    let mut case = case(&[], Duration::from_secs(1));
    case.known.works = Some(works(server.address, target, headers));
    let diagnosis = examine(&case, &[(8000, server.address)]).await;
    assert_eq!((diagnosis.cause, diagnosis.confidence), (Some(Cause::MissingHeader), Confidence::Proven));
    assert!(!serde_json::to_string(&diagnosis).unwrap().contains("s3cret"), "{diagnosis:#?}");
    let fix = diagnosis.fix.unwrap();
    assert_eq!(fix.verified, Some(true));
    assert!(fix.patch.unwrap().contains(&format!("{shown} # a placeholder: put your own here")));
}

/// What is found without a request that works is found with it too, whatever that is.
#[rstest]
#[tokio::test]
async fn a_request_that_works_takes_no_cause_away(#[values("/", "/other", "/health?x=1")] target: &'static str) {
    let server = Server::start(move |request| {
        let allowed = host(request).starts_with("localhost") || request.starts_with(&format!("GET {target} "));
        let missing = header(request, "X-Forwarded-Proto").is_none();
        Reply::status(if allowed && !missing || request.starts_with(&format!("GET {target} ")) { 200 } else { 403 }, "")
    })
    .await;
    let without =
        examine(&case(&[("X-Forwarded-Proto", "https")], Duration::from_secs(1)), &[(8000, server.address)]).await;
    assert_eq!(without.cause, Some(Cause::HostAllowList), "{without:#?}");
    let mut case = case(&[("X-Forwarded-Proto", "https")], Duration::from_secs(1));
    case.known.works = Some(works(server.address, target, &[]));
    let target = Target::new(POD, 8000, server.address);
    let with = diagnose(&case, &target, &Profile::default()).await;
    assert_eq!((with.cause, with.confirmed), (Some(Cause::HostAllowList), true), "{with:#?}");
}

/// A diagnosis of a server that answers so, with a timeout of a second.
async fn of_server(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (Diagnosis, Server) {
    let server = Server::start(reply).await;
    let diagnosis = examine(&case(&[], Duration::from_secs(1)), &[(8000, server.address)]).await;
    (diagnosis, server)
}

fn host(request: &str) -> &str {
    header(request, "Host").unwrap_or_default()
}

/// What picks one of two replicas by a value.
fn is_even(value: impl AsRef<[u8]>) -> bool {
    value.as_ref().iter().copied().map(u32::from).sum::<u32>().is_multiple_of(2)
}

#[rstest]
#[case::starlette(Reply::status(400, "Invalid host header"), "localhost:8000")]
#[case::empty_body(Reply::status(400, ""), "localhost:8000")]
#[case::translated_body(Reply::status(403, "Unbekannter Rechnername"), "127.0.0.1:8000")]
#[case::misdirected(Reply::status(421, ""), "backend:8000")]
#[case::another_site(Reply::status(404, "no such site"), "localhost:8000")]
#[case::no_answer(Reply::Bytes(Vec::new()), "localhost:8000")]
#[tokio::test]
async fn a_host_allow_list_is_found_by_experiment(#[case] refusal: Reply, #[case] allowed: &'static str) {
    let reply =
        move |request: &Request| if host(request) == allowed { Reply::status(200, "OK") } else { refusal.clone() };
    let (diagnosis, server) = of_server(reply).await;
    assert_eq!((diagnosis.success(), diagnosis.cause, diagnosis.confirmed), (false, Some(Cause::HostAllowList), true));
    let flip = Flip::new(Axis::Host, "10.244.0.9:8000", allowed);
    assert_eq!(diagnosis.flip, Some(flip));
    let sent: u32 = diagnosis.evidence.iter().map(|trial| trial.sent).sum();
    assert_eq!(server.requests().len(), sent as usize);
    let patch = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: backend\nspec:\n  template:\n    spec:\n      \
         containers:\n        - name: app\n          livenessProbe:\n            httpGet:\n              httpHeaders:\n                \
         - name: Host\n                  value: \"{allowed}\"\n"
    );
    assert_eq!(diagnosis.fix.unwrap().patch.unwrap(), patch);
}

#[tokio::test]
async fn headers_that_the_app_wants_are_kept_in_the_search_and_in_the_patch() {
    let server = Server::start(|request| match (host(request), header(request, "X-Token")) {
        ("localhost:8000", Some("t")) => Reply::status(200, "OK"),
        _ => Reply::status(400, ""),
    })
    .await;
    let case = case(&[("x-token", "t"), ("Host", "wrong")], Duration::from_secs(1));
    let diagnosis = examine(&case, &[(8000, server.address)]).await;
    assert_eq!((diagnosis.cause, diagnosis.confirmed), (Some(Cause::HostAllowList), true));
    let patch = diagnosis.fix.unwrap().patch.unwrap();
    assert!(patch.ends_with(
        "- name: Host\n                  value: \"localhost:8000\"\n                - name: x-token\n                  value: \"<the value in your manifest>\" # a placeholder: put your own here\n"
    ));
}

#[rstest]
#[case::user_agent(|request: &Request| request.contains("kube-probe"), Axis::UserAgent)]
#[case::connection(|request: &Request| request.contains("Connection: close"), Axis::Connection)]
#[tokio::test]
async fn a_header_that_is_refused_is_named(#[case] refuses: fn(&Request) -> bool, #[case] axis: Axis) {
    let (diagnosis, _server) =
        of_server(move |request| Reply::status(if refuses(request) { 403 } else { 200 }, "")).await;
    assert_eq!((diagnosis.cause, diagnosis.confirmed), (Some(Cause::HeaderRefused), true));
    assert_eq!(diagnosis.flip.map(|flip| flip.axis), Some(axis));
    // Nobody can override or remove it in a manifest.
    let must_accept = diagnosis.fix.unwrap().summary.starts_with("make the app accept `Connection: close`");
    assert_eq!(must_accept, axis == Axis::Connection);
}

/// What picks one of two replicas by a client's address accepts some and not others: that is no app which fails at random.
#[tokio::test]
async fn other_answers_to_other_clients_do_not_make_an_app_flaky() {
    let is_served = |client: &str| client == "192.0.2.1" || is_even(client);
    let (diagnosis, _server) = of_server(move |request| {
        Reply::status(if header(request, "X-Forwarded-For").is_some_and(is_served) { 200 } else { 500 }, "")
    })
    .await;
    assert_eq!((diagnosis.success(), diagnosis.cause), (false, None), "{diagnosis:#?}");
}

#[rstest]
#[case(502, None)]
#[case(500, Some(Cause::HostAllowList))]
#[tokio::test]
async fn a_gateways_failure_is_no_refusal(#[case] status: u16, #[case] cause: Option<Cause>) {
    let (diagnosis, _server) =
        of_server(move |r| Reply::status(if host(r).starts_with("localhost") { 200 } else { status }, "")).await;
    assert_eq!(diagnosis.cause, cause, "{diagnosis:#?}");
    assert_eq!(diagnosis.explanation.contains("perhaps from another backend or a cache"), cause.is_none());
}

#[tokio::test]
async fn a_header_that_does_harm_is_shown() {
    let server =
        Server::start(|request| Reply::status(if header(request, "X-Odd").is_some() { 400 } else { 200 }, "")).await;
    let diagnosis = examine(&case(&[("X-Odd", "1")], Duration::from_secs(1)), &[(8000, server.address)]).await;
    let flip = Flip::new(Axis::Headers, "X-Odd", "");
    assert_eq!(diagnosis.flip, Some(flip));
}

#[tokio::test]
async fn a_slow_answer_is_found_by_waiting_for_it() {
    let timeout = Duration::from_millis(400);
    let server = Server::start(|_| Reply::After(Duration::from_millis(700), response(200, "OK"))).await;
    let diagnosis = examine(&case(&[], timeout), &[(8000, server.address)]).await;
    // Three late answers are no proof.
    assert_eq!((diagnosis.cause, diagnosis.confidence), (Some(Cause::TooSlow), Confidence::Consistent));
    assert_eq!(diagnosis.explanation, "the right answer takes 0.7 s, but the probe waits only 0.4 s");
    assert!(diagnosis.fix.unwrap().patch.unwrap().ends_with("livenessProbe:\n            timeoutSeconds: 2\n"));
}

#[rstest]
#[case::slow_and_wrong(
    Reply::After(Duration::from_millis(500), response(500, "")),
    "the late one is a failure, too (status 500"
)]
#[case::never(Reply::ThenNothing(Vec::new()), "no other path is answered meanwhile either")]
#[tokio::test]
async fn a_late_answer_that_is_wrong_is_not_too_slow(#[case] reply: Reply, #[case] explanation: &str) {
    let server = Server::start(move |_| reply.clone()).await;
    let diagnosis = examine(&case(&[], Duration::from_millis(300)), &[(8000, server.address)]).await;
    assert_eq!((diagnosis.success(), diagnosis.cause), (false, None));
    assert_eq!(diagnosis.observation.kind, Kind::Timeout);
    assert!(diagnosis.explanation.contains(explanation), "{}", diagnosis.explanation);
}

#[tokio::test]
async fn a_redirect_to_a_closed_port_is_told_with_its_target() {
    let target = format!("http://{POD}:9/ui");
    let location = target.clone();
    let server = Server::start(move |_| Reply::redirect(302, &location)).await;
    let ports = [(8000, server.address), (9, closed_port())];
    let diagnosis = examine(&case(&[], Duration::from_secs(1)), &ports).await;
    let explanation = format!("it is redirected to {target}, and there nothing listens on the port");
    assert_eq!((diagnosis.cause, diagnosis.explanation), (None, explanation));
    assert!(diagnosis.fix.unwrap().summary.starts_with("answer this path without a redirect"));
}

#[tokio::test]
async fn an_app_that_answers_since_it_has_started_is_told_with_its_successes() {
    let start = tokio::time::Instant::now();
    // Too late for the second try, and soon enough for the first, which is waited for.
    let opens = Duration::from_millis(1200);
    let server = Server::start(move |_| Reply::After(opens.saturating_sub(start.elapsed()), response(200, "OK"))).await;
    let diagnosis = examine(&case(&[], Duration::from_millis(500)), &[(8000, server.address)]).await;
    assert_eq!((diagnosis.success(), diagnosis.cause), (false, None));
    assert!(diagnosis.explanation.ends_with(" tries succeeded"), "{}", diagnosis.explanation);
    assert!(diagnosis.fix.unwrap().summary.contains("add a startupProbe"));
}

#[rstest]
#[case::one_path("/health", "; another path is answered meanwhile (status 404")]
#[case::every_path("/", "; no other path is answered meanwhile either")]
#[tokio::test]
async fn a_path_that_waits_is_told_from_an_app_that_does(#[case] silent: &'static str, #[case] explanation: &str) {
    let reply = move |request: &Request| match request.split(' ').nth(1).is_some_and(|path| path.starts_with(silent)) {
        true => Reply::ThenNothing(Vec::new()),
        false => Reply::status(404, ""),
    };
    let server = Server::start(reply).await;
    let diagnosis = examine(&case(&[], Duration::from_millis(400)), &[(8000, server.address)]).await;
    assert_eq!(diagnosis.cause, None);
    assert!(diagnosis.explanation.contains(explanation), "{}", diagnosis.explanation);
}

/// A diagnosis of a server that is a function.
async fn simulated(case: &Case, server: &lab::Simulated<'_>) -> Diagnosis {
    let (target, profile) = (Target::new(POD, 8000, closed_port()), Profile::default());
    let mut lab = Lab::new(case, &target, &profile).await.unwrap();
    lab.simulated = Some(server);
    super::examine(lab).await
}

/// A server that sends its alert and closes with a reset, which arrives first two times of three.
#[tokio::test]
async fn an_alert_that_a_reset_takes_along_is_asked_for_again() {
    let mut case = case(&[], Duration::from_secs(1));
    *get(&mut case).0 = true;
    let count = AtomicU32::new(0);
    let server = |_: &lab::Sends| {
        let alert = (count.fetch_add(1, Ordering::Relaxed) % 3 == 2).then(|| "certificate required".to_owned());
        let kind = if alert.is_some() { Kind::Tls } else { Kind::Reset };
        let observation = Observation::new(Verdict::Failure, kind, "");
        Observation { wants_certificate: true, tls_alert: alert, ..observation }
    };
    let diagnosis = simulated(&case, &server).await;
    assert_eq!(diagnosis.cause, Some(Cause::ClientCertificateRequired), "{diagnosis:#?}");
}

/// A server of HTTP/2 that resets the connection after its first frame, which arrives every other time.
#[tokio::test]
async fn an_answer_that_a_reset_takes_along_takes_no_cause_away() {
    let count = AtomicU32::new(0);
    let server = |sends: &lab::Sends| match sends {
        lab::Sends::Http(sent) if sent.route.http2 => {
            Observation { status: Some(200), ..Observation::new(Verdict::Success, Kind::Response, "") }
        }
        _ => {
            let spoke = count.fetch_add(1, Ordering::Relaxed).is_multiple_of(2).then_some(Protocol::Http2);
            let kind = if spoke.is_some() { Kind::Malformed } else { Kind::Reset };
            Observation { spoke, ..Observation::new(Verdict::Failure, kind, "") }
        }
    };
    let diagnosis = simulated(&case(&[], Duration::from_secs(1)), &server).await;
    assert_eq!((diagnosis.cause, diagnosis.confirmed), (Some(Cause::Http1ToHttp2Only), true), "{diagnosis:#?}");
}

#[tokio::test]
async fn a_slow_answer_in_time_is_a_success() {
    let server = Server::start(|_| Reply::After(Duration::from_millis(200), response(200, "OK"))).await;
    let diagnosis = examine(&case(&[], Duration::from_secs(1)), &[(8000, server.address)]).await;
    assert_eq!((diagnosis.success(), diagnosis.cause, diagnosis.requests), (true, None, 1));
}

#[rstest]
#[case::path(404, Some(Cause::MethodOrPath))]
#[case::method(405, Some(Cause::MethodOrPath))]
#[case::unavailable(503, Some(Cause::Unavailable))]
#[case::limited(429, Some(Cause::RateLimited))]
#[case::credentials(401, Some(Cause::MissingHeader))]
#[case::broken(500, None)]
#[case::refused_to_all(400, None)]
#[case::forbidden_to_all(403, None)]
#[tokio::test]
async fn what_everyone_gets_is_told_by_its_status(#[case] status: u16, #[case] cause: Option<Cause>) {
    let (diagnosis, _server) = of_server(move |_| Reply::status(status, "Invalid host header")).await;
    assert_eq!((diagnosis.success(), diagnosis.cause, diagnosis.flip), (false, cause, None));
}

#[tokio::test]
async fn a_wrong_port_is_found_where_another_one_answers() {
    let serves_its_path = |request: &Request| match request.starts_with("GET /health ") {
        true => Reply::status(200, ""),
        false => Reply::status(404, ""),
    };
    let (metrics, app) = (Server::start(|_| Reply::status(404, "")).await, Server::start(serves_its_path).await);
    let ports = [(8000, closed_port()), (8080, metrics.address), (9000, app.address)];
    let diagnosis = examine(&case(&[], Duration::from_secs(1)), &ports).await;
    assert_eq!((diagnosis.cause, diagnosis.confirmed), (Some(Cause::WrongPort), true));
    assert_eq!(diagnosis.flip.unwrap().to, "9000");
    assert!(diagnosis.fix.unwrap().patch.unwrap().ends_with("httpGet:\n              port: 9000\n"));
}

#[tokio::test]
async fn a_grpc_probe_of_a_port_that_speaks_http_is_told() {
    let server = Server::start(|_| Reply::status(404, "")).await;
    let mut case = case(&[], Duration::from_secs(1));
    case.probe.action = ProbeAction::Grpc { port: 8000, service: String::new() };
    let diagnosis = examine(&case, &[(8000, server.address)]).await;
    assert_eq!((diagnosis.cause, diagnosis.explanation.as_str()), (None, "port 8000 speaks HTTP/1.1 instead of gRPC"));
    assert!(diagnosis.fix.is_some_and(|fix| fix.summary.contains("httpGet")));
}

#[tokio::test]
async fn a_closed_port_alone_has_no_name() {
    let diagnosis = examine(&case(&[], Duration::from_secs(1)), &[(8000, closed_port())]).await;
    assert_eq!((diagnosis.cause, diagnosis.observation.kind, diagnosis.requests), (None, Kind::Refused, 2));
}

#[rstest]
#[tokio::test]
async fn one_failure_of_five_is_flaky(#[values(0, 1, 2, 3, 4)] phase: u32) {
    let count = AtomicU32::new(phase);
    let reply = move |_: &Request| {
        let fails = count.fetch_add(1, Ordering::Relaxed) % 5 == 4;
        Reply::status(if fails { 400 } else { 200 }, "Invalid host header")
    };
    let (diagnosis, _server) = of_server(reply).await;
    assert_eq!((diagnosis.success(), diagnosis.cause, diagnosis.flip), (false, Some(Cause::Flaky), None));
}

#[tokio::test]
async fn what_cannot_be_sent_is_said() {
    let mut case = case(&[], Duration::from_secs(1));
    case.probe.action = ProbeAction::Exec { command: vec!["true".into()] };
    let diagnosis = examine(&case, &[]).await;
    assert_eq!((diagnosis.observation.verdict, diagnosis.requests), (Verdict::NotMeasured, 0));
}

#[test]
fn patches_of_two_probes_of_a_container_become_one() {
    let patch = |which, component: &str| {
        let case = Case { which, component: component.into(), ..case(&[], Duration::from_secs(1)) };
        let changes = vec![fix::Change::Host("localhost:8000".into())];
        let found = Found { changes, ..Found::of_everyone(Cause::HostAllowList, "") };
        fix::of(&case, &found).patch.unwrap()
    };
    let both = joined(&patch(ProbeKind::Readiness, "backend"), &patch(ProbeKind::Liveness, "backend")).unwrap();
    let expected = r#"apiVersion: apps/v1
kind: Deployment
metadata:
  name: backend
spec:
  template:
    spec:
      containers:
        - name: app
          readinessProbe:
            httpGet:
              httpHeaders:
                - name: Host
                  value: "localhost:8000"
          livenessProbe:
            httpGet:
              httpHeaders:
                - name: Host
                  value: "localhost:8000"
"#;
    assert_eq!(both, expected);
    assert_eq!(joined(&patch(ProbeKind::Readiness, "backend"), &patch(ProbeKind::Liveness, "engine")), None);
}

mod causes;
mod chance;
mod said;
mod secrets;
