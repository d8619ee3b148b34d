use std::{net::Ipv4Addr, sync::Arc};

use proptest::prelude::*;
use rstest::rstest;
use tokio::time::Instant;

use super::*;
use crate::kubelet::testing::{Reply, Server, closed_port, response};

const POD: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 244, 0, 9));
const SHORT: Duration = Duration::from_millis(300);

fn get(path: &str) -> ProbeAction {
    ProbeAction::HttpGet { https: false, host: None, port: 8000, path: path.into(), headers: Vec::new() }
}

/// What a probe of `/health` sees of a server that answers so.
async fn seen(reply: Reply) -> (Observation, Vec<String>) {
    let server = Server::start(move |_| reply.clone()).await;
    let target = Target::new(POD, 8000, server.address);
    let observation = send(&get("/health"), &target, SHORT, &Profile::default()).await;
    (observation, server.requests())
}

#[tokio::test]
async fn the_request_names_the_pod_and_not_where_it_is_dialled() {
    let (observation, requests) = seen(Reply::status(200, "OK")).await;
    let request = "GET /health HTTP/1.1\r\nHost: 10.244.0.9:8000\r\nUser-Agent: kube-probe/1.32\r\nAccept: */*\r\n\
                   Connection: close\r\n\r\n";
    assert_eq!(requests, [request]);
    assert_eq!(observation.request, request);
    assert_eq!(
        (observation.verdict, observation.status, observation.body.as_str()),
        (Verdict::Success, Some(200), "OK")
    );
    assert!(observation.connect_ms.unwrap() <= observation.first_byte_ms.unwrap());
    assert!(observation.first_byte_ms.unwrap() <= observation.total_ms);
    let json = serde_json::to_string(&observation).unwrap();
    assert_eq!(serde_json::from_str::<Observation>(&json).unwrap(), observation);
}

#[rstest]
#[case(199, Verdict::Failure)]
#[case(200, Verdict::Success)]
#[case(299, Verdict::Success)]
#[case(300, Verdict::Success)]
#[case(399, Verdict::Success)]
#[case(400, Verdict::Failure)]
#[case(503, Verdict::Failure)]
#[case(999, Verdict::Failure)]
#[tokio::test]
async fn the_status_decides(#[case] status: u16, #[case] verdict: Verdict) {
    let (observation, _) = seen(Reply::status(status, "")).await;
    // 1xx responses are skipped, and nothing follows this one.
    let message = match status {
        199 => "Get \"http://10.244.0.9:8000/health\": unexpected EOF".to_owned(),
        400.. => format!("HTTP probe failed with statuscode: {status}"),
        _ => String::new(),
    };
    assert_eq!((observation.verdict, observation.message), (verdict, message));
    assert_eq!(observation.warning.is_some(), (300..400).contains(&status));
}

#[rstest]
#[case::another_protocol(
    Reply::Bytes(b"-ERR unknown command\r\n".to_vec()),
    Kind::Malformed,
    r#"net/http: HTTP/1.x transport connection broken: malformed HTTP status code "unknown""#
)]
#[case::closed(Reply::Bytes(Vec::new()), Kind::Closed, "EOF")]
#[case::closed_in_the_head(Reply::Bytes(b"HTTP/1.1 200 OK\r\nA".to_vec()), Kind::Closed, "unexpected EOF")]
#[case::reset(Reply::Reset, Kind::Reset, "read tcp 10.244.0.9:8000: read: connection reset by peer")]
#[case::silent(
    Reply::ThenNothing(Vec::new()),
    Kind::Timeout,
    "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
)]
#[tokio::test]
async fn what_is_no_response_is_a_failure(#[case] reply: Reply, #[case] kind: Kind, #[case] text: &str) {
    let (observation, requests) = seen(reply).await;
    assert_eq!(observation.message, format!("Get \"http://10.244.0.9:8000/health\": {text}"));
    assert_eq!((observation.verdict, observation.kind), (Verdict::Failure, kind));
    assert_eq!(requests.len(), 1);
}

