//! Declared steps against a small model of the reference system: registration and throughput, as its `.config/e2e.toml` has them.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e_load::load::scenarios::{LedgerSpec, Steps, StepsScenario};
use e2e_load::load::{self, ClientOutcome, ClientReport, Failure, LoadResult, Outcome, Settings, StoredKeys};
use e2e_load::scenario::{LedgerResult, ModelKind};
use serde_json::{Value, json};

use crate::declared::{self, steps};
use crate::engine::settings;
use crate::servers::{answering, nobody, response};

/// What the model has stored, and what it has been asked.
#[derive(Default)]
struct Store {
    clients: HashMap<String, u64>,
    operations: HashSet<String>,
    requests: usize,
}

/// The reference system in a few lines. `fault` may answer a request instead, given its number and the operation's or client's name;
/// `stores` decides whether the operation is stored all the same.
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

/// Clients register together, and keep their sessions.
pub(crate) fn registration(attempts: u32) -> Steps {
    steps(
        "registration",
        json!([
            {
                "name": "register", "once": true, "measured": true, "outcome": "registered", "method": "POST",
                "path": "/register", "body": r#"{"client":"key-${client}"}"#, "status": 200, "attempts": attempts,
                "capture": {"id": "/id", "token": "/token"},
            },
            {
                "name": "keep_session", "think": "50ms", "method": "POST", "path": "/register",
                "body": r#"{"client":"key-${client}"}"#, "status": 200, "fields": {"/id": "${id}", "/token": "${token}"},
            },
        ]),
    )
}

/// The reference system's throughput with so many attempts at an operation, and an entrance that says how long its upstream took.
fn throughput(attempts: u32) -> Steps {
    let mut throughput = declared::throughput();
    let operation = &mut throughput.steps[1];
    (operation.attempts, operation.server_time) = (attempts, Some("X-Upstream-Time".to_owned()));
    throughput
}

async fn take(system: &System, clients: u32, milliseconds: u64, steps: &Steps) -> LoadResult<ClientReport> {
    let settings = Settings { warm_up: Duration::ZERO, ..settings(system.address, clients, milliseconds) };
    load::run(settings, StepsScenario::new(steps).unwrap()).await.unwrap()
}

async fn operate(system: &System, clients: u32, milliseconds: u64) -> LoadResult<ClientReport> {
    let settings = Settings { warm_up: Duration::from_millis(50), ..settings(system.address, clients, milliseconds) };
    load::run(settings, StepsScenario::new(&throughput(10)).unwrap()).await.unwrap()
}

#[tokio::test]
async fn every_client_registers_and_keeps_its_session() {
    let system = system(|_, _| None).await;
    let result = take(&system, 40, 300, &registration(3)).await;

    assert_eq!(system.store.lock().unwrap().clients.len(), 40);
    for (index, client) in result.client_reports.iter().enumerate() {
        assert_eq!((client.client as usize, client.retries), (index, 0));
        assert_eq!(client.outcome, Some(ClientOutcome::Succeeded));
    }
    assert_eq!(result.step("register").unwrap().latency_ms.count, 40);
    // 300 ms hold five pauses of 50 ms; a busy machine may make fewer of them.
    let kept = result.step("keep_session").unwrap().latency_ms.count;
    assert!((40..=240).contains(&kept), "{kept}");
    assert_eq!((result.measured.errors, result.set_up.requests), (0, 0));
}

