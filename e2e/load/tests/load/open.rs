//! The open model: requests are due by a schedule, and latency counts from there.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use e2e_load::agent::{Order, merge};
use e2e_load::load::{self, Arrivals, ClientReport, LoadResult, Model, Part, Settings, Spacing, Turn, Workload};

use crate::engine::{get, settings};
use crate::servers::{OK, answering, nobody, server, slow};

fn open(settings: Settings, rate: f64) -> Settings {
    Settings { model: Model::Open(Arrivals::constant(rate)), ..settings }
}

#[tokio::test]
async fn the_rate_is_the_one_asked_for() {
    let address = answering(|_, _| OK.to_owned()).await;
    let settings = Settings { warm_up: Duration::from_millis(200), ..open(settings(address, 20, 1000), 500.0) };
    let result = load::run(settings, get()).await.unwrap();
    let outcome = result.open.unwrap();
    // 100 in the warm-up, 500 in the window; on a busy machine the last ones may still be waiting when it ends.
    assert_eq!((result.warm_up.requests, outcome.due), (100, 500));
    assert_eq!(result.measured.requests + outcome.dropped, 500);
    assert!(outcome.dropped < 50 && result.measured.errors == 0, "{outcome:?}");
    assert_eq!(outcome.uncorrected.count(), result.measured.succeeded);
    assert!(result.generator.lag_ms_p99.is_some());
}

#[tokio::test]
async fn a_stall_is_in_the_corrected_latency_only() {
    // The server stands still for 300 ms of 1 s; one client, so that requests that are due meanwhile wait for it.
    let begun = Instant::now();
    let address = server(move |mut peer, _| async move {
        while peer.request().await.is_some() {
            let within = begun.elapsed().as_millis() % 1000;
            if within < 300 {
                tokio::time::sleep(Duration::from_millis(300 - within as u64)).await;
            }
            peer.write(OK).await;
        }
    })
    .await;
    let result = load::run(open(settings(address, 1, 2000), 200.0), get()).await.unwrap();
    let outcome = result.open.unwrap();
    let corrected = result.measured.latency_ms.unwrap();
    let uncorrected = outcome.latency_uncorrected_ms.unwrap();
    // 30% of the schedule falls into a stall: the true 80th percentile is 100 ms, so the 90th is far above it. One client
    // sends one request into each stall: one in a hundred is slow by its own clock.
    assert!(corrected.p90 > 150.0, "{corrected:?}");
    assert!(uncorrected.p90 < 100.0 && uncorrected.max > 150.0, "{uncorrected:?}");
    assert!(outcome.late >= 40, "{outcome:?}");
}

#[tokio::test]
async fn what_no_client_could_send_is_dropped_and_counted() {
    // Each answer takes 100 ms, so that one client can send 5 of the 50 requests of the window.
    let address = slow(|_| 100).await;
    let result = load::run(open(settings(address, 1, 500), 100.0), get()).await.unwrap();
    let outcome = result.open.unwrap();
    assert_eq!((outcome.due, result.measured.requests + outcome.dropped), (50, 50));
    assert!((43..=48).contains(&outcome.dropped), "{outcome:?}");
    assert_eq!(result.clients_ready, 1);
}

#[tokio::test]
async fn requests_are_sent_when_they_are_due() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = times.clone();
    let address = answering(move |_, _| {
        noted.lock().unwrap().push(Instant::now());
        OK.to_owned()
    })
    .await;
    load::run(open(settings(address, 10, 1000), 200.0), get()).await.unwrap();
    let times = times.lock().unwrap();
    // The median distance between requests is the schedule's: the runtime's own timer, with a grain of 1 ms, would show here.
    let mut gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort();
    let median = gaps[gaps.len() / 2];
    assert!(median.abs_diff(Duration::from_millis(5)) < Duration::from_micros(300), "{median:?}");
}

#[tokio::test]
async fn parts_of_a_schedule_are_the_whole() {
    let address = answering(|_, _| OK.to_owned()).await;
    let arrivals = Arrivals { spacing: Spacing::Poisson, ..Arrivals::constant(400.0) };
    let whole = Settings { model: Model::Open(arrivals), seed: 3, ..settings(address, 6, 500) };
    let runs: Vec<_> = (0..2)
        .map(|number| {
            let part = Part { first: number * 3, of: 6, turn: Turn { number, count: 2 } };
            load::start(Settings { clients: 3, part: Some(part), ..whole.clone() }, get()).unwrap()
        })
        .collect();
    let mut parts = Vec::new();
    for run in runs {
        parts.push(run.result().await.unwrap());
    }
    let merged: LoadResult<ClientReport> = merge(parts).unwrap();
    let alone = load::run(whole.clone(), get()).await.unwrap();
    assert_eq!(merged.open.unwrap().due, alone.open.unwrap().due);
    assert_eq!((merged.clients, merged.client_reports.len()), (6, 6));
    // As an order says it.
    let order = Order::new("x:1", Workload::Fixed(get()), &whole);
    assert_eq!(serde_json::from_str::<Order>(&serde_json::to_string(&order).unwrap()).unwrap(), order);
}

#[tokio::test]
async fn every_request_that_was_due_is_sent_or_dropped_when_nobody_answers() {
    // Nobody listens: clients wait longer after each failure, and most of them wait when the window ends.
    let result = load::run(open(settings(nobody(), 20, 1000), 100.0), get()).await.unwrap();
    let outcome = result.open.unwrap();
    assert_eq!((outcome.due, result.measured.requests + outcome.dropped), (100, 100), "{outcome:?}");
    assert!(outcome.dropped > 0 && result.measured.errors > 0, "{outcome:?}");
}

#[tokio::test]
async fn a_run_is_stopped_long_before_its_next_request() {
    let address = answering(|_, _| OK.to_owned()).await;
    let run = load::start(open(settings(address, 1, 60_000), 0.01), get()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    run.stop();
    let result = tokio::time::timeout(Duration::from_secs(5), run.result()).await.expect("it ends at once").unwrap();
    assert!(result.stopped);
}

#[tokio::test]
async fn rates_that_cannot_be_are_refused() {
    let address = "127.0.0.1:1".parse().unwrap();
    for rate in [0.0, -1.0, 1e-20, f64::NAN, f64::INFINITY] {
        let error = load::run(open(settings(address, 1, 1), rate), get()).await.unwrap_err();
        assert_eq!(error.to_string(), "load setting `rate` must be finite and at least one request in a year");
    }
}
