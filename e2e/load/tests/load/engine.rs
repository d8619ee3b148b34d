//! What the engine does with servers that behave.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use e2e_load::clock::unix_ms;
use e2e_load::load::scenarios::Fixed;
use e2e_load::load::{
    self, Client, ClientReport, Error, Failure, Identity, LoadResult, Milestone, Moment, Next, Outcome, Phase,
    RequestHead, Response, Scenario, Settings, Step,
};

use crate::servers::{OK, answering, nobody, response, server, slow};

pub(crate) fn settings(address: SocketAddr, clients: u32, milliseconds: u64) -> Settings {
    Settings { clients, duration: Duration::from_millis(milliseconds), ..Settings::new(address) }
}

pub(crate) fn get() -> Fixed {
    Fixed::new(&RequestHead::new("GET", "/", "test").unwrap(), None)
}

#[tokio::test]
async fn counts_every_request_once() {
    let address = answering(|_, _| OK.to_owned()).await;
    let result = load::run(settings(address, 4, 300), get().expect_status(200).expect_body("OK")).await.unwrap();

    assert!(result.measured.requests > 10, "{:?}", result.measured);
    assert_eq!(result.measured.requests, result.measured.succeeded);
    assert_eq!(result.measured.by_status[&200], result.measured.requests);
    assert_eq!((result.clients, result.clients_ready, result.stopped), (4, 4, false));
    assert_eq!((result.connections.opened, result.connections.reopened), (4, 0));
    assert_eq!(result.series.iter().map(|second| second.succeeded).sum::<u64>(), result.measured.succeeded);
    assert_eq!(result.step("request").unwrap().samples.count(), result.measured.succeeded);
    assert_eq!(result.duration_ms, 300.0);
    assert!(result.generator.cpu_seconds > 0.0 && result.generator.lag_ms_p99.is_some(), "{:?}", result.generator);
}

#[tokio::test]
async fn a_run_is_over_when_its_last_request_is() {
    // The window ends while every client waits for an answer that never comes.
    let address = server(|mut peer, _| async move {
        peer.request().await;
        std::future::pending().await
    })
    .await;
    let begun = unix_ms(SystemTime::now());
    let timeout = Duration::from_secs(1);
    let settings = Settings { request_timeout: timeout, ..settings(address, 2, 100) };
    let mut run = load::start_held(settings, get()).unwrap();
    assert_eq!(run.milestone().await, Milestone::Ready);
    run.release();
    let released = Instant::now();
    assert_eq!(run.milestone().await, Milestone::Over);
    assert!(released.elapsed() >= timeout, "{:?}", released.elapsed());
    let result = tokio::time::timeout(Duration::from_millis(500), run.result()).await.expect("a result").unwrap();
    assert_eq!(result.measured.by_error[&Outcome::Failure(Failure::TimedOut)], 2);
    let window = result.window_start_unix_ms;
    assert!((begun..begun + 1000).contains(&window), "{window}, begun at {begun}");
}

