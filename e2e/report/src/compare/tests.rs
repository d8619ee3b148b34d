//! Comparisons of reports whose figures are set by hand.

use e2e_figures::{
    Second,
    scenario::{ScenarioResult, Thresholds},
    stats::Summary,
};

use super::*;
use crate::{
    report::ScenarioSection,
    run_data::Source,
    testing::{declare, quiet},
};

/// A report of a run of 4 whole seconds with these operations in each, and this 99th percentile.
fn report(target: &str, verdict: &str, each_second: [u64; 4], p99: f64) -> Report {
    let series = each_second.map(|succeeded| Second { succeeded, ..Second::default() }).to_vec();
    let latency = Summary { count: 1, min: 1.0, mean: 2.0, p50: 2.0, p90: 3.0, p99, p999: p99, max: p99 };
    let mut data = quiet();
    declare(&mut data, "order", Thresholds::default());
    let figures = ScenarioResult {
        name: "order".to_owned(),
        duration_ms: 4000,
        rate_per_second: Some(each_second.iter().sum::<u64>() as f64 / 4.0),
        latency_ms: Some(latency),
        series,
        ..ScenarioResult::default()
    };
    let source = Source { record: String::new(), load: None };
    Report {
        run_id: format!("{target}-{p99}"),
        target: target.parse().unwrap(),
        verdict: serde_json::from_value(verdict.into()).unwrap(),
        findings: Vec::new(),
        scenarios: vec![ScenarioSection {
            figures,
            source,
            expected: None,
            bottleneck: None,
            probes: Vec::new(),
            faults: Vec::new(),
        }],
        ..Report::new(&data)
    }
}

fn side(name: &str, reports: &[Report]) -> (String, Vec<Report>) {
    (name.to_owned(), reports.to_vec())
}

fn figure<'a>(comparison: &'a Comparison, name: &str) -> &'a Figure {
    comparison.rows.iter().flat_map(|row| &row.figures).find(|figure| figure.name == name).unwrap()
}

#[test]
fn a_difference_is_told_from_noise() {
    let docker = [report("docker", "pass", [100; 4], 10.0), report("docker", "pass", [102; 4], 14.0)];
    let k8s = [report("k8s", "pass", [200; 4], 11.0), report("k8s", "fail", [202; 4], 13.0)];
    let comparison = Comparison::new(&[side("docker", &docker), side("k8s", &k8s)]).unwrap();
    assert_eq!(comparison.verdict, Verdict::Fail);

    // Means 101 and 201, standard errors 1 and 1, 2 degrees of freedom: 100 ± 9.925 * sqrt(2), as shares of 101.
    let [rate] = figure(&comparison, "order: requests/s").differences.as_slice() else { panic!("one other side") };
    assert_eq!((rate.judgement, rate.noise, rate.relative), (Significance::Larger, Noise::Runs, Some(0.990099)));
    let [low, high] = rate.relative_interval.unwrap();
    assert!((low - 0.85113).abs() < 1e-5 && (high - 1.12907).abs() < 1e-5, "{low} {high}");
    assert_eq!(figure(&comparison, "order: latency p99 ms").differences[0].judgement, Significance::Within);
    assert_eq!(figure(&comparison, "order: errors").differences[0].judgement, Significance::Same);

    let page = render(&comparison, "../../runs");
    assert!(page.contains("order: requests/s 99.0% more (85.1% more to 112.9% more) on k8s"), "{page}");
    assert!(page.contains("| Results | order 101 requests/s, p99 12.0 ms, 0 errors | order 201 requests/s"), "{page}");
    assert!(page.contains("[k8s-13](../../runs/k8s-13/report.md)"), "{page}");
}

#[test]
fn runs_that_were_made_in_turns_are_judged_as_pairs() {
    let machine = [100, 140, 90, 120, 80, 130];
    let runs = |target: &str, loss: u64, order: [usize; 2]| -> Vec<Report> {
        let run = |(round, speed): (usize, u64)| {
            // Every second round runs backwards.
            let started_at = format!("2026-11-28T10:{:02}:{:02}Z", round, order[round % 2]);
            Report { started_at, ..report(target, "pass", [speed - loss - round as u64 % 2; 4], 10.0) }
        };
        machine.into_iter().enumerate().map(run).collect()
    };
    let (docker, k8s) = (runs("docker", 0, [0, 30]), runs("k8s", 5, [30, 0]));
    let rate = |docker: &[Report]| {
        let comparison = Comparison::new(&[side("docker", docker), side("k8s", &k8s)]).unwrap();
        let rate = &figure(&comparison, "order: requests/s").differences[0];
        (rate.judgement, rate.noise, render(&comparison, "").contains("The runs alternated"))
    };
    assert_eq!(rate(&docker), (Significance::Larger, Noise::Pairs, true));
    let one_after_the_other: Vec<Report> =
        docker.iter().map(|run| Report { started_at: run.started_at.replace("T10", "T09"), ..run.clone() }).collect();
    assert_eq!(rate(&one_after_the_other), (Significance::Within, Noise::Runs, false));
}

