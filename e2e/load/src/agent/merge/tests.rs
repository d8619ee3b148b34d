use std::time::{Duration, Instant};

use super::*;
use crate::load::recorder::{Recorded, Recorder, Sample};
use crate::load::{Failure, Outcome, Random, Step};

const WINDOW: Duration = Duration::from_secs(4);

/// A result as the generator makes it from a recorder. The client's index stands for its report.
fn result(recorder: Recorder, clients: std::ops::Range<u32>) -> LoadResult<u32> {
    let connections = Connections { connect_ms: recorder.connecting.summary(), ..recorder.connections.clone() };
    let connecting = recorder.connecting.clone();
    let Recorded { totals: [set_up, warm_up, measured], steps, series, series_samples, tenths, first_errors } =
        recorder.finish(WINDOW);
    LoadResult {
        scenario: "test".to_owned(),
        clients: clients.len() as u32,
        clients_ready: clients.len() as u32,
        seed: 1,
        set_up_ms: 10.0,
        warm_up_ms: 20.0,
        window_start_unix_ms: 1,
        duration_ms: 4000.0,
        stopped: false,
        set_up,
        warm_up,
        succeeded_per_second: per_second(measured.succeeded, 4000.0),
        measured,
        open: None,
        steps,
        series,
        tenths,
        series_samples,
        connections,
        connecting,
        generator: Generator::default(),
        first_errors,
        client_reports: clients.collect(),
        agents: Vec::new(),
    }
}

/// A request of any phase, step, outcome and latency, by a fixed stream of random numbers.
fn sample(random: &mut Random, start: Instant) -> Sample {
    let phases = [Phase::SetUp, Phase::WarmUp, Phase::Measured, Phase::Measured];
    let (outcome, status) = match random.number() % 10 {
        0 => (Outcome::Status(503), Some(503)),
        1 => (Outcome::Failure(Failure::TimedOut), None),
        _ => (Outcome::Ok, Some(200)),
    };
    // From 1 µs to 16 s without a pattern.
    let latency = Duration::from_nanos(1000 << (random.number() % 24)) + Duration::from_nanos(random.number() % 1000);
    let intended = start + WINDOW.mul_f64(random.fraction());
    let phase = phases[(random.number() % 4) as usize];
    // In the series a request stands where it ended: shortly after, so that the last second is complete here.
    let completed =
        if phase == Phase::Measured { intended + latency.min(Duration::from_millis(1)) } else { intended + latency };
    Sample { phase, step: Step((random.number() % 2) as usize), outcome, status, intended, sent: intended, completed }
}

#[test]
fn eight_merged_agents_equal_one_pooled_recorder_bit_for_bit() {
    let start = Instant::now();
    let recorder = || {
        // The names are not in the order of the alphabet, so that the order of steps is a scenario's.
        let mut recorder = Recorder::new(vec!["register".to_owned(), "operation".to_owned()]);
        recorder.start_series(start);
        recorder
    };
    let (mut pooled, mut parts) = (recorder(), [(); 8].map(|()| recorder()));
    let mut random = Random::new(7, 0);
    let mut samples: Vec<Sample> = (0..50_000).map(|_| sample(&mut random, start)).collect();
    // A generator sees its requests end in the order of time.
    samples.sort_by_key(|sample| sample.completed);
    for sample in samples {
        let client = (random.number() % 40) as u32;
        for recorder in [&mut pooled, &mut parts[client as usize / 5]] {
            recorder.record(&sample);
            recorder.connections.opened += 1;
            recorder.connecting.record(sample.completed - sample.intended);
            if !sample.outcome.is_ok() {
                recorder.explain(&sample, client, sample.completed - start, || format!("client {client}"));
            }
        }
    }
    // As agents send them.
    let sent = parts.into_iter().zip(0..).map(|(part, agent)| {
        let json = serde_json::to_string(&result(part, agent * 5..agent * 5 + 5)).unwrap();
        serde_json::from_str::<LoadResult<u32>>(&json).unwrap()
    });
    let merged = merge(sent).unwrap();
    let pooled = result(pooled, 0..40);
    assert_eq!(merged, pooled);
    assert_eq!(serde_json::to_string(&merged).unwrap(), serde_json::to_string(&pooled).unwrap());
    assert!(pooled.measured.errors > 1000 && pooled.series.len() >= 4, "{:?}", pooled.measured);
}

#[test]
fn the_worst_generator_stands_for_all() {
    let part = |cpu_share, lag: Option<f64>, saturated| {
        let mut part = result(Recorder::new(Vec::new()), 0..1);
        part.generator = Generator {
            cpu_seconds: 2.0,
            wall_seconds: 4.0,
            cpu_share,
            cpu_wait_seconds: Some(0.5),
            wait_share: lag.map(|lag| lag / 10.0),
            lag_ms_p99: lag,
            saturated,
        };
        part
    };
    let merged = merge([part(0.5, Some(1.0), false), part(0.95, Some(3.0), true), part(0.1, None, false)]).unwrap();
    let worst = Generator {
        cpu_seconds: 6.0,
        wall_seconds: 4.0,
        cpu_share: 0.95,
        cpu_wait_seconds: Some(1.5),
        wait_share: Some(0.3),
        lag_ms_p99: Some(3.0),
        saturated: true,
    };
    assert_eq!(merged.generator, worst);
    assert_eq!(worst.described(), "used 95% of one CPU and waited for one 30% of the time");
    assert_eq!(merge(Vec::<LoadResult<u32>>::new()), None);
}
