//! The rate of requests at which a probe no longer keeps its timeout. Main function: [`margin_by_rate`].

use std::time::Duration;

use e2e_kubelet::{diagnosis::RateMargin, observation::Observation};
use tokio::time::{Instant, sleep, timeout};

use super::{Case, count, lab::exchange};
use crate::probe::{Prepared, Profile, Target};

/// A load that every app carries.
const FIRST: f64 = 20.0;
/// More than one machine asks of itself for a probe's sake.
const HIGHEST: f64 = 20_000.0;
/// So often the distance between the rates around the end is halved: what is left is 9% (2^(1/8)).
const HALVINGS: usize = 3;
/// An app that serves less than this share of what was asked for cannot be asked for more.
const SERVED: f64 = 0.9;
/// One failure may be an accident.
const FAILURES: usize = 2;
/// From one probe to the next: a dozen in a step of a few seconds.
const PAUSE: Duration = Duration::from_millis(150);
/// How long an app may take to recover from a step, and so many probes have to succeed then.
const RECOVERY: (Duration, usize) = (Duration::from_secs(15), 3);

/// What one step came to.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    /// Requests per second that were asked for,
    asked: f64,
    /// and those that were answered well.
    served: f64,
    failures: usize,
}

impl Step {
    fn is_breach(&self) -> bool {
        self.failures >= FAILURES
    }
}

/// Sends a probe of HTTP beside a load that grows from step to step, and stops at the first step in which it fails; then it narrows the
/// rate down between that step and the last good one. `load` makes a load of so many requests per second and says how many were answered
/// well. `None` where the probe is not of HTTP, or does not succeed at rest.
///
/// # Errors
///
/// Those of `load`.
pub async fn margin_by_rate<L, E>(
    case: &Case,
    target: &Target,
    profile: &Profile,
    mut load: impl FnMut(f64) -> L,
) -> Result<Option<RateMargin>, E>
where
    L: Future<Output = Result<f64, E>>,
{
    let within = case.probe.timeout;
    let Ok(prepared) = Prepared::of_probe(&case.probe.action, target, within, profile).await else { return Ok(None) };
    let mut steps: Vec<Step> = Vec::new();
    while let Some(asked) = next(&steps) {
        if !recovers(target, &prepared, within, RECOVERY, PAUSE, |_| ()).await {
            break;
        }
        let running = load(asked);
        let mut running = std::pin::pin!(running);
        let mut failures = 0;
        let served = loop {
            let probe = async {
                let answer = exchange(target, prepared.clone(), within).await;
                sleep(PAUSE).await;
                answer
            };
            tokio::select! {
                served = running.as_mut() => break served?,
                answer = probe => failures += usize::from(!answer.success()),
            }
        };
        steps.push(Step { asked, served, failures });
    }
    Ok(outcome(&steps))
}

/// Waits until the probe succeeds several times in a row.
pub(super) async fn recovers(
    target: &Target,
    prepared: &Prepared,
    within: Duration,
    (limit, wanted): (Duration, usize),
    pause: Duration,
    mut note: impl FnMut(&Observation),
) -> bool {
    let deadline = Instant::now() + limit;
    let mut in_a_row = 0;
    while in_a_row < wanted && Instant::now() < deadline {
        let Ok(answer) = timeout(limit, exchange(target, prepared.clone(), within)).await else { return false };
        note(&answer);
        in_a_row = if answer.success() { in_a_row + 1 } else { 0 };
        sleep(pause).await;
    }
    in_a_row == wanted
}

/// The last good rate and the lowest bad one.
fn bracket(steps: &[Step]) -> (Option<f64>, Option<f64>) {
    let fails = steps.iter().filter(|step| step.is_breach()).map(|step| step.asked).reduce(f64::min);
    let below = |step: &&Step| !step.is_breach() && fails.is_none_or(|fails| step.asked < fails);
    (steps.iter().filter(below).map(|step| step.asked).reduce(f64::max), fails)
}