#[tokio::test]
async fn figures_are_those_of_the_declared_steps() {
    let system = system(|number, _| if number == 1 { refused("Retry-After: 0\r\n") } else { None }).await;
    let steps = registration(3);
    let result = take(&system, 4, 300, &steps).await;
    let figures = StepsScenario::new(&steps).unwrap().figures(&result);

    assert_eq!((figures.name.as_str(), figures.model, figures.clients), ("registration", ModelKind::Closed, 4));
    assert_eq!(figures.client_outcomes, [("registered".to_owned(), 4)].into());
    assert_eq!((figures.clients_failed, figures.clients_retried, figures.clients_idle), (0, 1, 0));
    assert_eq!(figures.by_error, [(Outcome::Status(503), 1)].into());
    let [register, keep] = &figures.steps[..] else { panic!("two steps") };
    assert_eq!(
        (register.name.as_str(), register.once, register.requests, register.succeeded),
        ("register", true, 5, 4)
    );
    assert_eq!((register.errors, &register.by_error), (1, &figures.by_error));
    assert_eq!((keep.once, keep.errors), (false, 0));
    assert_eq!(figures.requests, register.requests + keep.requests);
    assert_eq!(figures.series.iter().map(|second| second.succeeded).sum::<u64>(), figures.succeeded);
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let system = system(|number, _| if number == 1 { refused("Retry-After: 1\r\n") } else { None }).await;
    let result = take(&system, 1, 2500, &registration(3)).await;
    let client = &result.client_reports[0];
    assert_eq!((client.outcome, client.retries), (Some(ClientOutcome::Succeeded), 1));
    // Nothing succeeds in the second that the server asks for; 1.5 s are left for keeping the session.
    assert_eq!(result.series[0].succeeded, 0, "{:?}", result.series);
    assert!(result.step("keep_session").is_some_and(|step| step.latency_ms.count >= 5), "{:?}", result.series);
    assert_eq!(result.first_errors[0].detail, "full");
}

#[tokio::test]
async fn attempts_are_bounded() {
    let system = system(|_, name| if name == "key-1" { refused("Retry-After: 0\r\n") } else { None }).await;
    let steps = registration(3);
    let result = take(&system, 2, 400, &steps).await;
    let [first, second] = &result.client_reports[..] else { panic!("two clients") };
    assert_eq!(first.outcome, Some(ClientOutcome::Succeeded));
    assert_eq!((second.outcome, second.retries), (Some(ClientOutcome::Rejected { status: 503 }), 2));
    let figures = StepsScenario::new(&steps).unwrap().figures(&result);
    assert_eq!(figures.client_outcomes, [("registered".to_owned(), 1), ("rejected_503".to_owned(), 1)].into());
    assert_eq!(figures.clients_failed, 1);
}

