//! The built-in scenarios against a small model of the reference system.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e_load::load::scenarios::{
    Registration, RegistrationOutcome, RegistrationReport, Steps, Throughput, ThroughputReport,
};
use e2e_load::load::{self, Failure, LoadResult, Outcome, Settings};
use serde_json::Value;

use crate::engine::settings;
use crate::servers::{answering, response};

/// What the model has stored, and what it has been asked.
#[derive(Default)]
struct Store {
    clients: HashMap<String, u64>,
    operations: HashSet<String>,
    requests: usize,
}

/// The reference system in a few lines. `fault` may answer a request instead, given its number and the operation's or client's name;
/// `before` decides whether the operation is stored all the same.
struct System {
    address: SocketAddr,
    store: Arc<Mutex<Store>>,
}

async fn system(fault: impl Fn(usize, &str) -> Option<Fault> + Send + Sync + 'static) -> System {
    let store = Arc::new(Mutex::new(Store::default()));
    let kept = store.clone();
    let address = answering(move |_, request| {
        let mut store = kept.lock().unwrap();
        store.requests += 1;
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        let name = body["client"].as_str().or(body["operation"].as_str()).unwrap().to_owned();
        let fault = fault(store.requests, &name);
        if let Some(Fault { stores: false, answer }) = fault {
            return answer;
        }
        let answer = if head.starts_with("POST /register ") { store.register(name) } else { store.operate(head, name) };
        fault.map_or(answer, |fault| fault.answer)
    })
    .await;
    System { address, store }
}

struct Fault {
    stores: bool,
    answer: String,
}

