//! Experiments with time: waiting longer than the probe does, and asking again until the app has started.

use std::time::Duration;

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Flip, PLAIN},
    observation::{Kind, Observation},
};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::{
    Found,
    fix::{Change, USUAL_START},
    lab::{Lab, exchange},
    seconds,
};
use crate::probe::Prepared;

/// How long to wait before a server that was not there is asked again: twelve times within the default bounds.
const PAUSE: Duration = Duration::from_millis(230);

impl Lab<'_> {
    /// Sends the probe, and where it does not end in time, waits on for its answer while it tries a second time, and some changes
    /// of it. The second observation is what the first try came to in the end.
    pub(super) async fn probe_patiently(&mut self, prepared: &Prepared) -> (Observation, Option<Observation>) {
        let (target, within) = (self.target, self.timeout());
        let first = exchange(target, prepared.clone(), self.left());
        let mut first = std::pin::pin!(first);
        if let Ok(observation) = timeout(within, first.as_mut()).await {
            self.note("the probe", &observation);
            return (observation, None);
        }
        let second = exchange(target, prepared.clone(), within);
        // There is no time to try these afterwards.
        let (changes, variants): (Vec<_>, Vec<_>) = self.silence_requests(prepared).into_iter().unzip();
        let variants = join_all(variants.into_iter().map(|variant| exchange(target, variant, within)));
        let (late, in_time, silence) = tokio::join!(first, second, variants);
        self.note("the probe, waiting on for the answer", &late);
        self.note("the probe", &in_time);
        for (change, answer) in changes.iter().zip(&silence) {
            self.note(change, answer);
        }
        self.silence = silence;
        (in_time, Some(late))
    }

    /// The answer came, and it was right, but the timeout had gone by; and a second try within the timeout failed again.
    pub(super) fn too_slow(&self, in_time: &Observation, late: &Observation) -> Option<Found> {
        if in_time.success() || !late.success() {
            return None;
        }
        let timeout = self.timeout().as_secs_f64();
        let took = late.total_ms / 1000.0;
        let explanation = format!(
            "the right answer takes {}, and the probe waits for {}",
            seconds(Duration::from_secs_f64(took)),
            seconds(self.timeout())
        );
        // Half as long again leaves room for a busier moment; Kubernetes takes whole seconds.
        let enough = (took * 1.5).ceil().max(timeout.floor() + 1.0);
        let flip = Flip { axis: Axis::Timeout, from: format!("{timeout}s"), to: format!("{enough}s") };
        let change = Some(Change::Timeout(Duration::from_secs_f64(enough)));
        Some(Found { cause: Cause::TooSlow, flip: Some(flip), confirmed: true, explanation, change })
    }

    /// Asks again and again: an app that has failed at least twice and then succeeds three times in a row has started
    /// meanwhile. One that fails now and then is something else.
    pub(super) async fn wait_for_start(&mut self) -> Option<Found> {
        if !self.case.known.may_be_starting {
            return None;
        }
        let begun = Instant::now();
        let mut failures = 0;
        loop {
            sleep(PAUSE.min(self.left())).await;
            let answer = self.again().await?;
            if !answer.success() {
                failures += 1;
                continue;
            }
            if failures < 1 {
                return None;
            }
            let after = begun.elapsed();
            for _ in 0..2 {
                if self.again().await.is_some_and(|again| !again.success()) {
                    return None;
                }
            }
            let explanation = format!("the app began to answer {} after the doctor's first request", seconds(after));
            let flip = Flip { axis: Axis::Time, from: seconds(Duration::ZERO), to: seconds(after) };
            // Nobody knows from here when it was started.
            let change = Some(Change::Startup(USUAL_START));
            return Some(Found { cause: Cause::NotStarted, flip: Some(flip), confirmed: false, explanation, change });
        }
    }

    /// The body ends early or stalls; whether somebody else's does too tells the app from the request.
    pub(super) async fn truncated(&mut self, prepared: &Prepared, observation: &Observation) -> Option<Found> {
        let host = self.hosts(prepared).first()?.clone();
        let plain = self.plain(prepared, &host);
        let other = self.send(&format!("{} as curl sends it, with Host {host}", PLAIN), plain.clone()).await?;
        if other.success() {
            return self.narrow(prepared, &plain, observation).await;
        }
        let again = self.again().await?;
        if other.kind != Kind::Truncated || again.kind != Kind::Truncated {
            return None;
        }
        let explanation = "the response ends before it is whole, whoever asks".to_owned();
        Some(Found { cause: Cause::TruncatedResponse, flip: None, confirmed: false, explanation, change: None })
    }
}
