//! How often chance gets a name: the whole search against servers that fail at random, whatever they are asked.

use std::sync::{Mutex, PoisonError};

use e2e_figures::Random;
use e2e_kubelet::{
    diagnosis::{Cause, Confidence},
    observation::{Kind, Observation, Verdict},
};

use super::{POD, case};
use crate::{
    doctor::{examine, lab::Lab},
    probe::{Profile, Target},
};

/// With each way to fail, at all rates.
const EXAMINATIONS: u64 = 6000;

fn answer(status: u16) -> Observation {
    let (verdict, message) = match status {
        200 => (Verdict::Success, String::new()),
        _ => (Verdict::Failure, format!("HTTP probe failed with statuscode: {status}")),
    };
    Observation { status: Some(status), ..Observation::new(verdict, Kind::Response, message) }
}

// A successful probe is repeated for a second, which need not pass.
#[tokio::test(start_paused = true)]
async fn a_server_that_fails_at_random_is_flaky_and_nothing_else() {
    let mut case = case(&[], std::time::Duration::from_secs(1));
    case.known.paths = vec!["/ready".to_owned()];
    let target = Target::new(POD, 8000, ([127, 0, 0, 1], 9).into());
    let profile = Profile::default();
    let (mut named, mut flaky) = (Vec::new(), 0);
    for examination in 0..EXAMINATIONS {
        let mut luck = Random::seeded(examination);
        let rate = luck.fraction();
        let status = [400, 401, 403, 404, 500, 503][usize::try_from(luck.number() % 6).unwrap()];
        let luck = Mutex::new(luck);
        let server = |_: &_| {
            let mut luck = luck.lock().unwrap_or_else(PoisonError::into_inner);
            answer(if luck.fraction() < rate { status } else { 200 })
        };
        let mut lab = Lab::new(&case, &target, &profile).await.unwrap();
        lab.simulated = Some(&server);
        // The same coins each time: of 120,000 examinations one named a false cause, so one run of the test in twenty would.
        lab.coin = Random::seeded(EXAMINATIONS + examination);
        let diagnosis = examine(lab).await;
        flaky += u32::from(diagnosis.cause == Some(Cause::Flaky));
        // Where 99 of 100 fail, all of an examination's requests may: that everyone gets the same is then what was seen.
        let is_named = rate < 0.99 && !matches!(diagnosis.cause, None | Some(Cause::Flaky));
        if is_named || diagnosis.confidence == Confidence::Proven {
            named.push(format!(
                "{examination}: {status} at {rate}: {:?}, {}",
                diagnosis.confidence, diagnosis.explanation
            ));
        }
    }
    assert_eq!(named, [] as [String; 0], "of {EXAMINATIONS}");
    assert!(flaky > EXAMINATIONS as u32 * 3 / 4, "{flaky} of {EXAMINATIONS}");
}
