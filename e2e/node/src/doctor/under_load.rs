//! A probe that succeeds at rest and fails under load. Main function: [`diagnose_under_load`].

use std::{convert::Infallible, time::Duration};

use e2e_kubelet::{
    diagnosis::{Axis, Diagnosis, Fix, Flip, Trial},
    observation::Observation,
};
use tokio::time::sleep;

use super::{Case, Found, concluded, enough, fix, lab::exchange, rate::recovers, seconds, tried};
use crate::probe::{Prepared, Profile, Target};

/// The pause between probes: a dozen in a few seconds, without being a load itself.
const PAUSE: Duration = Duration::from_millis(200);
/// The timeout of every second request, as a multiple of the probe's, to measure how late the answer is.
const PATIENCE: u32 = 10;
/// The time for the app to finish its work after the load, and the number of probes that must succeed then.
const RECOVERY: (Duration, usize) = (Duration::from_secs(10), 3);
/// The minimum number of failures: one may be an accident.
const FAILURES: usize = 2;

/// Sends a probe of HTTP that succeeded `at_rest` again and again until `load` ends, and after that. `who` names the load: `40
/// clients sending GET /`. A probe that fails at rest keeps its diagnosis.
pub async fn diagnose_under_load(
    case: &Case,
    target: &Target,
    profile: &Profile,
    at_rest: Diagnosis,
    who: &str,
    load: impl Future<Output = ()>,
) -> Diagnosis {
    let prepared = Prepared::of_probe(&case.probe.action, target, case.probe.timeout, profile).await;
    let (true, Ok(prepared)) = (at_rest.success(), prepared) else { return at_rest };
    let mut busy = Busy { within: case.probe.timeout, ..Busy::default() };
    tokio::select! {
        // The probe in flight belongs to neither side.
        () = load => {}
        never = busy.probe(target, &prepared) => match never {},
    }
    let note = |answer: &Observation| busy.note("the probe after the load", answer);
    busy.recovered = recovers(target, &prepared, case.probe.timeout, RECOVERY, PAUSE, note).await;
    busy.judge(case, at_rest, who)
}

/// Observations under load and after it.
#[derive(Default)]
struct Busy {
    within: Duration,
    /// With the probe's timeout.
    strict: Vec<Observation>,
    /// With a longer timeout.
    patient: Vec<Observation>,
    trials: Vec<Trial>,
    recovered: bool,
}

impl Busy {
    /// Probes until the load ends.
    async fn probe(&mut self, target: &Target, prepared: &Prepared) -> Infallible {
        loop {
            let strict = exchange(target, prepared.clone(), self.within).await;
            self.note("the probe under load", &strict);
            self.strict.push(strict);
            let patient = exchange(target, prepared.clone(), self.within * PATIENCE).await;
            self.note("the probe under load, with a longer timeout", &patient);
            self.patient.push(patient);
            sleep(PAUSE).await;
        }
    }

    fn note(&mut self, change: &str, observation: &Observation) {
        self.trials.push(tried(change, observation));
    }

