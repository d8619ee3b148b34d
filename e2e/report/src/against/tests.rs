//! Comparisons of blocks whose figures are set by hand.

use super::*;

/// One group of a scenario: base's and head's rate; latencies are their reciprocals.
fn group(number: usize, bring_up: usize, [base, head]: [f64; 2]) -> Vec<Block> {
    let block = |side, rate: f64| {
        let ms = 40_000.0 / rate;
        let latency = Summary { count: 1, min: ms, mean: ms, p50: ms, p90: ms, p99: 3.0 * ms, p999: ms, max: ms };
        Block {
            scenario: "order".to_owned(),
            group: number,
            bring_up,
            side,
            window_start_unix_ms: 0,
            requests: 1000,
            errors: u64::from(side == Side::Head && number == 0),
            rate_per_second: Some(rate),
            latency_ms: Some(latency),
            cpu_ms_per_request: [("app".to_owned(), 750.0 / rate), ("db".to_owned(), 250.0 / rate)].into(),
        }
    };
    let mirrored = number % 2 == 1;
    let sides = if mirrored {
        [Side::Head, Side::Base, Side::Base, Side::Head]
    } else {
        [Side::Base, Side::Head, Side::Head, Side::Base]
    };
    sides.into_iter().map(|side| block(side, if side == Side::Base { base } else { head })).collect()
}

fn blocks(groups: usize, bring_up: impl Fn(usize) -> usize, head: f64) -> Vec<Block> {
    // A machine whose speed wanders, and a head that is a little faster or slower in each group.
    let rates = |number: usize| {
        let speed = 1000.0 + 50.0 * (number as f64 * 0.7).sin();
        [speed, speed * head * (1.0 + 0.01 * (number as f64 * 2.3).sin())]
    };
    (0..groups).flat_map(|number| group(number, bring_up(number), rates(number))).collect()
}

fn against(blocks: Vec<Block>, ended: Ended) -> Against {
    let line = 0.05;
    let figures = figures(&watched("order", true, 1000, true), &blocks, line);
    let host = Host { cpus: 2, memory_bytes: 1, kernel: "Linux".to_owned() };
    let version = |name: &str, dirty| Version {
        name: name.to_owned(),
        commit: Some("0123456789abcdef0123".to_owned()),
        dirty,
        images: Vec::new(),
    };
    Against {
        schema: SCHEMA.to_owned(),
        verdict: overall(&figures),
        started_at: String::new(),
        took_ms: 90_000,
        ended,
        target: Target::Docker,
        provider: "an engine".to_owned(),
        host,
        base: version("main", false),
        head: version("working tree", true),
        line,
        block_ms: 2000,
        seed: 1,
        bring_ups: 1 + blocks.iter().map(|block| block.bring_up).max().unwrap_or_default(),
        figures,
        blocks,
    }
}

#[test]
fn a_loss_is_told_with_its_interval_once_it_is_confirmed() {
    let suspected = blocks(20, |_| 0, 0.9);
    let of = |blocks: &[Block]| figures(&watched("order", true, 1000, true), blocks, 0.05);
    assert_eq!(overall(&of(&suspected)), Verdict::Unconfirmed);
    assert!(needs_bring_up(&of(&suspected), &suspected, 0));
    assert!(!needs_bring_up(&of(&suspected), &suspected, 1), "others run already");

    let confirmed = against(blocks(40, |number| usize::from(number >= 20), 0.9), Ended::LossConfirmed);
    assert_eq!(confirmed.verdict, Verdict::Slower);
    let page = render(&confirmed);
    assert!(page.contains("# working tree against main\n\n**SLOWER** order: requests/s slower by 10.0% ("), "{page}");
    assert!(page.contains("order: latency p50 ms slower by 11.1% ("), "{page}");
    assert!(page.contains("order: CPU ms/request higher by 11.1% ("), "{page}");
    assert!(page.contains("| order | app | 0.748 | 0.827 | +10.5% |"), "{page}");
    assert!(page.contains("Requests failed: 0 of 80000 on base, 2 of 80000 on head."), "{page}");
    assert!(page.contains("commit 0123456789ab with uncommitted changes"), "{page}");
    assert!(page.contains("brought up 2 times"), "{page}");
}

#[test]
fn no_difference_names_the_line_of_each_figure() {
    let same = against(blocks(30, |_| 0, 1.0), Ended::Settled);
    assert_eq!(same.verdict, Verdict::Same, "{:?}", same.figures);
    let page = render(&same);
    let lines = "order requests/s 5.0%, order success share 5.0%, order latency p50 ms 5.0%, order latency p99 ms 20.0%, order CPU \
                 ms/request 5.0%.";
    assert!(page.contains(&format!("**NO DIFFERENCE** No figure differs by more than its line: {lines}")), "{page}");
    assert!(page.contains("| no difference larger than 5.0%; the change is between -"), "{page}");
}

#[test]
fn a_few_groups_say_that_they_are_few() {
    let few = against(blocks(3, |_| 0, 0.9), Ended::TimeLimit);
    assert_eq!(few.verdict, Verdict::Unstable);
    let page = render(&few);
    assert!(page.contains("unstable: too few groups for an interval | 3 | unknown, too few groups |"), "{page}");
    // A group that was cut off is none.
    let cut = blocks(3, |_| 0, 0.9).into_iter().take(11).collect();
    assert_eq!(against(cut, Ended::TimeLimit).figures[0].judgement.groups, 2);
}

#[test]
fn only_what_a_block_can_show_is_judged() {
    let kinds = |is_pressing, requests, has_cpu| -> Vec<Kind> {
        watched("order", is_pressing, requests, has_cpu).iter().map(|watched| watched.kind).collect()
    };
    assert_eq!(kinds(true, 1000, true), [Kind::Rate, Kind::Success, Kind::P50, Kind::P99, Kind::Cpu]);
    assert_eq!(kinds(false, 999, false), [Kind::Success, Kind::P50]);
    assert_eq!(overall(&[]), Verdict::NotMeasured);
}

#[test]
fn json_holds_all_of_it() {
    let against = against(blocks(8, |_| 0, 0.9), Ended::TimeLimit);
    let text = serde_json::to_string(&against).unwrap();
    let read: Against = serde_json::from_str(&text).unwrap();
    assert_eq!(read.figures, figures(&watched("order", true, 1000, true), &read.blocks, read.line));
}

/// Clients that pause say nothing by their rate, and what fails fast has no latency: only the share tells.
#[rstest::rstest]
#[case::half(1000, 500, Verdict::Slower)]
#[case::everything(1000, 1000, Verdict::Slower)]
#[case::a_few(1000, 20, Verdict::Same)]
fn a_head_that_fails_is_no_good(#[case] requests: u64, #[case] errors: u64, #[case] expected: Verdict) {
    let mut blocks = blocks(40, |number| number / 20, 1.0);
    for block in &mut blocks {
        block.errors = if block.side == Side::Head { errors } else { 0 };
        block.requests = requests;
        if block.errors == requests {
            (block.rate_per_second, block.latency_ms) = (None, None);
        }
    }
    let figures = figures(&watched("order", false, 0, false), &blocks, 0.05);
    assert_eq!(figures[0].judgement.verdict, expected, "{figures:?}");
    assert_eq!(overall(&figures) == Verdict::Slower, expected == Verdict::Slower);
}
