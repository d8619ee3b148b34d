//! Simulated histories: what is found in them, how soon, and what is not.

use super::*;

/// The figures of runs at these levels, with this noise; every tenth or so varies three times as much where `spiky`.
fn history(levels: &[(usize, f64)], noise: f64, spiky: bool, seed: u64) -> Vec<f64> {
    let mut random = Random::new(seed, 1);
    let run = |level: f64| {
        let normal = random.normal();
        let wild = if spiky && random.fraction() < 0.1 { 3.0 } else { 1.0 };
        level * (noise * wild * normal).exp()
    };
    levels.iter().flat_map(|(runs, level)| vec![*level; *runs]).map(run).collect()
}

#[test]
fn stable_histories_have_hardly_a_change() {
    for spiky in [false, true] {
        let found: usize = (0..100).map(|seed| changes(&history(&[(100, 1000.0)], 0.03, spiky, seed)).len()).sum();
        // At an error of 2% in each two are expected; 7 would be more than three standard deviations above that.
        assert!(found <= 6, "{found} in 100 histories of 100 runs");
    }
}

#[test]
fn a_history_that_is_looked_at_after_each_run_has_at_most_one_false_change() {
    for seed in 0..5 {
        let history = history(&[(100, 1000.0)], 0.03, false, seed);
        let mut seen: Vec<usize> =
            (8..=100).flat_map(|runs| changes(&history[..runs])).map(|change| change.at).collect();
        seen.dedup();
        assert!(seen.len() <= 1, "{seen:?}");
    }
}

#[test]
fn a_step_of_five_percent_is_found_within_ten_runs() {
    let found = (0..20u64).filter(|seed| {
        let history = history(&[(40, 1000.0), (10, 950.0)], 0.03, false, *seed);
        // Where it began is known to a few runs.
        let is_it = |change: &Change| change.at.abs_diff(40) <= 5 && (-0.09..-0.02).contains(&change.relative);
        (44..=50).any(|runs| changes(&history[..runs]).iter().any(is_it))
    });
    let found = found.count();
    assert!(found >= 18, "{found} of 20");
}

#[test]
fn several_steps_are_told_apart() {
    let found = changes(&history(&[(20, 100.0), (20, 80.0), (20, 100.0)], 0.02, false, 7));
    assert_eq!(found.iter().map(|change| change.at).collect::<Vec<_>>(), [20, 40]);
    assert!((found[0].relative + 0.2).abs() < 0.02 && (found[1].relative - 0.25).abs() < 0.02, "{found:?}");
}

#[test]
fn what_has_no_level_has_no_change() {
    assert!(changes(&[]).is_empty());
    assert!(changes(&[5.0; 40]).is_empty());
    // Of 8 runs, 2 of the 70 ways to part them in the middle are as clear as this one: 2.9%.
    assert!(changes(&[1.0, 1.1, 1.2, 1.3, 9.0, 9.1, 9.2, 9.3]).is_empty(), "chance does as well");
    let mut step = history(&[(20, 100.0), (20, 50.0)], 0.02, false, 5);
    assert_eq!(changes(&step).len(), 1);
    step[3] = 0.0;
    assert!(changes(&step).is_empty(), "0 has no ratio");
    // One slow run among many is no change.
    let mut slow = history(&[(30, 100.0)], 0.02, false, 3);
    slow[29] = 50.0;
    assert!(changes(&slow).is_empty());
}
