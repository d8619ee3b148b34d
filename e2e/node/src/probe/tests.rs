use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

use probed::{Reply, Server, Speaks, closed_port, response};
use proptest::prelude::*;
use rstest::rstest;
use tokio::time::Instant;

use super::*;
use crate::doctor::EXAMPLE_POD_IP as POD;

const SHORT: Duration = Duration::from_millis(300);

fn get(path: &str) -> ProbeAction {
    ProbeAction::HttpGet { https: false, host: None, port: 8000, path: path.into(), headers: Vec::new() }
}

fn get_with(https: bool, name: &str, value: &str) -> ProbeAction {
    let headers = vec![(name.to_owned(), value.to_owned())];
    ProbeAction::HttpGet { https, host: None, port: 8000, path: "/health".into(), headers }
}

fn grpc(service: &str) -> ProbeAction {
    ProbeAction::Grpc { port: 8000, service: service.to_owned() }
}

/// What a probe sees of the server at an address.
async fn sent(action: &ProbeAction, address: SocketAddr) -> Observation {
    send(action, &Target::new(POD, 8000, address), SHORT, &Profile::default()).await
}

/// What a probe of `/health` sees of a server that answers so.
async fn seen(reply: Reply) -> (Observation, Vec<String>) {
    let server = Server::start(move |_| reply.clone()).await;
    let observation = sent(&get("/health"), server.address).await;
    (observation, server.requests())
}

#[tokio::test]
async fn the_request_names_the_pod_and_not_where_it_is_dialled() {
    let (observation, requests) = seen(Reply::status(200, "OK")).await;
    let request = "GET /health HTTP/1.1\r\nHost: 10.244.0.9:8000\r\nUser-Agent: kube-probe/1.36\r\nAccept: */*\r\n\
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
        199 => "Get \"http://10.244.0.9:8000/health\": net/http: HTTP/1.x transport connection broken: unexpected EOF"
            .to_owned(),
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
#[case::coded_twice(
    Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec()),
    Kind::Malformed,
    r#"net/http: HTTP/1.x transport connection broken: too many transfer encodings: ["chunked" "chunked"]"#
)]
#[case::bytes(
    Reply::Bytes(b"J\0\x07\xff\"\n".to_vec()),
    Kind::Malformed,
    r#"net/http: HTTP/1.x transport connection broken: malformed HTTP response "J\x00\a\xff\"""#
)]
#[case::closed_in_the_head(
    Reply::Bytes(b"HTTP/1.1 200 OK\r\nA".to_vec()),
    Kind::Closed,
    "net/http: HTTP/1.x transport connection broken: unexpected EOF"
)]
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
#[case::short(
    Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nOK".to_vec()),
    Kind::Truncated,
    "unexpected EOF"
)]
#[case::not_chunked(
    Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nOK\n".to_vec()),
    Kind::Malformed,
    "chunked line ends with bare LF"
)]
#[case::stalled(
    Reply::ThenNothing(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nOK".to_vec()),
    Kind::Truncated,
    "context deadline exceeded (Client.Timeout or context cancellation while reading body)"
)]
#[tokio::test]
async fn a_broken_body_is_tried_three_times_and_counts_for_nothing(
    #[case] reply: Reply,
    #[case] kind: Kind,
    #[case] text: &str,
) {
    let (observation, requests) = seen(reply).await;
    assert_eq!((observation.verdict, observation.kind), (Verdict::Errored, kind));
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
    let address = closed_port();
    let observation = sent(&get("/health"), address).await;
    let text = "dial tcp 10.244.0.9:8000: connect: connection refused";
    assert_eq!(observation.message, format!("Get \"http://10.244.0.9:8000/health\": {text}"));
    assert_eq!((observation.verdict, observation.kind), (Verdict::Failure, Kind::Refused));
    let observation = sent(&ProbeAction::TcpSocket { host: None, port: 8000 }, address).await;
    assert_eq!((observation.message.as_str(), observation.kind), (text, Kind::Refused));
}

