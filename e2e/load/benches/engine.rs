//! What the parts of a request cost the generator. `cargo bench -p e2e-load`.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use divan::{Bencher, counter::BytesCount};
use e2e_load::{
    load::{
        Client, Decoder, Identity, Limits, Moment, Next, Phase, Progress, Response, Scenario, Step,
        scenarios::StepsScenario,
    },
    stats::Samples,
};

#[path = "../tests/load/declared.rs"]
mod declared;

/// A response as the reference system gives it.
fn response(body: &str) -> Vec<u8> {
    let head =
        "HTTP/1.1 200 OK\r\nserver: nginx\r\ndate: Wed, 25 Nov 2026 00:00:00 GMT\r\ncontent-type: application/json\r\n";
    format!("{head}content-length: {}\r\nconnection: keep-alive\r\n\r\n{body}", body.len()).into_bytes()
}

/// Hands the bytes to the decoder as one read, and what comes out of it to `seen`.
fn decode<T>(decoder: &mut Decoder, bytes: &[u8], seen: impl FnOnce(&Response<'_>) -> T) -> T {
    decoder.begin(false);
    decoder.space()[..bytes.len()].copy_from_slice(bytes);
    assert_eq!(decoder.advance(bytes.len()), Ok(Progress::Complete));
    seen(&decoder.response().expect("a whole response"))
}

#[divan::bench(args = [2, 200, 3072])]
fn parse_a_body_of_bytes(bencher: Bencher<'_, '_>, length: usize) {
    let (mut decoder, bytes) = (Decoder::new(Limits::default()), response(&"x".repeat(length)));
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| decode(&mut decoder, black_box(&bytes), |response| response.status));
}

#[divan::bench]
fn parse_behind_another_head(bencher: Bencher<'_, '_>) {
    // The two dates take turns, so that no head is the one before.
    let other = response("OK").iter().map(|byte| if *byte == b'5' { b'6' } else { *byte }).collect::<Vec<u8>>();
    let (mut decoder, bytes, mut turn) = (Decoder::new(Limits::default()), [response("OK"), other], 0);
    bencher.counter(BytesCount::new(bytes[0].len())).bench_local(|| {
        turn = 1 - turn;
        decode(&mut decoder, black_box(&bytes[turn]), |response| response.status)
    });
}

/// Latencies between 1 and 9 ms, none like another.
fn samples(count: u64) -> Samples {
    let mut samples = Samples::new();
    (0..count).for_each(|number| samples.record(Duration::from_nanos(1_000_000 + number * 7919 % 8_000_000)));
    samples
}

#[divan::bench]
fn merge_histograms(bencher: Bencher<'_, '_>) {
    let (mut whole, part) = (samples(100_000), samples(100_000));
    bencher.bench_local(|| whole.merge(black_box(&part)));
}

#[divan::bench]
fn record_and_summarise_a_million_samples() -> impl Sized {
    samples(black_box(1_000_000)).summary()
}

#[divan::bench]
fn summarise_a_million_samples(bencher: Bencher<'_, '_>) {
    let million = samples(1_000_000);
    bencher.bench_local(|| black_box(&million).summary());
}

/// One operation of the throughput scenario: its request, the server's answer, and its judgement.
#[divan::bench]
fn scenario_step(bencher: Bencher<'_, '_>) {
    let scenario = StepsScenario::new(&declared::throughput()).expect("steps");
    let mut client = scenario.client(Identity { index: 0, clients: 1, seed: 0 });
    let at = Moment { phase: Phase::Measured, now: Instant::now(), since_start: Duration::ZERO };
    let (mut request, mut decoder) = (Vec::new(), Decoder::new(Limits::default()));
    let mut operations = 0;
    let mut step = move || {
        request.clear();
        match client.next(&at, &mut request) {
            Next::Send(step) => {
                let answer = match step {
                    Step(0) => response(r#"{"id":1,"token":"t1"}"#),
                    Step(_) => {
                        operations += 1;
                        response(&format!(r#"{{"operation":"op-0-{operations}","committed":true}}"#))
                    }
                };
                let outcome = decode(&mut decoder, &answer, |response| client.receive(&at, step, response));
                assert!(outcome.is_ok(), "{outcome:?}");
            }
            Next::Ready => {}
            other => panic!("{other:?}"),
        }
    };
    // Registers, and is ready.
    (0..2).for_each(|_| step());
    bencher.bench_local(step);
}

fn main() {
    divan::main();
}
