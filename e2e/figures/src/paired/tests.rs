//! Simulated comparisons: how often they raise an alarm, what they find, and what they never say.

use super::*;
use crate::Random;

/// How a machine's speed varies from block to block.
#[derive(Debug, Clone, Copy)]
enum Noise {
    /// Independent and normal.
    Normal,
    /// Student's t with two degrees of freedom: no variance, stalls now and then.
    HeavyTails,
    /// Each block keeps 80% of the previous one's deviation, and the machine slows down by 0.2% per block.
    Drifting,
}

const NOISES: [Noise; 3] = [Noise::Normal, Noise::HeavyTails, Noise::Drifting];

/// The figures of a comparison of two scenarios: a rate, a median and a 99th percentile of each.
const FIGURES: usize = 6;

/// A machine whose blocks are measured one after the other.
struct Machine {
    random: Random,
    noise: Noise,
    /// Deviation of a block, as a share.
    deviation: f64,
    state: f64,
    blocks: f64,
}

impl Machine {
    fn new(noise: Noise, deviation: f64, seed: u64) -> Self {
        Self { random: Random::new(seed, 0), noise, deviation, state: 0.0, blocks: 0.0 }
    }

    /// The logarithm of how much faster than usual the next block is.
    fn block(&mut self) -> f64 {
        self.blocks += 1.0;
        let normal = self.random.normal();
        self.deviation
            * match self.noise {
                Noise::Normal => normal,
                Noise::HeavyTails => {
                    let exponential = -(1.0 - self.random.fraction()).ln();
                    normal / exponential.sqrt()
                }
                Noise::Drifting => {
                    self.state = 0.8 * self.state + 0.6 * normal;
                    self.state - 0.002 / self.deviation * self.blocks
                }
            }
    }

    /// The log-ratio of a group in which head's rate is `1 - loss` times base's.
    fn group(&mut self, loss: f64) -> f64 {
        let head_first = self.random.number() % 2 == 1;
        let rates: [f64; 4] = std::array::from_fn(|block| {
            let is_head = (block == 1 || block == 2) != head_first;
            self.block().exp() * if is_head { 1.0 - loss } else { 1.0 }
        });
        let (outer, inner) = ([Some(rates[0]), Some(rates[3])], [Some(rates[1]), Some(rates[2])]);
        let (base, head) = if head_first { (inner, outer) } else { (outer, inner) };
        log_ratio(base, head).expect("rates above 0")
    }

    /// One figure of a comparison that measures until it is settled, at most `most` groups.
    fn groups(&mut self, loss: f64, line: f64, most: usize) -> Vec<(usize, f64)> {
        let (mut groups, mut course) = (Vec::new(), Course::new(line, FIGURES));
        while course.settled.is_none() && groups.len() < most {
            // A suspicion is confirmed by systems that are brought up anew.
            groups.push((usize::from(course.suspicion.is_some()), self.group(loss)));
            let (bring_up, ratio) = groups[groups.len() - 1];
            course.push(bring_up, ratio);
        }
        groups
    }

    fn compare(&mut self, loss: f64, line: f64, most: usize) -> Judgement {
        judge(&self.groups(loss, line, most), Better::More, line, FIGURES)
    }

    fn verdict(&mut self, loss: f64, line: f64, most: usize) -> Verdict {
        let mut course = Course::new(line, FIGURES);
        self.groups(loss, line, most).iter().for_each(|(bring_up, ratio)| course.push(*bring_up, *ratio));
        course.verdict(Better::More)
    }
}

#[test]
fn alarms_without_a_difference_are_fewer_than_one_in_a_hundred_comparisons() {
    for noise in NOISES {
        for deviation in [0.01, 0.03, 0.08] {
            let alarms = (0..200u64).filter(|comparison| {
                let figure = |figure: u64| {
                    let mut machine = Machine::new(noise, deviation, 1000 * comparison + figure);
                    machine.verdict(0.0, 0.05, 60)
                };
                (0..FIGURES as u64).map(figure).any(|verdict| matches!(verdict, Verdict::Slower | Verdict::Faster))
            });
            let alarms = alarms.count();
            assert!(alarms <= 2, "{alarms} of 200 with {noise:?} noise of {deviation}");
        }
    }
}

/// Sixty groups of two scenarios fit into 20 minutes, and 24 into 8, with blocks of two seconds.
#[rstest::rstest]
#[case::five_percent(0.05, 60, 0.04)]
#[case::ten_percent(0.10, 24, 0.04)]
fn losses_are_found(#[case] loss: f64, #[case] groups: usize, #[case] deviation: f64) {
    for noise in NOISES {
        // Half of the blocks of either noise are then within about the same distance of their median.
        let deviation = if matches!(noise, Noise::HeavyTails) { deviation / 2.0 } else { deviation };
        let found = (0..20u64)
            .filter(|seed| Machine::new(noise, deviation, *seed).verdict(loss, 0.05, groups) == Verdict::Slower);
        let found = found.count();
        assert!(found >= 18, "{found} of 20 with {noise:?} noise");
    }
}