#[tokio::test]
async fn tcp_probes_only_connect() {
    let server = Server::start(|_| Reply::status(500, "")).await;
    let action = ProbeAction::TcpSocket { host: Some(POD.to_string()), port: 8000 };
    let observation = sent(&action, server.address).await;
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
#[case::exec(ProbeAction::Exec { command: vec!["true".into()] })]
#[case::unknown_port(ProbeAction::TcpSocket { host: None, port: 1 })]
#[tokio::test]
async fn what_cannot_be_sent_is_not_measured(#[case] action: ProbeAction) {
    let observation = sent(&action, closed_port()).await;
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
    let target = Target { pod_ip: POD, ports, host: None };
    let action = get_with(false, "Host", "app.example");
    let observation = send(&action, &target, SHORT, &Profile::default()).await;
    assert_eq!((observation.status, observation.redirects, observation.warning), (Some(204), 3, None));
    let requests = server.requests();
    let rest = "User-Agent: kube-probe/1.36\r\nAccept: */*\r\nReferer: http://10.244.0.9:8000";
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

#[rstest]
#[case::http1(Speaks::Tls, false)]
#[case::http2(Speaks::TlsHttp2, true)]
#[tokio::test]
async fn a_redirect_to_tls_on_the_same_host_is_followed(#[case] speaks: Speaks, #[case] http2: bool) {
    let plain = Server::start(|_| Reply::redirect(301, "https://10.244.0.9/health")).await;
    let secured = Server::speaking(speaks, |_| Reply::status(200, "OK")).await;
    let target =
        Target { pod_ip: POD, ports: BTreeMap::from([(8000, plain.address), (443, secured.address)]), host: None };
    let observation = send(&get("/health"), &target, SHORT, &Profile::default()).await;
    assert_eq!((observation.verdict, observation.status, observation.redirects), (Verdict::Success, Some(200), 1));
    assert_eq!((observation.http2, observation.warning), (http2, None));
    assert!(observation.tls_ms.unwrap() > observation.connect_ms.unwrap());
    assert!(secured.requests()[0].contains("\r\nHost: 10.244.0.9\r\n"), "{:?}", secured.requests());
}

/// What a probe over TLS sees of a server that speaks so.
async fn seen_over_tls(speaks: Speaks, reply: Reply) -> (Observation, Vec<String>) {
    let server = Server::speaking(speaks, move |_| reply.clone()).await;
    let observation = sent(&get_with(true, "Host", "app.example"), server.address).await;
    (observation, server.requests())
}

#[rstest]
#[case::http1(Speaks::Tls, "GET /health HTTP/1.1\r\nHost: app.example\r\n")]
#[case::http2(Speaks::TlsHttp2, "GET /health HTTP/2\r\nHost: app.example\r\n")]
#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_taken(#[case] speaks: Speaks, #[case] start: &str) {
    let (observation, requests) = seen_over_tls(speaks, Reply::status(200, "OK")).await;
    assert_eq!((observation.verdict, observation.status), (Verdict::Success, Some(200)), "{observation:?}");
    assert!(requests[0].starts_with(start), "{requests:?}");
    let (observation, _) = seen_over_tls(speaks, Reply::status(503, "")).await;
    assert_eq!(observation.message, "HTTP probe failed with statuscode: 503");
}

#[tokio::test]
async fn a_header_named_host_asks_for_no_server_name_and_the_alert_is_kept() {
    let (observation, _) = seen_over_tls(Speaks::TlsForNames, Reply::status(200, "OK")).await;
    assert_eq!((observation.verdict, observation.kind), (Verdict::Failure, Kind::Tls));
    // What rustls's server says to a client for which it has no certificate.
    assert_eq!(observation.tls_alert.as_deref(), Some("access denied"));
    assert_eq!(observation.message, "Get \"https://10.244.0.9:8000/health\": remote error: tls: access denied");
}

#[tokio::test]
async fn a_server_that_waits_for_a_plain_request_lets_the_handshake_time_out() {
    let (observation, _) = seen_over_tls(Speaks::Http1, Reply::status(200, "OK")).await;
    assert_eq!(observation.kind, Kind::Timeout);
    let text = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    assert!(observation.message.ends_with(text), "{}", observation.message);
}

#[rstest]
#[case::http("HTTP/1.1 400 Bad Request\r\n\r\n", "http: server gave HTTP response to HTTPS client")]
#[case::another("-ERR unknown command\r\n", "tls: first record does not look like a TLS handshake")]
#[tokio::test]
async fn what_is_no_tls_is_a_failure(#[case] answer: &'static str, #[case] text: &str) {
    let (observation, _) = seen_over_tls(Speaks::Anything, Reply::Bytes(answer.into())).await;
    let message = format!("Get \"https://10.244.0.9:8000/health\": {text}");
    assert_eq!((observation.kind, observation.message), (Kind::Tls, message));
}

#[rstest]
#[case::serving(200, "", Some("SERVING"), "")]
#[case::of_a_service(200, "db", Some("SERVING"), "")]
#[case::not_serving(503, "", Some("NOT_SERVING"), "service unhealthy (responded with \"NOT_SERVING\")")]
#[case::no_health_service(
    404,
    "",
    Some("Unimplemented"),
    "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown service"
)]
#[tokio::test]
async fn grpc_probes_ask_the_health_service(
    #[case] status: u16,
    #[case] service: &str,
    #[case] answer: Option<&str>,
    #[case] message: &str,
) {
    let server = Server::speaking(Speaks::Grpc, move |_| Reply::status(status, "")).await;
    let observation = sent(&grpc(service), server.address).await;
    assert_eq!((observation.grpc.as_deref(), observation.message.as_str()), (answer, message));
    assert_eq!(observation.success(), status == 200);
    let request = server.requests()[0].clone();
    assert!(request.starts_with("POST /grpc.health.v1.Health/Check HTTP/2\r\nHost: 10.244.0.9:8000\r\n"), "{request}");
    assert!(request.contains("user-agent: kube-probe/1.36 grpc-go/"), "{request}");
}