#[tokio::test]
async fn a_result_survives_json() {
    let address = answering(|number, _| response(if number % 3 == 0 { 500 } else { 200 }, "", "text")).await;
    let result = load::run(settings(address, 2, 100), get()).await.unwrap();
    assert!(result.measured.by_error[&Outcome::Status(500)] > 0);
    assert_eq!(result.first_errors[0].detail, "text");

    let json = serde_json::to_string(&result).unwrap();
    assert!(json.contains(r#""by_error":{"status_500":"#), "{json}");
    assert_eq!(serde_json::from_str::<LoadResult<ClientReport>>(&json).unwrap(), result);
}

#[tokio::test]
async fn reads_every_framing() {
    let responses = [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nO\r\n1;x=y\r\nK\r\n0\r\nt: u\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
        "HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 2, 2\r\n\r\nOK",
    ];
    let address = answering(move |number, _| responses[number % 3].to_owned()).await;
    let result = load::run(settings(address, 3, 200), get().expect_body("OK")).await.unwrap();
    assert_eq!((result.measured.errors, result.connections.opened), (0, 3), "{:?}", result.first_errors);
    assert!(result.measured.requests > 3);
}

#[tokio::test]
async fn a_response_without_a_body_ends_with_its_head() {
    for (method, answer) in [
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
    ] {
        let address = answering(move |_, _| answer.to_owned()).await;
        let head = RequestHead::new(method, "/", "test").unwrap();
        let result = load::run(settings(address, 1, 150), Fixed::new(&head, None).expect_body("")).await.unwrap();
        assert_eq!(result.measured.errors, 0, "{method} {answer:?}: {:?}", result.first_errors);
        assert!(result.measured.requests > 1);
    }
}

#[tokio::test]
async fn a_server_that_closes_after_each_response_is_no_error() {
    for answer in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nOK",
        "HTTP/1.1 200 OK\r\n\r\nOK",
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nOK",
    ] {
        let address = server(move |mut peer, _| async move {
            if peer.request().await.is_some() {
                peer.write(answer).await;
            }
        })
        .await;
        let result = load::run(settings(address, 2, 100), get().expect_body("OK")).await.unwrap();
        let connections = &result.connections;
        assert_eq!(result.measured.errors, 0, "{answer:?}: {:?}", result.first_errors);
        assert_eq!(connections.opened, result.measured.requests);
        assert_eq!(connections.closed_by_server, result.measured.requests);
        assert_eq!(connections.reopened, connections.opened - 2);
    }
}

#[tokio::test]
async fn a_connection_that_the_server_closes_while_idle_is_replaced_without_an_error() {
    // The server closes 20 ms after each response, the client thinks for 60 ms.
    let address = server(|mut peer, _| async move {
        peer.request().await;
        peer.write(OK).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    })
    .await;
    let result = load::run(settings(address, 1, 600), Thinker(Step(0))).await.unwrap();
    assert_eq!(result.measured.errors, 0, "{:?}", result.first_errors);
    assert!((2..=10).contains(&result.measured.requests), "{:?}", result.measured);
    assert_eq!(result.connections.closed_by_server, result.measured.requests - 1);
    assert!(result.generator.lag_ms_p99.unwrap() > 0.0, "{:?}", result.generator);
}

#[tokio::test]
async fn warm_up_is_counted_apart() {
    let address = answering(|_, _| OK.to_owned()).await;
    let settings = Settings { warm_up: Duration::from_millis(100), ..settings(address, 2, 100) };
    let result = load::run(settings, get()).await.unwrap();
    assert!(result.warm_up.succeeded > 0 && result.measured.succeeded > 0);
    assert_eq!((result.warm_up_ms, result.duration_ms, result.set_up.requests), (100.0, 100.0, 0));
    let by_step: u64 = result.steps.iter().map(|step| step.samples.count()).sum();
    assert_eq!(by_step, result.warm_up.requests + result.measured.requests);
}

#[tokio::test]
async fn a_stall_at_the_end_of_the_window_is_in_the_latencies() {
    // The tenth request is answered 800 ms late, after the window of 500 ms.
    let address = slow(|number| if number < 9 { 10 } else { 800 }).await;
    let result = load::run(settings(address, 1, 500), get()).await.unwrap();
    let latency = result.measured.latency_ms.unwrap();
    assert_eq!(latency.count, 10);
    assert!(latency.max >= 800.0, "{latency:?}");
}

#[tokio::test]
async fn progress_can_be_read_and_a_run_stopped() {
    let address = answering(|_, _| OK.to_owned()).await;
    let run = load::start(settings(address, 2, 60_000), get()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while run.snapshot().requests < 100 {
        assert!(Instant::now() < deadline, "{:?}", run.snapshot());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let snapshot = run.snapshot();
    assert_eq!((snapshot.errors, snapshot.clients_ready, snapshot.started), (0, 2, true));
    run.stop();
    let result = run.result().await.unwrap();
    assert!(result.stopped && result.duration_ms < 10_000.0);
    assert!(result.measured.requests >= 100);
}

#[test]
fn works_without_a_runtime() {
    let result = load::start(settings(nobody(), 1, 20), get()).unwrap().wait().unwrap();
    assert_eq!(result.measured.succeeded, 0);
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused() {
    let address = "127.0.0.1:1".parse().unwrap();
    let run = async |settings| load::run(settings, get()).await.unwrap_err().to_string();
    assert_eq!(run(settings(address, 0, 1)).await, "load setting `clients` is 0; set a larger value");
    assert_eq!(run(settings(address, 1, 0)).await, "load setting `duration` is 0; set a larger value");
    let endless = load::Settings { duration: Duration::MAX, ..settings(address, 1, 1) };
    assert_eq!(run(endless).await, "load setting `duration` is more than a year; set a smaller value");
    let many = run(settings(address, u32::MAX, 1)).await;
    assert!(many.contains("4294967295 clients need 4294967423 file descriptors"), "{many}");
}

#[tokio::test]
async fn a_scenario_that_panics_is_an_error() {
    let address = answering(|_, _| OK.to_owned()).await;
    let error = load::run(settings(address, 2, 5_000), Thinker(Step(7))).await.unwrap_err();
    assert!(
        matches!(&error, Error::Panicked(text) if text == "step 7 is not one of the scenario's 1 steps"),
        "{error}"
    );
}

/// Sends this step, thinks for 60 ms, and so on. It has named one step.
struct Thinker(Step);

struct ThinkingClient {
    step: Step,
    thinks: bool,
}

impl Scenario for Thinker {
    type Client = ThinkingClient;

    fn name(&self) -> &str {
        "thinker"
    }

    fn steps(&self) -> Vec<String> {
        vec!["get".to_owned()]
    }

    fn client(&self, _: Identity) -> ThinkingClient {
        ThinkingClient { step: self.0, thinks: false }
    }
}

impl Client for ThinkingClient {
    type Report = ();

    fn next(&mut self, at: &Moment, request: &mut Vec<u8>) -> Next {
        if at.phase == Phase::SetUp {
            return Next::Ready;
        }
        self.thinks = !self.thinks;
        if !self.thinks {
            return Next::Think(Duration::from_millis(60));
        }
        request.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
        Next::Send(self.step)
    }

    fn receive(&mut self, _: &Moment, _: Step, response: &Response<'_>) -> Outcome {
        assert_eq!(response.header("Content-Length"), Some(&b"2"[..]));
        Outcome::Ok
    }

    fn finish(self, _: &Moment) {}
}
