//! Experiments with time: a longer timeout, repeats until the app has started, and repeats that show flakiness.

use std::time::Duration;

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Flip},
    observation::{Kind, Observation, Verdict},
};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::{
    Found,
    fix::{Change, USUAL_START},
    lab::{Experiment, Lab, PROBE, Sends, exchange},
    protocol::control,
    rounds::{FLIPS, Pattern, STARTED},
    seconds,
};
use crate::{http::Route, probe::Prepared};

/// The pause before the next attempt when nothing listens.
const PAUSE: Duration = Duration::from_millis(80);
/// The number of timeouts for which an app must keep answering.
pub(super) const WATCHED: u32 = 5;
/// The same for one that has failed for a while, and how many times as long as it has failed: a supervisor restarts a crashing one again and
/// again.
const WATCHED_AFTER_FAILURES: u32 = 10;
const OUTLASTS: u32 = 4;
/// The most of it, unless [`WATCHED`] timeouts are longer.
pub(super) const WATCHED_AT_MOST: Duration = Duration::from_secs(30);
/// The longest silence before the last probe: a kubelet's usual period.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

impl Lab<'_> {
    /// Sends the probe. After its timeout, keeps waiting for the answer and meanwhile tries again, with some changes. The second
    /// observation is the first try's final outcome.
    pub(super) async fn probe_patiently(&mut self, prepared: &Prepared) -> (Observation, Option<Observation>) {
        if self.simulated.is_some() {
            return (self.first().await, None);
        }
        let (target, within) = (self.target.clone(), self.timeout());
        let first = exchange(&target, prepared.clone(), self.patience());
        let mut first = std::pin::pin!(first);
        if let Ok(observation) = timeout(within, first.as_mut()).await {
            self.note(Experiment::new(PROBE, prepared.clone()), observation.clone());
            return (observation, None);
        }
        let second = exchange(&target, prepared.clone(), within);
        // No time remains to try these later.
        let variants = self.silence_requests(prepared);
        let tried = async {
            let answers = join_all(variants.iter().map(|variant| self.exchange(&variant.sends, within))).await;
            let answered = variants.iter().zip(&answers).filter(|(_, answer)| answer.answered());
            let controls: Vec<Experiment> = answered.filter_map(|(variant, _)| control(variant)).collect();
            let controlled = join_all(controls.iter().map(|control| self.exchange(&control.sends, within))).await;
            (answers, controls, controlled)
        };
        let (late, in_time, (silence, controls, controlled)) = tokio::join!(first, second, tried);
        // Only the first answer was late, and it is the same failure: being slow is not the reason.
        let fails_alike = |answer: &Observation| answer.kind == Kind::Response && answer.status == late.status;
        let is_late = in_time.success() || !fails_alike(&in_time) || !fails_alike(&late);
        let followed = in_time.followed.clone();
        let missed = Observation { followed, ..missed(prepared, &late, within) };
        if is_late {
            self.note(Experiment::new(PROBE, prepared.clone()), missed.clone());
        }
        self.note(Experiment::new(PROBE, prepared.clone()), in_time.clone());
        self.note(patiently(prepared.clone().into()), late.clone());
        for (variant, answer) in variants.into_iter().zip(&silence).chain(controls.into_iter().zip(&controlled)) {
            self.note(variant, answer.clone());
        }
        if !is_late {
            // They were sent for an answer that was late, and not to explain this one.
            self.allowance += self.tried.len() - 1;
            return (in_time, None);
        }
        self.silence = silence;
        // The second try was in time, the first was not.
        let observation = if in_time.success() { missed } else { in_time };
        (observation, Some(late))
    }

    /// The right answer came after the timeout, and further tries within the timeout failed again.
    pub(super) async fn too_slow(&mut self, late: &Observation) -> Option<Found> {
        if self.wavering.is_some() || !late.answered() {
            return None;
        }
        // As many tries as time is left for.
        self.keeps_failing().await;
        if self.wavering.is_some() {
            return None;
        }
        let (timeout, took) = (self.timeout(), late.took());
        let text = format!("the right answer takes {}, but the probe waits only {}", seconds(took), seconds(timeout));
        Some(Found::too_slow(took, timeout, text))
    }

    /// The app refuses to serve, and says so only after the timeout: a longer one does not help.
    pub(super) async fn refused_late(&mut self, probe: Sends, late: &Observation) -> Option<Found> {
        let refuses = |answer: &Observation| {
            answer.status == Some(503) || matches!(answer.grpc.as_deref(), Some("NOT_SERVING" | "UNKNOWN"))
        };
        if !refuses(late) || self.wavering.is_some() {
            return None;
        }
        let patient = patiently(probe);
        let mut refused = 1;
        // An app with few workers answers only some at once.
        for _ in 0..2 {
            let requests = (refused..FLIPS).map(|_| self.exchange(&patient.sends, self.patience()));
            for answer in join_all(requests).await {
                self.note(patient.clone(), answer.clone());
                let is_silent = answer.kind == Kind::Timeout;
                if !is_silent && !refuses(&answer) {
                    return None;
                }
                refused += usize::from(!is_silent);
            }
        }
        if refused < FLIPS {
            return None;
        }
        let took = seconds(late.took());
        let says = late.grpc.clone().unwrap_or_else(|| "503".to_owned());
        let waits = seconds(self.timeout());
        let text = format!("the app answers {says} each time, once after {took}; the probe waits only {waits}");
        Some(self.of_refusal(text))
    }

    /// The app refuses to serve: a dependency of it may be away.
    pub(super) fn of_refusal(&self, text: String) -> Found {
        match self.case.known.away.as_slice() {
            [] => Found::of_everyone(Cause::Unavailable, text),
            away => {
                let text = format!("{text}, and no replica of {} is ready", away.join(" and "));
                Found::of_everyone(Cause::DependencyDown, text)
            }
        }
    }

    /// Repeats the probe: an app that fails often enough and then keeps succeeding has started meanwhile. Occasional failures are a
    /// different pattern.
    pub(super) async fn wait_for_start(&mut self) -> Option<Found> {
        loop {
            if !self.case.known.may_be_starting || self.left() < self.timeout() {
                return None;
            }
            sleep(PAUSE).await;
            if self.again().await?.answered() {
                break;
            }
        }
        self.keeps_answering(self.tried[0].series.len() - 1, 1).await
    }

    /// The same for a grpc probe, which itself tries again until its timeout: refused connections are counted in its place.
    pub(super) async fn wait_for_listener(&mut self, port: u16) -> Option<Found> {
        let address = self.target.address(port)?;
        let connection = Experiment::new("a connection", Sends::Connection(Route::to(address)));
        // The probe's own.
        let mut refused = 1;
        while self.case.known.may_be_starting && self.left() >= self.timeout() {
            sleep(PAUSE).await;
            let answer = self.exchange(&connection.sends, self.timeout()).await;
            if answer.success() {
                return match self.again().await?.answered() {
                    true => self.keeps_answering(refused, 1).await,
                    false => None,
                };
            }
            refused += 1;
            self.note(connection.clone(), answer);
        }
        None
    }

    /// The same for an app that has started while a claim about every client was tested.
    pub(super) async fn started_meanwhile(&mut self) -> Option<Found> {
        let is_it = self.case.known.may_be_starting && self.wavering == Some(0);
        match (is_it, self.wavering().await?.pattern) {
            (true, Pattern::Recovered { failures, successes }) if failures >= STARTED => {
                self.keeps_answering(failures, successes).await
            }
            _ => None,
        }
    }

    /// A claim about every client, once the probe has failed often enough. The app may be about to serve: a server answers 404, for
    /// example, until its app is deployed. One that `says_so` is given longer.
    pub(super) async fn unless_it_starts(&mut self, found: Found, says_so: bool) -> Option<Found> {
        if !self.fails_always().await {
            return None;
        }
        if !says_so {
            self.deadline = self.deadline.min(self.begun + self.timeout() * 4);
        }
        self.unless_started(found).await
    }

    /// A claim, unless the app is seen to start, or to fail in another way.
    async fn unless_started(&mut self, found: Found) -> Option<Found> {
        match self.wait_for_start().await {
            None if self.wavering.is_some() || self.tried[0].varies => None,
            None => Some(found),
            started => started,
        }
    }

    /// Watches an app that failed so often and has succeeded so often since.
    async fn keeps_answering(&mut self, failures: usize, mut successes: usize) -> Option<Found> {
        let after = self.begun.elapsed();
        let answering = Instant::now();
        let wanted = (after * OUTLASTS).max(self.timeout() * WATCHED_AFTER_FAILURES);
        let watched = wanted.min(WATCHED_AT_MOST.max(self.timeout() * WATCHED));
        while answering.elapsed() < watched {
            sleep(PAUSE).await;
            let answer = self.repeat(0).await;
            if answer.kind == Kind::Refused {
                let text = format!(
                    "the app started to answer and stopped listening after {}; find out from its log why it ends",
                    seconds(answering.elapsed())
                );
                return Some(Found::of_everyone(Cause::Flaky, text));
            }
            if !answer.answered() {
                return None;
            }
            successes += 1;
        }
        if failures < STARTED || successes < STARTED {
            return None;
        }
        let explanation = format!("the app started to answer within {} of the doctor's first request", seconds(after));
        let flip = Flip::new(Axis::Time, seconds(Duration::ZERO), seconds(after));
        // The start itself is unknown here.
        let changes = vec![Change::Startup(USUAL_START)];
        Some(Found::of_flip(Cause::NotStarted, flip, explanation, changes))
    }

    /// A proof about an app that may be starting: what answers the changed request may be something else that is up already.
    pub(super) async fn unless_it_starts_too(&mut self, found: Found) -> Option<Found> {
        if !self.case.known.may_be_starting || !may_pass(&self.tried[0].first) {
            return Some(found);
        }
        self.unless_started(found).await
    }

    /// The answer to the probe if only the first attempt was late, and none that follows: an app may pause again and again. The last one
    /// comes after a period of silence, as a kubelet's do: those before may come from a cache, and an app may be slow after each silence.
    pub(super) async fn has_recovered(&mut self) -> Option<(Observation, Option<Found>)> {
        let wavering = self.wavering().await?;
        if !matches!(wavering.pattern, Pattern::Recovered { failures: 1, successes } if successes > 2) {
            return None;
        }
        let answering = Instant::now();
        loop {
            let answer = self.repeat(0).await;
            if !answer.answered() {
                return None;
            }
            if answering.elapsed() >= self.timeout() * WATCHED {
                break;
            }
            sleep(PAUSE).await;
        }
        let pause = self.case.probe.period.min(SILENCE);
        sleep(pause).await;
        let now = self.repeat(0).await;
        match now.kind {
            _ if now.answered() => Some((now, None)),
            Kind::Timeout => self.late_after(pause).await.map(|found| (now, Some(found))),
            _ => None,
        }
    }

    /// Equal requests had different outcomes: the app is flaky, or limits the rate.
    pub(super) async fn of_wavering(&mut self) -> Option<(Observation, Found)> {
        let wavering = self.wavering().await?;
        // Only the doctor sends another request so often.
        let is_probe = self.wavering == Some(0);
        if is_probe
            && wavering.failure.kind == Kind::Timeout
            && let Some(found) = self.late_at_times().await
        {
            return Some((wavering.failure, found));
        }
        let outcome = wavering.failure.outcome();
        let found = match (wavering.failure.status, wavering.pattern) {
            (Some(429), _) if !is_probe => return None,
            // One that accepts everything from some time on has another state.
            (Some(429), Pattern::Wavers | Pattern::Unclear) => {
                let text = format!("{}, with {outcome}", self.counted()?);
                Found::of_everyone(Cause::RateLimited, text)
            }
            (_, Pattern::Wavers) if self.is_paced().await => {
                if !is_probe {
                    return None;
                }
                let text = "the app accepts the probe after a pause of a second and refuses it right after a refusal";
                Found::of_everyone(Cause::RateLimited, format!("{text} ({outcome}): it limits the request rate"))
            }
            (_, Pattern::Wavers) if !is_probe && !self.succeeds_sometimes().await => return None,
            (_, Pattern::Wavers) => {
                let others = if self.tried[self.wavering?].varies { ", then other failures" } else { "" };
                Found::of_everyone(Cause::Flaky, format!("{} ({outcome}{others})", self.counted()?))
            }
            (_, Pattern::Steady | Pattern::Recovered { .. } | Pattern::Unclear) => return None,
        };
        Some((wavering.failure, found))
    }

    /// The body ends early or stalls; a plain request shows whether the app or the probe's request is the reason.
    pub(super) async fn truncated(&mut self, prepared: &Prepared, observation: &Observation) -> Option<Found> {
        let host = self.hosts(prepared).first()?.clone();
        let plain = self.plain(prepared, &host);
        let experiment = Experiment::plain(format!("as curl sends it, with Host {host}"), plain.clone());
        let other = self.ask(experiment).await?;
        if other.answered() {
            return self.narrow(prepared, &plain, observation).await;
        }
        if other.kind != Kind::Truncated || !self.fails_always().await {
            return None;
        }
        Some(Found::of_everyone(Cause::TruncatedResponse, "the response is incomplete for every client"))
    }

    /// The head arrived, the body did not end. Some take long to end, so it is asked for again, with more time.
    pub(super) async fn of_a_body_that_stays_open(
        &mut self,
        prepared: &Prepared,
        in_time: &Observation,
        late: &Observation,
    ) -> Option<Found> {
        if late.kind != Kind::Truncated {
            return None;
        }
        let waits = self.timeout() * WATCHED;
        let last = self.exchange(&prepared.clone().into(), waits).await;
        if last.kind != Kind::Truncated {
            self.deadline = Instant::now() + self.timeout() * 11 / 10;
            return self.too_slow(&last).await;
        }
        if late.header("content-length").is_some() && last.body.len() > late.body.len() {
            let text = format!("the response's body is still arriving after {}", seconds(waits));
            return Some(Found::of_everyone(Cause::TooSlow, text));
        }
        Some(match in_time.header("content-length") {
            Some(length) => Found::of_everyone(
                Cause::TruncatedResponse,
                format!("the response announces {length} bytes and stops before that; the connection stays open"),
            ),
            None => Found::of_everyone(
                Cause::EndlessResponse,
                format!("the response announces no length and has not ended after {}", seconds(waits)),
            ),
        })
    }
}

/// Whether a failure may be that of an app before it has started: nothing listens or answers yet, or not yet for this path.
fn may_pass(failure: &Observation) -> bool {
    let is_absent = matches!(failure.kind, Kind::Refused | Kind::Closed | Kind::Reset);
    let says_so = matches!(failure.status, Some(404 | 405 | 425 | 500..));
    is_absent || says_so || matches!(failure.grpc.as_deref(), Some("SERVICE_UNKNOWN" | "NotFound" | "Unimplemented"))
}

/// The probe, with all remaining time.
pub(super) fn patiently(sends: Sends) -> Experiment {
    Experiment::new("the probe, still waiting for the answer", Sends::Patiently(Box::new(sends)))
}

/// A kubelet's observation of a probe that was answered after its timeout.
fn missed(prepared: &Prepared, late: &Observation, timeout: Duration) -> Observation {
    let timeout_ms = timeout.as_secs_f64() * 1000.0;
    let message = format!(
        "Get {:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
        prepared.url.to_string()
    );
    Observation {
        request: late.request.clone(),
        connect_ms: late.connect_ms.filter(|connected| *connected < timeout_ms),
        total_ms: timeout_ms,
        ..Observation::new(Verdict::Failure, Kind::Timeout, message)
    }
}