#[rstest]
#[case::refused(None, Kind::Refused)]
#[case::another_protocol(Some(Speaks::Http1), Kind::Timeout)]
#[tokio::test]
async fn a_grpc_probe_dials_until_its_timeout(#[case] speaks: Option<Speaks>, #[case] kind: Kind) {
    let server = match speaks {
        Some(speaks) => Some(Server::speaking(speaks, |_| Reply::ThenNothing(Vec::new())).await),
        None => None,
    };
    let address = server.as_ref().map_or_else(closed_port, |server| server.address);
    let observation = sent(&grpc(""), address).await;
    let text = "timeout: failed to connect service \"10.244.0.9:8000\" within 300ms: context deadline exceeded";
    assert_eq!((observation.kind, observation.message.as_str()), (kind, text));
    assert!(observation.total_ms >= 300.0);
}

#[tokio::test]
async fn a_slow_health_service_is_a_timeout_of_its_own() {
    let server = Server::speaking(Speaks::Grpc, |_| Reply::After(SHORT * 10, response(200, ""))).await;
    let observation = sent(&grpc(""), server.address).await;
    assert_eq!(observation.message, "timeout: health rpc did not complete within 300ms");
}

#[tokio::test]
async fn a_header_that_cannot_be_written_is_a_failure_without_a_request() {
    let observation = sent(&get_with(false, "X-A", "1\n2"), closed_port()).await;
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

/// A server that answers before it has read the message, and ends the stream, as gRPC's do for a method that they lack.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_comes_before_the_message_is_read_counts() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let head = ::http::Response::builder()
                        .header("content-type", "application/grpc")
                        .header("grpc-status", "12");
                    respond.send_response(head.body(()).unwrap(), true).unwrap();
                }
            });
        }
    });
    let target = Target::new(POD, 8000, address);
    for _ in 0..300 {
        let observation = send(&grpc(""), &target, Duration::from_secs(1), &Profile::default()).await;
        assert_eq!(observation.grpc.as_deref(), Some("Unimplemented"), "{observation:#?}");
    }
}