#[test]
fn one_run_of_each_has_only_the_noise_within_it() {
    let one = [report("local", "pass", [100, 102, 98, 100], 10.0)];
    let other = [report("local", "pass", [300, 302, 298, 300], 11.0)];
    let comparison = Comparison::new(&[side("a", &one), side("b", &other)]).unwrap();
    let rate = &figure(&comparison, "order: requests/s").differences[0];
    assert_eq!((rate.judgement, rate.noise), (Significance::Larger, Noise::Stretches));
    let latency = &figure(&comparison, "order: latency p99 ms").differences[0];
    assert_eq!(
        (latency.judgement, latency.relative, latency.relative_interval),
        (Significance::Unknown, Some(0.1), None)
    );
    assert!(
        render(&comparison, "").contains("unknown, a single run cannot show noise: order: latency p99 ms 10.0% more")
    );
}

#[test]
fn what_a_side_did_not_measure_has_no_difference() {
    let one = report("local", "pass", [100; 4], 10.0);
    let other = Report { scenarios: Vec::new(), ..one.clone() };
    let page = render(&Comparison::new(&[side("a", &[one]), side("b", &[other])]).unwrap(), "");
    assert!(page.contains("| order: requests/s | 100 | not measured | - | not measured |"), "{page}");
}

#[test]
fn what_else_differs_is_said() {
    let one = report("local", "pass", [100; 4], 10.0);
    let mut other = one.clone();
    let scenario = other.request.scenarios.get_mut("order").unwrap();
    (scenario.clients, scenario.rate) = (5, Some(100.0));
    scenario.warm_up = std::time::Duration::from_secs(1);
    scenario.timeout = std::time::Duration::from_secs(9);
    scenario.host = Some("another".to_owned());
    other.request.overlays = vec!["slow".to_owned()];
    let comparison = Comparison::new(&[side("a", std::slice::from_ref(&one)), side("b", &[other])]).unwrap();
    let unlike = comparison.unlike.join("; ");
    assert_eq!(
        unlike,
        "clients of order: 40 and 5; rate of order: 100 per second, uniform and as fast as answers come; warm-up of order: 0 ms and \
         1.0 s; timeout of a request of order: 5.0 s and 9.0 s; steps of order: version 1 and version 2; changes to the manifests: none \
         and slow"
    );
}

#[test]
fn one_side_shows_its_spread_and_none_is_nothing() {
    let runs = [report("local", "pass", [100; 4], 10.0), report("local", "pass", [104; 4], 10.0)];
    let comparison = Comparison::new(&[side("local", &runs)]).unwrap();
    let page = render(&comparison, "");
    assert!(
        page.contains("| order: requests/s | 102 (100 to 104) |\n") && !page.contains("larger than the noise"),
        "{page}"
    );
    assert_eq!(Comparison::new(&[]), None);
    assert_eq!(Comparison::new(&[side("a", &runs), side("b", &[])]), None);
}

fn finding(code: Code, severity: Severity, component: Option<&str>, claim: &str, evidence: &str) -> Finding {
    Finding {
        code,
        severity,
        component: component.map(str::to_owned),
        claim: claim.to_owned(),
        evidence: vec![evidence.to_owned()],
        fix: String::new(),
        excerpt: None,
    }
}

#[test]
fn findings_are_counted_by_run_and_told_apart_by_what_they_are_about() {
    let line = |claim: &str, figure: &str| {
        finding(Code::ThresholdCrossed, Severity::Error, None, claim, &format!("results/a.json#/measured/{figure}"))
    };
    let readiness = |pod: &str| {
        let place = format!("evidence/pods.json#/pods/{pod}/containers/0/probes/readiness");
        finding(Code::ProbeFailing, Severity::Error, Some("app"), &format!("5 probes to {pod} failed"), &place)
    };
    let mut liveness = readiness("app-0");
    liveness.evidence = vec!["evidence/pods.json#/pods/app-0/containers/0/probes/liveness".to_owned()];
    let gap = finding(Code::NotMeasured, Severity::Gap, None, "the test t left no record", "junit.xml");
    let mut runs = [
        report("local", "fail", [100; 4], 10.0),
        report("local", "fail", [100; 4], 11.0),
        report("local", "fail", [100; 4], 12.0),
    ];
    runs[0].findings = vec![line("p99 is 7", "p99"), line("errors are 3", "errors"), gap];
    runs[1].findings = vec![readiness("app-0"), liveness, line("p99 is 8", "p99"), line("errors are 4", "errors")];
    runs[2].findings = vec![
        finding(Code::OomKilled, Severity::Error, Some("app"), "killed", "evidence/pods.json"),
        readiness("app-1"),
        finding(Code::CpuThrottled, Severity::Warning, Some("app"), "held back", "evidence/throttling.json"),
    ];
    let comparison = Comparison::new(&[side("local", &runs)]).unwrap();
    let found: Vec<(Code, &str, usize)> =
        comparison.sides[0].findings.iter().map(|found| (found.code, found.claim.as_str(), found.runs)).collect();
    assert_eq!(
        found,
        [
            (Code::OomKilled, "killed", 1),
            (Code::ProbeFailing, "5 probes to app-0 failed", 1),
            (Code::ProbeFailing, "5 probes to app-0 failed", 2),
            (Code::ThresholdCrossed, "errors are 3", 2),
            (Code::ThresholdCrossed, "p99 is 7", 2),
            (Code::NotMeasured, "the test t left no record", 1),
        ]
    );
    let page = render(&comparison, "");
    assert!(page.contains("| local | 2 of 3 | threshold-crossed |  | p99 is 7 |  |"), "{page}");
}