#[rstest]
#[case::short(Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nOK".to_vec()), "unexpected EOF")]
#[case::stalled(
    Reply::ThenNothing(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nOK".to_vec()),
    "context deadline exceeded (Client.Timeout or context cancellation while reading body)"
)]
#[tokio::test]
async fn a_body_that_breaks_off_is_tried_three_times_and_counts_for_nothing(#[case] reply: Reply, #[case] text: &str) {
    let (observation, requests) = seen(reply).await;
    assert_eq!((observation.verdict, observation.kind), (Verdict::Errored, Kind::Truncated));
    assert_eq!((observation.message.as_str(), observation.attempts, requests.len()), (text, 3, 3));
}

#[tokio::test]
async fn more_than_ten_kib_are_a_success_even_if_nothing_more_comes() {
    let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n".to_vec();
    bytes.resize(bytes.len() + 10 * 1024, b'x');
    let (observation, _) = seen(Reply::ThenNothing(bytes)).await;
    assert_eq!((observation.verdict, observation.body.len()), (Verdict::Success, 1024));
}

#[tokio::test]
async fn the_timeout_bounds_the_whole_exchange() {
    let start = Instant::now();
    let (observation, _) = seen(Reply::After(SHORT * 10, response(200, "late"))).await;
    assert_eq!(observation.kind, Kind::Timeout);
    assert!(start.elapsed() < SHORT * 5, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    let target = Target::new(POD, 8000, closed_port());
    let observation = send(&get("/health"), &target, SHORT, &Profile::default()).await;
    let text = "dial tcp 10.244.0.9:8000: connect: connection refused";
    assert_eq!(observation.message, format!("Get \"http://10.244.0.9:8000/health\": {text}"));
    assert_eq!((observation.verdict, observation.kind), (Verdict::Failure, Kind::Refused));
    let observation =
        send(&ProbeAction::TcpSocket { host: None, port: 8000 }, &target, SHORT, &Profile::default()).await;
    assert_eq!((observation.message.as_str(), observation.kind), (text, Kind::Refused));
}

#[tokio::test]
async fn tcp_probes_only_connect() {
    let server = Server::start(|_| Reply::status(500, "")).await;
    let target = Target::new(POD, 8000, server.address);
    let action = ProbeAction::TcpSocket { host: Some(POD.to_string()), port: 8000 };
    let observation = send(&action, &target, SHORT, &Profile::default()).await;
    assert_eq!((observation.verdict, observation.kind), (Verdict::Success, Kind::Connected));
}

#[tokio::test]
async fn a_host_of_the_probes_own_is_where_it_dials() {
    let server = Server::start(|_| Reply::status(200, "")).await;
    let port = server.address.port();
    let host = Some("127.0.0.1".to_owned());
    let action = ProbeAction::HttpGet { https: false, host, port, path: "/".into(), headers: Vec::new() };
    let target = Target::new(POD, port, closed_port());
    assert!(send(&action, &target, SHORT, &Profile::default()).await.success());
    assert!(server.requests()[0].contains(&format!("\r\nHost: 127.0.0.1:{port}\r\n")));
}

#[rstest]
#[case::https(ProbeAction::HttpGet { https: true, host: None, port: 8000, path: "/".into(), headers: Vec::new() })]
#[case::grpc(ProbeAction::Grpc { port: 8000, service: String::new() })]
#[case::exec(ProbeAction::Exec { command: vec!["true".into()] })]
#[case::unknown_port(ProbeAction::TcpSocket { host: None, port: 1 })]
#[tokio::test]
async fn what_cannot_be_sent_is_not_measured(#[case] action: ProbeAction) {
    let target = Target::new(POD, 8000, closed_port());
    let observation = send(&action, &target, SHORT, &Profile::default()).await;
    assert_eq!((observation.verdict, observation.kind), (Verdict::NotMeasured, Kind::Unsupported));
}

#[tokio::test]
async fn redirects_to_the_same_host_are_followed() {
    let server = Server::start(|request| match request.split(' ').nth(1) {
        Some("/health") => Reply::redirect(302, "/a/b?x=1"),
        Some("/a/b?x=1") => Reply::redirect(301, "../c"),
        Some("/c") => Reply::redirect(308, "http://10.244.0.9:9000/d"),
        _ => Reply::status(204, ""),
    })
    .await;
    let ports = BTreeMap::from([(8000, server.address), (9000, server.address)]);
    let target = Target { pod_ip: POD, ports };
    let headers = vec![("Host".to_owned(), "app.example".to_owned())];
    let action = ProbeAction::HttpGet { https: false, host: None, port: 8000, path: "/health".into(), headers };
    let observation = send(&action, &target, SHORT, &Profile::default()).await;
    assert_eq!((observation.status, observation.redirects, observation.warning), (Some(204), 3, None));
    let requests = server.requests();
    let rest = "User-Agent: kube-probe/1.32\r\nAccept: */*\r\nReferer: http://10.244.0.9:8000";
    assert!(
        requests[1].contains(&format!("GET /a/b?x=1 HTTP/1.1\r\nHost: app.example\r\n{rest}/health\r\nConnection"))
    );
    assert!(requests[2].contains(&format!("GET /c HTTP/1.1\r\nHost: app.example\r\n{rest}/a/b?x=1\r\nConnection")));
    assert!(requests[3].contains(&format!("GET /d HTTP/1.1\r\nHost: 10.244.0.9:9000\r\n{rest}/c\r\nConnection")));
}

#[rstest]
#[case::another_host("http://localhost:8000/login")]
#[case::another_scheme("app://open")]
#[tokio::test]
async fn a_redirect_to_another_host_is_a_success_with_a_warning(#[case] location: &str) {
    let (observation, requests) = seen(Reply::redirect(302, location)).await;
    assert_eq!((observation.verdict, observation.status, requests.len()), (Verdict::Success, Some(302), 1));
    assert_eq!(observation.warning.as_deref(), Some("Probe terminated redirects, Response body: "));
}

#[tokio::test]
async fn a_redirect_in_a_circle_ends_after_ten_requests() {
    let (observation, requests) = seen(Reply::redirect(302, "/health")).await;
    assert_eq!((observation.verdict, observation.kind, requests.len()), (Verdict::Failure, Kind::Redirects, 10));
    assert_eq!(observation.message, "Get \"/health\": stopped after 10 redirects");
}

#[tokio::test]
async fn a_redirect_to_tls_is_not_measured() {
    let (observation, _) = seen(Reply::redirect(301, "https://10.244.0.9/health")).await;
    assert_eq!((observation.verdict, observation.kind), (Verdict::NotMeasured, Kind::Unsupported));
}

#[tokio::test]
async fn a_header_that_cannot_be_written_is_a_failure_without_a_request() {
    let headers = vec![("X-A".to_owned(), "1\n2".to_owned())];
    let action = ProbeAction::HttpGet { https: false, host: None, port: 8000, path: "/".into(), headers };
    let target = Target::new(POD, 8000, closed_port());
    let observation = send(&action, &target, SHORT, &Profile::default()).await;
    assert_eq!((observation.verdict, observation.kind), (Verdict::Failure, Kind::InvalidRequest));
}

#[test]
fn any_bytes_are_observed_within_the_timeout() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limit = Duration::from_millis(100);
    let bytes = proptest::collection::vec(any::<u8>(), 0..200);
    let prefix = prop_oneof![Just(""), Just("HTTP/1.1 200 OK\r\n"), Just("HTTP/1.1 301 \r\nLocation: /")];
    proptest!(ProptestConfig::with_cases(100), |(bytes in bytes, prefix in prefix)| {
        let start = Instant::now();
        let reply: Arc<[u8]> = [prefix.as_bytes(), &bytes].concat().into();
        runtime.block_on(async {
            let server = Server::start(move |_| Reply::Bytes(reply.to_vec())).await;
            let target = Target::new(POD, 8000, server.address);
            send(&get("/"), &target, limit, &Profile::default()).await;
        });
        prop_assert!(start.elapsed() < limit * 10);
    });
}