/// The rate of the next step; nothing when the end is known well enough, or there is none to be found.
fn next(steps: &[Step]) -> Option<f64> {
    let Some(last) = steps.last() else { return Some(FIRST) };
    match bracket(steps) {
        (Some(holds), Some(fails)) => {
            let first = steps.iter().position(Step::is_breach)?;
            (steps.len() - 1 - first < HALVINGS).then(|| (holds * fails).sqrt())
        }
        (Some(holds), None) => (last.served >= SERVED * last.asked && holds * 2.0 <= HIGHEST).then_some(holds * 2.0),
        (None, _) => None,
    }
}

fn outcome(steps: &[Step]) -> Option<RateMargin> {
    let (holds_per_second, fails_per_second) = bracket(steps);
    let served = steps.iter().map(|step| step.served).reduce(f64::max)?;
    Some(RateMargin { holds_per_second, fails_per_second, most_served_per_second: served, steps: count(steps.len()) })
}

#[cfg(test)]
mod tests {
    use probed::{Reply, Server, response};
    use rstest::rstest;

    use super::*;
    use crate::doctor::tests::{POD, case};

    /// The steps of a search against a probe that fails from `fails` requests per second on, of an app that serves `serves` at most.
    fn searched(fails: f64, serves: f64) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some(asked) = next(&steps) {
            let failures = if asked >= fails { FAILURES } else { FAILURES - 1 };
            steps.push(Step { asked, served: asked.min(serves), failures });
        }
        steps
    }

    #[rstest]
    #[case(30.0)]
    #[case(777.0)]
    #[case(9_000.0)]
    fn the_end_lies_between_two_rates_that_are_close(#[case] fails: f64) {
        let steps = searched(fails, f64::MAX);
        let (Some(holds), Some(above)) = bracket(&steps) else { panic!("{steps:?}") };
        assert!(holds < fails && fails <= above && above / holds < 1.1, "{holds} {fails} {above}");
        assert!(steps.len() <= 14, "{steps:?}");
    }

    #[test]
    fn nothing_is_asked_beyond_what_an_app_serves_or_a_bound() {
        let steps = searched(f64::MAX, 100.0);
        assert_eq!(steps.iter().map(|step| step.asked).collect::<Vec<_>>(), [20.0, 40.0, 80.0, 160.0]);
        assert_eq!(bracket(&steps), (Some(160.0), None));
        assert!(searched(f64::MAX, f64::MAX).iter().all(|step| step.asked <= HIGHEST));
        assert_eq!(searched(10.0, f64::MAX).len(), 1, "what fails at once is not asked for less");
    }

    /// An app whose probe takes three milliseconds for each request per second.
    #[tokio::test]
    async fn a_probe_is_sent_beside_each_step() {
        let rate = std::sync::Arc::new(std::sync::Mutex::new(0.0));
        let seen = std::sync::Arc::clone(&rate);
        let server = Server::start(move |_| {
            Reply::After(Duration::from_secs_f64(*seen.lock().unwrap() * 3.0 / 1000.0), response(200, "OK"))
        })
        .await;
        let (case, target) = (case(&[], Duration::from_millis(300)), Target::new(POD, 8000, server.address));
        let profile = Profile::default();
        let found = margin_by_rate(&case, &target, &profile, |asked| {
            let rate = std::sync::Arc::clone(&rate);
            async move {
                *rate.lock().unwrap() = asked;
                sleep(Duration::from_secs(1)).await;
                *rate.lock().unwrap() = 0.0;
                Ok::<f64, ()>(asked)
            }
        });
        let found = found.await.unwrap().expect("a probe of HTTP");
        // A busy machine may make it late sooner.
        assert!(found.holds_per_second.is_none_or(|holds| holds < 100.0), "{found:?}");
        assert!(found.fails_per_second.is_some_and(|fails| fails <= 160.0), "{found:?}");
    }
}