#[tokio::test]
async fn another_session_for_the_same_key_is_inconsistent() {
    let other = || Some(Fault { stores: true, answer: response(200, "", r#"{"id":9,"token":"other"}"#) });
    let system = system(move |number, _| if number == 3 { other() } else { None }).await;
    let result = take(&system, 1, 300, &registration(3)).await;
    assert_eq!(result.client_reports[0].outcome, Some(ClientOutcome::Inconsistent));
    assert_eq!(result.measured.by_error, [(Outcome::UnexpectedBody, 1)].into());
    // The answer holds a token, which no report may quote.
    assert!(!serde_json::to_string(&result).unwrap().contains("other"));
}

#[tokio::test]
async fn clients_without_a_server_say_so() {
    let system = System { address: nobody(), store: Arc::default() };
    let result = take(&system, 2, 300, &registration(2)).await;
    for client in &result.client_reports {
        assert_eq!((client.outcome, client.retries), (Some(ClientOutcome::ConnectionFailed), 1));
    }
    assert_eq!(result.measured.by_error, [(Outcome::Failure(Failure::ConnectionRefused), 4)].into());
}

/// The ledger of a load against what the model stores.
fn ledger(steps: &Steps, result: &LoadResult<ClientReport>, system: &System) -> LedgerResult {
    let scenario = StepsScenario::new(steps).unwrap();
    let stored: StoredKeys = system.store.lock().unwrap().operations.iter().map(|key| (key, 1)).collect();
    stored.check(result.ledgers(), |client, round, key| scenario.write_key(client, round, key))
}

#[tokio::test]
async fn acknowledged_operations_are_exactly_the_stored_ones() {
    let system = system(|_, _| None).await;
    let result = operate(&system, 8, 200).await;

    let stored = system.store.lock().unwrap().operations.len() as u64;
    let expected = LedgerResult { acknowledged: stored, stored, ..LedgerResult::default() };
    assert_eq!(ledger(&throughput(10), &result, &system), expected);
    assert_eq!(stored, result.warm_up.succeeded + result.measured.succeeded);
    assert!(result.warm_up.succeeded > 0 && result.measured.succeeded > 0, "{stored}");
    assert_eq!((result.set_up.requests, result.set_up.succeeded), (8, 8));
    assert_eq!(result.measured.errors, 0);
}

#[tokio::test]
async fn what_is_lost_or_stored_twice_is_named() {
    let system = system(|_, _| None).await;
    let result = operate(&system, 1, 200).await;
    let steps = throughput(10);
    let scenario = StepsScenario::new(&steps).unwrap();
    let mut rows: Vec<(String, u64)> =
        system.store.lock().unwrap().operations.iter().map(|key| (key.clone(), 1)).collect();
    rows.retain(|(key, _)| key != "op-0-3");
    rows.push(("op-0-2".to_owned(), 1));
    rows.push(("op-7-1".to_owned(), 1));
    let rows_stored = rows.len() as u64;
    let stored: StoredKeys = rows.into_iter().collect();
    let ledger = stored.check(result.ledgers(), |client, round, key| scenario.write_key(client, round, key));
    assert_eq!((ledger.missing, ledger.missing_keys), (1, vec!["op-0-3".to_owned()]));
    assert_eq!((ledger.duplicate, ledger.duplicate_keys), (1, vec!["op-0-2".to_owned()]));
    assert_eq!((ledger.unacknowledged, ledger.stored), (1, rows_stored));
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

    let said = result.client_reports[0].server_time["operation"];
    // Half of the answers say it: 2 ms and 10 ms in turns.
    assert!(result.measured.succeeded.abs_diff(said.answers * 2) <= 2, "{said:?}");
    let figures = StepsScenario::new(&throughput(10)).unwrap().figures(&result);
    let mean = figures.step("operation").unwrap().server_time_ms_mean.unwrap();
    assert!((mean - 6.0).abs() <= 4.0 / said.answers as f64 + 1e-9, "{mean} {said:?}");
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

    let ledger = ledger(&throughput(10), &result, &system);
    assert_eq!((ledger.missing, ledger.duplicate), (0, 0), "{ledger:?}");
    assert!(ledger.acknowledged > 0 && ledger.acknowledged <= ledger.stored, "{ledger:?}");
    // What is stored without being acknowledged is among the unknown ones.
    assert!(ledger.unacknowledged <= ledger.unknown, "{ledger:?}");
    assert!(result.measured.by_error[&Outcome::Status(503)] > 0 && result.measured.by_error[&Outcome::Status(504)] > 0);
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
    let result = take(&system, 1, 500, &throughput(1)).await;

    let books = result.client_reports[0].ledger.as_ref().unwrap();
    assert_eq!((&books.refused.rounds, &books.unknown.rounds), (&vec![(2, 2)], &vec![(3, 3)]));
    let [(1, 1), (4, last)] = books.acknowledged.rounds[..] else { panic!("{books:?}") };
    assert_eq!(books.acknowledged.count, last - 2);
    let ledger = ledger(&throughput(1), &result, &system);
    assert_eq!((ledger.refused, ledger.unknown, ledger.unacknowledged, ledger.missing), (1, 1, 1, 0), "{ledger:?}");
}

#[tokio::test]
async fn a_client_that_cannot_register_has_no_operations() {
    let system = system(|_, name| if name == "key-0" { refused("Retry-After: 0\r\n") } else { None }).await;
    let result = operate(&system, 2, 100).await;
    let [first, second] = &result.client_reports[..] else { panic!("two clients") };
    let count = |client: &ClientReport| client.ledger.as_ref().unwrap().acknowledged.count;
    assert_eq!((first.outcome, first.retries, count(first)), (Some(ClientOutcome::Rejected { status: 503 }), 9, 0));
    assert!(second.outcome == Some(ClientOutcome::Succeeded) && count(second) > 0);
    assert_eq!((result.clients, result.clients_ready), (2, 1));
}

#[tokio::test]
async fn a_key_that_the_server_gives_is_kept_as_text() {
    // The second order gets no answer with a number.
    let system = answering(|number, _| match number {
        1 => response(504, "", "late"),
        _ => {
            let body = format!(r#"{{"order":{{"id":{}}}}}"#, 9000 + number);
            response(201, &format!("Location: /orders/{number}\r\n"), &body)
        }
    })
    .await;
    let orders = json!([{
        "name": "order", "method": "POST", "path": "/orders", "status": [200, 201],
        "capture": {"id": "/order/id", "place": "header:Location"},
    }]);
    let key = "${place} ${id}".to_owned();
    let steps = Steps { ledger: Some(LedgerSpec { key, step: None }), ..steps("orders", orders) };
    let settings = settings(system, 1, 150);
    let result = load::run(settings, StepsScenario::new(&steps).unwrap()).await.unwrap();
    let books = result.client_reports[0].ledger.as_ref().unwrap();
    let keys: Vec<&str> = books.acknowledged.texts.lines().collect();
    assert_eq!(keys[..2], ["/orders/0 9000", "/orders/2 9002"]);
    assert_eq!((books.unknown.count, books.unknown.texts.as_str()), (1, ""));
    assert_eq!(keys.len() as u64, books.acknowledged.count);
}

#[tokio::test]
async fn a_cookie_and_a_whole_body_can_be_used_later() {
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let kept = seen.clone();
    let address = answering(move |_, request| {
        kept.lock().unwrap().insert(request.split_once("\r\n\r\n").unwrap().0.to_owned());
        let cookies = "Set-Cookie: a=1; Path=/\r\nset-cookie: sid=s3; HttpOnly\r\n";
        response(200, if request.starts_with("GET /login") { cookies } else { "" }, " t 7\n")
    })
    .await;
    let steps = steps(
        "session",
        json!([
            {"name": "login", "path": "/login", "once": true, "capture": {"sid": "cookie:sid", "token": "body"}},
            {"name": "look", "path": "/of/${token}", "headers": {"cookie": "sid=${sid}"}, "contains": "${token}"},
        ]),
    );
    let result = load::run(settings(address, 1, 100), StepsScenario::new(&steps).unwrap()).await.unwrap();
    assert_eq!(result.measured.errors, 0, "{:?}", result.first_errors);
    assert!(seen.lock().unwrap().contains("GET /of/t%207 HTTP/1.1\r\nhost: test\r\ncookie: sid=s3"), "{seen:?}");
}

#[tokio::test]
async fn a_step_with_another_answer_is_an_error() {
    let answer = || Some(Fault { stores: true, answer: response(200, "", r#"{"committed":false}"#) });
    let system = system(move |_, name| if name.starts_with("op-") { answer() } else { None }).await;
    let result = take(&system, 1, 300, &throughput(10)).await;
    assert_eq!(result.first_errors[0].outcome, Outcome::UnexpectedBody);
    assert!(result.step("operation").is_none());
}

#[tokio::test]
async fn a_step_without_what_it_needs_is_left_out_until_there_is_a_new_one() {
    let system = system(|number, _| if number == 3 { refused("Retry-After: 0\r\n") } else { None }).await;
    let mut steps = throughput(10);
    (steps.steps[0].once, steps.steps[0].attempts) = (false, 1);
    steps.ledger.as_mut().unwrap().step = Some("operation".to_owned());
    let result = take(&system, 1, 400, &steps).await;

    assert_eq!(result.first_errors.iter().map(|error| error.outcome).collect::<Vec<_>>(), [Outcome::Status(503)]);
    let stored = &system.store.lock().unwrap().operations;
    assert!(!stored.contains("op-0-2"), "its round began with a registration that was refused");
    assert!(stored.contains("op-0-1") && stored.contains("op-0-3"), "{stored:?}");
    let books = result.client_reports[0].ledger.as_ref().unwrap();
    assert_eq!(books.acknowledged.rounds[0], (1, 1));
    assert!(books.refused.is_empty() && books.unknown.is_empty(), "what was not sent has no key: {books:?}");
}