    fn judge(self, case: &Case, at_rest: Diagnosis, who: &str) -> Diagnosis {
        let failed: Vec<&Observation> = self.strict.iter().filter(|one| !one.success()).collect();
        let (sent, failures) = (self.strict.len(), failed.len());
        let slowest = self.patient.iter().map(Observation::took).max().unwrap_or_default();
        let rest = at_rest.observation.took().as_secs_f64();
        let mut evidence = at_rest.evidence;
        evidence.extend(self.trials);
        let (Some(first), true) = (failed.first().copied().cloned(), failures >= FAILURES) else {
            let explanation = format!("{failures} of {sent} probes failed under load ({who})");
            return Diagnosis { explanation, ..concluded(case, at_rest.observation, None, None, evidence) };
        };
        let comes_late = self.patient.iter().all(Observation::success) && slowest > self.within;
        if !(comes_late && self.recovered) {
            let explanation = format!(
                "of load: {failures} of {sent} probes failed under load ({who}), and {}",
                if self.recovered { "none without it" } else { "they keep failing after it" }
            );
            return Diagnosis { explanation, ..concluded(case, first, None, None, evidence) };
        }
        let explanation = format!(
            "the right answer takes up to {} under load ({who}), and {:.3} s at rest: {failures} of {sent} probes \
             failed with a timeout of {}",
            seconds(slowest),
            rest,
            seconds(self.within)
        );
        let enough = enough(slowest, self.within);
        let found = Found {
            flip: Some(Flip::new(Axis::Load, who, "no load")),
            confirmed: true,
            ..Found::too_slow(slowest, self.within, explanation)
        };
        let fix = fix::of(case, &found);
        let fix = Fix {
            summary: format!("{}; or reserve a worker of the app for probes", fix.summary),
            // Every request with the longer timeout succeeded, which is the patched probe.
            verified: Some(Duration::from_secs_f64(enough) <= self.within * PATIENCE),
            ..fix
        };
        concluded(case, first, Some(found), Some(fix), evidence)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        time::Instant as Clock,
    };

    use e2e_kubelet::diagnosis::Cause;
    use probed::{Reply, Server, response};
    use rstest::rstest;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        task::JoinSet,
    };

    use super::*;
    use crate::doctor::{
        diagnose,
        tests::{POD, case},
    };

    const CLIENTS: u32 = 40;
    /// How long the one worker is busy with a request.
    const WORK: Duration = Duration::from_millis(15);
    const WHO: &str = "40 clients";

    /// The requests that are waiting make each new one wait; `too_many` of them are turned away.
    async fn one_worker(too_many: Option<Duration>) -> Server {
        let free_at = Arc::new(Mutex::new(Clock::now()));
        Server::start(move |_| {
            let (mut free_at, now) = (free_at.lock().unwrap(), Clock::now());
            let waits = free_at.saturating_duration_since(now);
            if too_many.is_some_and(|limit| waits > limit) {
                return Reply::status(503, "");
            }
            *free_at = now.max(*free_at) + WORK;
            Reply::After(*free_at - now, response(200, "OK"))
        })
        .await
    }

    /// Clients that each ask again and again.
    async fn load(server: &Server, clients: u32) {
        let address = server.address;
        let mut asking = JoinSet::new();
        for _ in 0..clients {
            asking.spawn(async move {
                loop {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
                    stream.read_to_end(&mut Vec::new()).await.unwrap();
                }
            });
        }
        sleep(Duration::from_secs(4)).await;
    }

    async fn examine(server: &Server, clients: u32) -> Diagnosis {
        let case = case(&[], Duration::from_millis(300));
        let target = Target::new(POD, 8000, server.address);
        let profile = Profile::default();
        let at_rest = diagnose(&case, &target, &profile).await;
        diagnose_under_load(&case, &target, &profile, at_rest, WHO, load(server, clients)).await
    }

    #[tokio::test]
    async fn a_busy_worker_is_too_slow() {
        let found = examine(&one_worker(None).await, CLIENTS).await;
        assert_eq!((found.success(), found.cause, found.confirmed), (false, Some(Cause::TooSlow), true), "{found:#?}");
        let flip = Flip::new(Axis::Load, WHO, "no load");
        assert_eq!(found.flip, Some(flip));
        let fix = found.fix.unwrap();
        assert!(fix.patch.as_ref().is_some_and(|patch| patch.contains("timeoutSeconds: 1")), "{fix:?}");
        assert_eq!(fix.verified, Some(true));
    }

    #[rstest]
    #[case::turned_away(one_worker(Some(WORK * 2)), CLIENTS, false)]
    #[case::hardly_busy(one_worker(None), 2, true)]
    #[tokio::test]
    async fn no_cause_is_guessed(
        #[future]
        #[case]
        server: Server,
        #[case] clients: u32,
        #[case] success: bool,
    ) {
        let found = examine(&server.await, clients).await;
        assert_eq!((found.success(), found.cause), (success, None), "{found:#?}");
        assert!(found.explanation.contains(WHO), "{}", found.explanation);
    }
}