impl Store {
    fn register(&mut self, client: String) -> String {
        let next = self.clients.len() as u64 + 1;
        let id = *self.clients.entry(client).or_insert(next);
        response(200, "", &format!(r#"{{"id":{id},"token":"t{id}"}}"#))
    }

    fn operate(&mut self, head: &str, operation: String) -> String {
        let client: u64 = operation.split('-').nth(1).unwrap().parse().unwrap();
        let id = self.clients[&format!("key-{client}")];
        assert!(head.contains(&format!("authorization: Bearer {id}.t{id}")), "{head}");
        let answer = format!(r#"{{"operation":"{operation}","committed":true}}"#);
        self.operations.insert(operation);
        response(200, "", &answer)
    }
}

fn refused(headers: &str) -> Option<Fault> {
    Some(Fault { stores: false, answer: response(503, headers, "full") })
}

async fn register(system: &System, clients: u32, milliseconds: u64, attempts: u32) -> LoadResult<RegistrationReport> {
    let mut scenario = Registration::new("test", "key").unwrap();
    scenario.attempts = attempts;
    scenario.keep_interval = Duration::from_millis(50);
    load::run(settings(system.address, clients, milliseconds), scenario).await.unwrap()
}

async fn operate(system: &System, clients: u32, milliseconds: u64) -> LoadResult<ThroughputReport> {
    let settings = Settings { warm_up: Duration::from_millis(50), ..settings(system.address, clients, milliseconds) };
    load::run(settings, Throughput::new("test", "key", "op").unwrap()).await.unwrap()
}

#[tokio::test]
async fn every_client_registers_and_keeps_its_session() {
    let system = system(|_, _| None).await;
    let result = register(&system, 40, 300, 3).await;

    assert_eq!(system.store.lock().unwrap().clients.len(), 40);
    for (index, client) in result.client_reports.iter().enumerate() {
        assert_eq!((client.client as usize, client.key.as_str()), (index, format!("key-{index}").as_str()));
        assert_eq!((client.outcome, client.attempts, client.retries), (RegistrationOutcome::Registered, 1, 0));
        assert!(client.first_registration_ms.unwrap() > 0.0);
        // 300 ms hold five intervals of 50 ms; a busy machine may make fewer of them.
        assert!((1..=6).contains(&client.keeping[&Outcome::Ok]), "{client:?}");
    }
    assert_eq!(result.step("register").unwrap().latency_ms.count, 40);
    assert_eq!(result.measured.errors, 0);
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let system = system(|number, _| if number == 1 { refused("Retry-After: 1\r\n") } else { None }).await;
    let result = register(&system, 1, 2500, 3).await;
    let client = &result.client_reports[0];
    assert_eq!((client.outcome, client.attempts, client.retries), (RegistrationOutcome::Registered, 2, 1));
    // One second, and at most a tenth more for spreading; the rest is the machine's.
    assert!((1000.0..2000.0).contains(&client.first_registration_ms.unwrap()), "{client:?}");
    assert_eq!(client.registering, [(Outcome::Ok, 1), (Outcome::Status(503), 1)].into());
    assert_eq!(result.first_errors[0].detail, "full");
}

#[tokio::test]
async fn attempts_are_bounded() {
    let system = system(|_, name| if name == "key-1" { refused("Retry-After: 0\r\n") } else { None }).await;
    let result = register(&system, 2, 400, 3).await;
    let [first, second] = &result.client_reports[..] else { panic!("two clients") };
    assert_eq!(first.outcome, RegistrationOutcome::Registered);
    assert_eq!((second.outcome, second.attempts), (RegistrationOutcome::Rejected { status: 503 }, 3));
    assert_eq!((second.first_registration_ms, second.outcome.label().as_str()), (None, "rejected_503"));
}

#[tokio::test]
async fn another_session_for_the_same_key_is_inconsistent() {
    let other = || Some(Fault { stores: true, answer: response(200, "", r#"{"id":9,"token":"other"}"#) });
    let system = system(move |number, _| if number == 3 { other() } else { None }).await;
    let result = register(&system, 1, 300, 3).await;
    let client = &result.client_reports[0];
    assert_eq!(client.outcome, RegistrationOutcome::Inconsistent);
    assert_eq!(client.keeping[&Outcome::UnexpectedBody], 1);
    // The answer holds a token, which no report may quote.
    assert!(!serde_json::to_string(&result).unwrap().contains("other"));
}

#[tokio::test]
async fn clients_without_a_server_say_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let system = System { address: listener.local_addr().unwrap(), store: Arc::default() };
    drop(listener);
    let result = register(&system, 2, 300, 2).await;
    for client in &result.client_reports {
        assert_eq!((client.outcome, client.attempts), (RegistrationOutcome::ConnectionFailed, 2));
        assert_eq!(client.registering, [(Outcome::Failure(Failure::ConnectionRefused), 2)].into());
    }
}

/// The names of all operations that the clients say were acknowledged.
fn acknowledged(result: &LoadResult<ThroughputReport>) -> HashSet<String> {
    let of_client = |client: &ThroughputReport| {
        let numbers = (1..=client.operations).filter(|number| client.is_acknowledged(*number));
        numbers.map(|number| Throughput::operation("op", client.client, number)).collect::<Vec<_>>()
    };
    result.client_reports.iter().flat_map(of_client).collect()
}

#[tokio::test]
async fn acknowledged_operations_are_exactly_the_stored_ones() {
    let system = system(|_, _| None).await;
    let result = operate(&system, 8, 200).await;

    assert_eq!(acknowledged(&result), system.store.lock().unwrap().operations);
    assert_eq!(result.acknowledged(), system.store.lock().unwrap().operations.len() as u64);
    let measured: u64 = result.client_reports.iter().map(|client| client.acknowledged_measured).sum();
    assert_eq!(measured, result.measured.succeeded);
    assert_eq!(result.acknowledged(), result.warm_up.succeeded + result.measured.succeeded);
    assert!(result.warm_up.succeeded > 0 && measured > 0, "{measured}");
    assert_eq!((result.set_up.requests, result.set_up.succeeded), (8, 8));
    assert_eq!(result.measured.errors, 0);
}

#[tokio::test]
async fn what_the_entrance_says_of_its_upstream_is_added_up() {
    let said = ["X-Upstream-Time: 0.002\r\n", "X-Upstream-Time: 0.004, 0.006\r\n", "X-Upstream-Time: -\r\n", ""];
    let system = system(move |number, name| {
        let body = format!(r#"{{"operation":"{name}","committed":true}}"#);
        let answer = || response(200, said[number % said.len()], &body);
        name.starts_with("op-").then(|| Fault { stores: true, answer: answer() })
    })
    .await;
    let result = operate(&system, 1, 300).await;

    let report = &result.client_reports[0];
    // Half of the answers say it: 2 ms and 10 ms in turns.
    assert!(report.acknowledged_measured.abs_diff(report.upstream.responses * 2) <= 2, "{report:?}");
    let mean = result.upstream_mean_ms().unwrap();
    assert!((mean - 6.0).abs() <= 4.0 / report.upstream.responses as f64 + 1e-9, "{mean} {report:?}");
}

#[tokio::test]
async fn faults_do_not_upset_the_books() {
    // Each seventh request is refused; each eleventh is stored, and answered with 504 as if that were not known.
    let system = system(|number, _| match number {
        _ if number % 7 == 0 => refused("Retry-After: 0\r\n"),
        _ if number % 11 == 0 => Some(Fault { stores: true, answer: response(504, "", "late") }),
        _ => None,
    })
    .await;
    let result = operate(&system, 8, 1000).await;

    let (acknowledged, stored) = (acknowledged(&result), &system.store.lock().unwrap().operations);
    assert_eq!(result.acknowledged(), acknowledged.len() as u64);
    assert!(acknowledged.is_subset(stored));
    // What is stored without being acknowledged is among the unknown ones.
    for name in stored.difference(&acknowledged) {
        let mut parts = name.split('-').skip(1).map(|part| part.parse::<u64>().unwrap());
        let (client, number) = (parts.next().unwrap(), parts.next().unwrap());
        assert!(result.client_reports[client as usize].unknown.contains(&number), "{name}");
    }
    assert!(result.measured.by_error[&Outcome::Status(503)] > 0 && result.measured.by_error[&Outcome::Status(504)] > 0);
    assert!(result.client_reports.iter().map(|client| client.retries).sum::<u64>() > 0);
}

#[tokio::test]
async fn an_operation_given_up_is_unknown_or_refused() {
    // One attempt each. The second operation is refused, the third is stored and answered as if that were not known.
    let system = system(|_, name| match name {
        "op-0-2" => refused("Retry-After: 0\r\n"),
        "op-0-3" => Some(Fault { stores: true, answer: response(504, "", "late") }),
        _ => None,
    })
    .await;
    let mut scenario = Throughput::new("test", "key", "op").unwrap();
    scenario.operation_attempts = 1;
    let result = load::run(settings(system.address, 1, 500), scenario).await.unwrap();

    let client = &result.client_reports[0];
    assert_eq!((&client.refused, &client.unknown, client.retries), (&vec![2], &vec![3], 0));
    assert_eq!(client.acknowledged, client.operations - 2);
    assert!(client.operations >= 4 && client.is_acknowledged(4) && !client.is_acknowledged(3));
    let stored = &system.store.lock().unwrap().operations;
    assert!(stored.contains("op-0-3") && !stored.contains("op-0-2"));
}

#[tokio::test]
async fn a_client_that_cannot_register_has_no_operations() {
    let system = system(|_, name| if name == "key-0" { refused("Retry-After: 0\r\n") } else { None }).await;
    let result = operate(&system, 2, 100).await;
    let [first, second] = &result.client_reports[..] else { panic!("two clients") };
    assert_eq!((first.registered, first.registration_attempts, first.operations), (false, 10, 0));
    assert!(second.registered && second.operations > 0);
    assert_eq!((result.clients, result.clients_ready), (2, 1));
}

/// What the reference system's own scenario does, as data.
fn as_data() -> Steps {
    let steps = serde_json::json!([
        {
            "name": "register", "once": true, "method": "POST", "path": "/register", "attempts": 10,
            "body": r#"{"client":"${run}-${client}"}"#, "status": 200, "capture": {"id": "/id", "token": "/token"},
        },
        {
            "name": "operation", "method": "POST", "path": "/ops", "attempts": 10, "fields": {"/committed": true},
            "headers": {"authorization": "Bearer ${id}.${token}"}, "body": r#"{"operation":"op-${client}-${round}"}"#,
        },
    ]);
    let steps = Steps {
        host: "test".to_owned(),
        run: "key".to_owned(),
        think: Duration::ZERO,
        steps: serde_json::from_value(steps).unwrap(),
    };
    steps.check().unwrap();
    steps
}

#[tokio::test]
async fn steps_from_a_file_register_and_operate() {
    let system = system(|number, _| if number % 50 == 7 { refused("Retry-After: 0\r\n") } else { None }).await;
    let result = load::run(settings(system.address, 8, 400), as_data()).await.unwrap();

    let store = system.store.lock().unwrap();
    assert_eq!((store.clients.len(), result.clients_ready), (8, 8));
    let succeeded = result.step("operation").unwrap().latency_ms.count;
    // Those that the window's end cut off are stored too.
    assert!((succeeded..=succeeded + 8).contains(&(store.operations.len() as u64)), "{succeeded}");
    assert!(succeeded > 50, "{succeeded}");
    let refused: Vec<_> = result.first_errors.iter().map(|error| error.outcome).collect();
    assert!(refused.iter().all(|outcome| *outcome == Outcome::Status(503)) && !refused.is_empty(), "{refused:?}");
}

#[tokio::test]
async fn a_step_with_another_answer_is_an_error() {
    let answer = || Some(Fault { stores: true, answer: response(200, "", r#"{"committed":false}"#) });
    let system = system(move |_, name| if name.starts_with("op-") { answer() } else { None }).await;
    let result = load::run(settings(system.address, 1, 300), as_data()).await.unwrap();
    assert_eq!(result.first_errors[0].outcome, Outcome::UnexpectedBody);
    assert!(result.step("operation").is_none_or(|step| step.latency_ms.count == 0));
}

#[tokio::test]
async fn a_step_without_what_it_needs_is_left_out_until_there_is_a_new_one() {
    let system = system(|number, _| if number == 3 { refused("Retry-After: 0\r\n") } else { None }).await;
    let mut scenario = as_data();
    let register = &mut scenario.steps[0];
    (register.once, register.attempts) = (false, 1);
    scenario.check().unwrap();
    let result = load::run(settings(system.address, 1, 400), scenario).await.unwrap();

    assert_eq!(result.first_errors.iter().map(|error| error.outcome).collect::<Vec<_>>(), [Outcome::Status(503)]);
    let stored = &system.store.lock().unwrap().operations;
    assert!(!stored.contains("op-0-2"), "its round began with a registration that was refused");
    assert!(stored.contains("op-0-1") && stored.contains("op-0-3"), "{stored:?}");
}