#[test]
fn nothing_is_the_same_that_could_hide_a_loss_beyond_the_line() {
    let mut said = 0;
    for noise in NOISES {
        for (deviation, seed) in
            [0.005, 0.02, 0.05, 0.1].iter().flat_map(|deviation| (0..50).map(move |seed| (*deviation, seed)))
        {
            let line = 0.05;
            let judged = Machine::new(noise, deviation, seed).compare(0.0, line, 40);
            if judged.verdict == Verdict::Same {
                said += 1;
                let [low, high] = judged.interval.expect("an interval");
                assert!(-line <= low && high <= line, "{judged:?}");
                assert!(judged.smallest_loss.expect("a loss") <= 2.0 * line, "{judged:?}");
            }
        }
    }
    assert!(said > 100, "{said} of 600");
}

#[test]
fn a_loss_beyond_the_line_is_never_the_same() {
    let same = |noise| {
        (0..200u64).filter(move |seed| Machine::new(noise, 0.02, *seed).verdict(0.06, 0.05, 60) == Verdict::Same)
    };
    let same = NOISES.into_iter().flat_map(same).count();
    // The intervals of one figure fail in at most 5% / 6 of comparisons, half of that on this side.
    assert!(same <= 3, "{same} of 600");
}

#[test]
fn a_difference_of_one_bring_up_is_no_alarm() {
    // The first systems differ by 10%, those that are brought up anew do not.
    let mut machine = Machine::new(Noise::Normal, 0.01, 1);
    let mut groups: Vec<(usize, f64)> = (0..15).map(|_| (0, machine.group(0.1))).collect();
    let suspected = judge(&groups, Better::More, 0.05, FIGURES);
    assert_eq!((suspected.verdict, suspected.settled), (Verdict::Unconfirmed, false));
    groups.extend((0..30).map(|_| (1, machine.group(0.0))));
    assert_ne!(judge(&groups, Better::More, 0.05, FIGURES).verdict, Verdict::Slower);
    // With the same difference once more it is one.
    groups.truncate(15);
    groups.extend((0..30).map(|_| (1, machine.group(0.1))));
    let confirmed = judge(&groups, Better::More, 0.05, FIGURES);
    assert_eq!((confirmed.verdict, confirmed.settled), (Verdict::Slower, true));
    assert!(confirmed.groups < 45, "nothing is measured beyond the confirmation: {confirmed:?}");
}

#[test]
fn directions_are_those_of_the_figure() {
    let groups: Vec<(usize, f64)> =
        (0..40).map(|group| (usize::from(group >= 20), 0.2 + 0.001 * f64::from(group % 7))).collect();
    let verdict = |better, sign: f64| {
        let groups: Vec<(usize, f64)> = groups.iter().map(|(of, ratio)| (*of, sign * ratio)).collect();
        judge(&groups, better, 0.05, 1).verdict
    };
    assert_eq!(verdict(Better::Less, 1.0), Verdict::Slower);
    assert_eq!(verdict(Better::Less, -1.0), Verdict::Faster);
    assert_eq!(verdict(Better::More, 1.0), Verdict::Faster);
    assert_eq!(verdict(Better::More, -1.0), Verdict::Slower);
}

#[test]
fn intervals_hold_the_truth_at_every_look() {
    for noise in NOISES {
        let missed = (0..200u64).filter(|seed| {
            let mut machine = Machine::new(noise, 0.03, *seed);
            let mut tests = [Evidence::default(); 2];
            (0..40).any(|_| {
                let beside_truth = machine.group(0.1) - 0.9f64.ln();
                tests[0].push(beside_truth);
                tests[1].push(-beside_truth);
                tests.iter().any(|test| test.log() >= -0.025f64.ln())
            })
        });
        let missed = missed.count();
        // 10 are expected at most; 20 would be more than three standard deviations above that.
        assert!(missed < 20, "{missed} of 200 with {noise:?} noise");
    }
}

#[test]
fn evidence_computed_by_hand() {
    // One log-ratio of 0.01: 2 / (1 + exp(-0.02 λ)) for each λ, and their mean.
    let by_hand = [1.01999, 1.03998, 1.07983, 1.15865, 1.30951, 1.56490, 1.85639, 1.98812];
    let mean = by_hand.iter().sum::<f64>() / 8.0;
    assert!((Evidence::of(&[0.01], 0.0).log().exp() - mean).abs() < 1e-3);
    // Five groups multiply to 32 at most, and one side at 5% needs 40.
    assert_eq!(interval(&[0.1; 5], 0.05), None);
    assert!(interval(&[0.1; 6], 0.05).is_some());
}

#[test]
fn what_was_not_measured_has_no_verdict() {
    assert_eq!(log_ratio([Some(1.0), Some(4.0)], [Some(2.0), Some(2.0)]), Some(0.0));
    assert_eq!(log_ratio([Some(1.0), None], [Some(2.0), Some(2.0)]), None);
    assert_eq!(log_ratio([Some(1.0), Some(0.0)], [Some(2.0), Some(2.0)]), None);
    let nothing = judge(&[], Better::More, 0.05, 1);
    assert_eq!((nothing.verdict, nothing.change, nothing.interval), (Verdict::NotMeasured, None, None));
}
