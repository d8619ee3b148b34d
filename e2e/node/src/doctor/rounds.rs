//! The number of tests that a claim needs, and the pattern of a series of equal requests. Pure; derived in `docs/doctor.md`. Main
//! items: [`sides`], [`pattern`].

use e2e_figures::Random;

/// The number of consecutive requests that must match a claim; a fair coin picks the side of each. A server that ignores the change
/// matches each with a probability of at most one half, at any rate or order of failures: 2^-14 < 1/10,000.
pub(super) const FLIPS: usize = 14;
/// The minimum number of requests for each side, so that the change is reversed and repeated.
const EACH: usize = 4;
/// The number of equal failures for a claim about every client. An app that accepts one request in a hundred fails that often in a row
/// with a probability of 0.99^917 < 1/10,000. To a kubelet, an app that accepts fewer is one that refuses all.
pub(super) const ALIKE: usize = 917;
/// The same for an app that answers too slowly for [`ALIKE`] of them: one that accepts one request in twenty fails that often in a row with a
/// probability of 0.95^180 < 1/10,000.
pub(super) const ALIKE_OF_SLOW: usize = 180;
/// The number of equal failures for a claim that each answer shows by itself, for example that the port speaks SSH. An app that accepts
/// one request in five fails that often in a row with a probability of 0.8^42 < 1/10,000.
pub(super) const SEEN: usize = 42;
/// The number of failures, then of successes, that distinguishes a start from chance: (1/2)^7 each, 2^-14 at the worst rate.
pub(super) const STARTED: usize = FLIPS / 2;

/// One side of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The request that fails.
    Fails,
    /// The request that succeeds.
    Succeeds,
}

/// A fair coin, another one for each examination: no server may follow its order by accident, for example every other request.
pub(super) fn coin() -> Random {
    Random::seeded(getrandom::u64().unwrap_or_else(|_| std::process::id().into()))
}

/// The random order of a claim's sides.
pub(super) fn sides(coin: &mut Random) -> Vec<Side> {
    let mut sides = Vec::with_capacity(FLIPS);
    let count = |sides: &[Side], wanted| sides.iter().filter(|side| **side == wanted).count();
    while sides.len() < FLIPS || count(&sides, Side::Fails) < EACH || count(&sides, Side::Succeeds) < EACH {
        sides.push(if coin.number() & 1 == 0 { Side::Fails } else { Side::Succeeds });
    }
    sides
}

/// The pattern of the answers to equal requests, `true` for a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// All equal.
    Steady,
    /// It failed, then succeeded.
    Recovered {
        /// The number of failures.
        failures: usize,
        /// The number of successes.
        successes: usize,
    },
    /// It alternates. A rate limit looks different: it accepts few requests, each long after the last.
    Wavers,
    /// It succeeded and then failed every time: a limit, or a new failure.
    Unclear,
}

/// The pattern of a series. A failure followed by a success twice, or by two successes in a row, does not count as recovery.
pub(super) fn pattern(series: &[bool]) -> Pattern {
    let Some(first_failure) = series.iter().position(|success| !success) else { return Pattern::Steady };
    let Some(first_success) = series.iter().position(|success| *success) else { return Pattern::Steady };
    let after = &series[first_success..];
    if first_failure == 0 && after.iter().all(|success| *success) {
        return Pattern::Recovered { failures: first_success, successes: after.len() };
    }
    let returns = series.windows(2).filter(|pair| !pair[0] && pair[1]).count();
    let last_failure = series.iter().rposition(|success| !success).unwrap_or_default();
    let twice = series[first_failure..].windows(2).any(|pair| pair[0] && pair[1]);
    let failed_again = last_failure > first_success;
    match failed_again && (returns >= 2 || returns == 1 && twice) {
        true => Pattern::Wavers,
        false => Pattern::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    /// Whether a claim passes for a server that answers `outcome(n)` to its nth request, independent of the side.
    fn holds(coin: &mut Random, mut outcome: impl FnMut(usize) -> bool) -> bool {
        sides(coin).into_iter().enumerate().all(|(n, side)| outcome(n) == (side == Side::Succeeds))
    }

    #[test]
    fn the_chance_of_a_false_claim_is_below_one_in_ten_thousand() {
        assert!(0.5_f64.powi(FLIPS as i32) < 1e-4);
        assert!(0.99_f64.powi(ALIKE as i32) < 1e-4);
        assert!(0.95_f64.powi(ALIKE_OF_SLOW as i32) < 1e-4);
        assert!(0.8_f64.powi(SEEN as i32) < 1e-4);
        assert!(0.5_f64.powi(2 * STARTED as i32) < 1e-4);
    }

    /// A million claims about servers that fail at random, and in every order of up to twelve requests that repeats itself: as many of
    /// them pass as 2^-14 says, 61 in a million, and never more than 100.
    #[test]
    fn servers_that_pay_no_heed_are_found_out() {
        const CLAIMS: u32 = 1_000_000;
        let mut coin = Random::seeded(7);
        let mut luck = Random::seeded(11);
        let mut passed = 0;
        for claim in 0..CLAIMS {
            passed += u32::from(match claim % 2 {
                0 => {
                    let rate = luck.number();
                    holds(&mut coin, |_| luck.number() > rate)
                }
                _ => {
                    let (order, period) = (luck.number(), 2 + usize::try_from(luck.number() % 11).unwrap());
                    holds(&mut coin, |n| order >> (n % period) & 1 == 0)
                }
            });
        }
        assert!(passed < 100, "{passed} of {CLAIMS}");
    }

    #[test]
    fn a_claim_that_is_true_holds() {
        let mut coin = Random::seeded(3);
        for _ in 0..1000 {
            let order = sides(&mut coin);
            let fails = order.iter().filter(|side| **side == Side::Fails).count();
            assert!(order.len() >= FLIPS && fails >= EACH && order.len() - fails >= EACH, "{order:?}");
        }
    }

    #[rstest]
    #[case("", Pattern::Steady)]
    #[case("FFF", Pattern::Steady)]
    #[case("SSS", Pattern::Steady)]
    #[case("FFSSS", Pattern::Recovered { failures: 2, successes: 3 })]
    #[case("FSFS", Pattern::Wavers)]
    #[case("FSSF", Pattern::Wavers)]
    #[case("FFFFSFFFFSFF", Pattern::Wavers)]
    #[case("SFSS", Pattern::Wavers)]
    // A limit: some are let through, then none, or one now and then.
    #[case("SSSFFFFFF", Pattern::Unclear)]
    #[case("SFFFFFSFF", Pattern::Unclear)]
    #[case("FFFSFFFFF", Pattern::Unclear)]
    fn a_series_is_read(#[case] series: &str, #[case] expected: Pattern) {
        let series: Vec<bool> = series.chars().map(|c| c == 'S').collect();
        assert_eq!(pattern(&series), expected);
    }

    proptest! {
        #[test]
        fn what_never_changes_does_not_waver(success: bool, count in 0_usize..50) {
            prop_assert_eq!(pattern(&vec![success; count]), Pattern::Steady);
        }
    }
}
