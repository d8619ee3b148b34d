//! Proof by repetition: tests claims and detects flaky answers. The other half of [`Lab`].

use std::time::Duration;

use e2e_kubelet::{
    diagnosis::{Cause, Flip},
    observation::{Kind, Observation},
};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::{
    Claim, Found, count,
    fix::Change,
    lab::{Experiment, Lab, Sends, Tried},
    quota::Newcomer,
    rounds::{ALIKE, ALIKE_OF_SLOW, FLIPS, Pattern, SEEN, Side, pattern, sides},
    time::WATCHED_AT_MOST,
};

/// Requests whose answers take more than this share of the remaining time are sent in parallel.
const ROUNDS: u32 = 20;

/// The repeats of a probe that has succeeded are spread over so long, or over its timeout.
pub(super) const SPREAD: Duration = Duration::from_secs(1);

/// The most requests that are under way at once.
const AT_ONCE: usize = 64;

/// Observations of a request with different outcomes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wavering {
    pub(super) pattern: Pattern,
    /// The first failure.
    pub(super) failure: Observation,
}

impl Lab<'_> {
    /// Sends a request again, even beyond the time limit.
    pub(super) async fn repeat(&mut self, index: usize) -> Observation {
        let observation = self.exchange(&self.tried[index].experiment.sends, self.timeout()).await;
        self.note_again(index, &observation);
        observation
    }

    /// Tests a claim: sends its requests in a random order until chance is excluded. `None` if one has another outcome than the
    /// first time, or if time runs out.
    pub(super) async fn prove(&mut self, mut claim: Claim) -> Option<Found> {
        let newcomer = self.newcomer(&claim.found).await;
        if let Newcomer::Refused(Some(newcomer)) = &newcomer {
            claim.fails.push(newcomer.clone());
        }
        let mut arms: [Vec<usize>; 2] = [vec![0], Vec::new()];
        for (side, experiments) in [(0, claim.fails), (1, claim.succeeds)] {
            for experiment in experiments {
                self.ask(experiment.clone()).await?;
                arms[side].extend(self.index_of(&experiment.sends));
            }
        }
        let mut turns = [0, 0];
        // Something that picks one of two replicas by Host or by address sends half of the strangers to the other one.
        let is_stranger = |index: &usize| matches!(self.tried[*index].experiment.sends, Sends::Stranger(..));
        let strangers: Vec<usize> =
            arms.concat().into_iter().filter(is_stranger).flat_map(|one| [one; FLIPS]).collect();
        let order = sides(&mut self.coin)
            .into_iter()
            .map(|side| {
                let side = usize::from(side == Side::Succeeds);
                turns[side] += 1;
                arms[side][turns[side] % arms[side].len()]
            })
            .chain(strangers)
            .collect::<Vec<_>>();
        if !self.repeat_all(&order).await {
            return None;
        }
        let found = self.unless_limited(claim.found, &newcomer, arms[1][0]).await?;
        self.unless_it_starts_too(found).await
    }

    /// Tests the claim that one change makes the difference.
    pub(super) async fn prove_flip(
        &mut self,
        cause: Cause,
        flip: Flip,
        explanation: impl Into<String>,
        changes: Vec<Change>,
        experiment: Experiment,
    ) -> Option<Found> {
        self.prove(Claim::of(Found::of_flip(cause, flip, explanation, changes), experiment)).await
    }

    /// The place of a request among those that were sent.
    pub(super) fn index_of(&self, sends: &Sends) -> Option<usize> {
        self.tried.iter().position(|tried| tried.experiment.sends == *sends)
    }

    /// Whether the probe keeps failing alike, often enough for a claim that its answer does not show by itself: that every client gets it. Sends
    /// as many requests at once as it must to be done in time, for which it has as long again as the whole search.
    pub(super) async fn fails_always(&mut self) -> bool {
        self.deadline += self.timeout() * 4;
        // Answers that the end of the time cuts short would look like others.
        let last = self.timeout() / 4;
        let begun = Instant::now();
        let mut goes_on = self.keeps_failing().await;
        let pace = begun.elapsed().as_secs_f64() / if self.is_slow(&[0]) { 1.0 } else { SEEN as f64 };
        while goes_on && !self.tried[0].varies && self.tried[0].series.len() < ALIKE && self.left() > last {
            let missing = ALIKE - self.tried[0].series.len();
            let at_once = (missing as f64 * pace / self.left().as_secs_f64()).ceil().min(AT_ONCE as f64) as usize;
            goes_on = self.repeat_at_once(&vec![0; at_once.clamp(1, missing)], Duration::ZERO).await;
        }
        goes_on && !self.tried[0].varies && self.tried[0].series.len() >= ALIKE_OF_SLOW
    }

    /// Whether the probe keeps failing, often enough for a claim that each of its answers shows by itself.
    pub(super) async fn keeps_failing(&mut self) -> bool {
        if self.is_slow(&[0]) && self.tried[0].quickest < self.timeout() / 2 {
            // The first may have met a cold app.
            self.again().await;
        }
        if self.is_slow(&[0]) && !self.is_over() {
            // Spread over the time there is, they also meet an app that is slow for a moment now and then.
            self.repeat_at_once(&[0; FLIPS], self.left().saturating_sub(self.timeout())).await;
        } else {
            let count = SEEN.saturating_sub(self.tried[0].series.len());
            self.repeat_all(&vec![0; count]).await;
        }
        self.wavering.is_none() && !self.tried[0].varies && self.tried[0].series.len() >= FLIPS
    }

    /// Whether the probe has failed alike often enough for a claim that each of its answers shows by itself.
    pub(super) fn has_seen_enough(&self) -> bool {
        self.tried.first().is_some_and(|probe| !probe.varies && probe.series.len() >= SEEN)
    }

    /// Repeats an unexplained probe if that is cheap: it may be flaky.
    pub(super) async fn repeat_while_quick(&mut self) {
        if self.tried.is_empty() || self.is_slow(&[0]) || self.wavering.is_some() {
            return;
        }
        self.repeat_until(0, |series| series.len() >= SEEN || pattern(series) != Pattern::Steady).await;
    }

    /// Whether the probe succeeds now and then. Another request with different outcomes does not show that: what answers it may be flaky, and
    /// refuse the probe every time.
    pub(super) async fn succeeds_sometimes(&mut self) -> bool {
        self.repeat_until(0, |series| series.len() >= SEEN || series.contains(&true)).await;
        self.tried[0].series.contains(&true)
    }

    /// Repeats a request until its series is enough, or time runs out. Spread out, the repeats outlast a moment in which the app fails, or
    /// answers well.
    async fn repeat_until(&mut self, index: usize, is_enough: impl Fn(&[bool]) -> bool) {
        let pause = self.timeout().min(SPREAD) / SEEN as u32;
        while !is_enough(&self.tried[index].series) && self.left() >= self.timeout() {
            sleep(pause).await;
            self.repeat(index).await;
        }
    }

    /// Whether sequential repeats would take too long.
    fn is_slow(&self, indexes: &[usize]) -> bool {
        let slowest = indexes.iter().map(|index| self.tried[*index].quickest).max().unwrap_or_default();
        slowest * ROUNDS > self.left()
    }

    /// Repeats requests in this order, or in parallel if that would take too long. Returns whether each had its first outcome.
    async fn repeat_all(&mut self, order: &[usize]) -> bool {
        if self.is_slow(order) {
            return !self.is_over() && self.repeat_at_once(order, Duration::ZERO).await;
        }
        for index in order {
            if self.is_over() {
                return false;
            }
            let answer = self.repeat(*index).await;
            if !self.means_the_same(*index, &answer) {
                return false;
            }
        }
        true
    }

    /// Repeats requests in parallel, which begin within `spread`. Returns whether each had its first outcome.
    async fn repeat_at_once(&mut self, order: &[usize], spread: Duration) -> bool {
        let within = self.timeout().min(self.left().saturating_sub(spread));
        let pause = spread / count(order.len()).max(1);
        let lab = &*self;
        let repeats = order.iter().zip(0..).map(|(index, place)| async move {
            sleep(pause * place).await;
            lab.exchange(&lab.tried[*index].experiment.sends, within).await
        });
        let answers = join_all(repeats).await;
        let mut held = true;
        for (index, answer) in order.iter().zip(&answers) {
            held &= self.means_the_same(*index, answer);
            let first = &self.tried[*index].first;
            // An app overloaded by parallel requests is not flaky: it refuses some that it takes alone, or is silent.
            let is_silent = answer.kind == Kind::Timeout && first.kind != Kind::Timeout;
            if !is_silent && (answer.answered() || !first.answered()) {
                self.note_again(*index, answer);
            }
        }
        held
    }

    /// Whether an answer means for a claim what the first one to this request did. A server that speaks another protocol answers an HTTP request and
    /// resets the connection, which loses its answer now and then.
    fn means_the_same(&self, index: usize, answer: &Observation) -> bool {
        let Tried { experiment, first, .. } = &self.tried[index];
        let of = |seen: &Observation| {
            let is_lost = matches!(seen.kind, Kind::Closed | Kind::Reset) && matches!(experiment.sends, Sends::Http(_));
            let refused = seen.kind == Kind::Refused;
            (is_lost, seen.spoke, (seen.success(), seen.answered(), refused, seen.kind == Kind::Health))
        };
        let ((is_lost, spoke, other), (was_lost, first_spoke, first)) = (of(answer), of(first));
        other == first && (spoke == first_spoke || is_lost || was_lost)
    }

    /// Repeats a successful probe for the length of its timeout: one that fails every other time must not pass by luck. Spread out, the
    /// repeats also meet an app that fails now and then for a moment. One that takes most of its time may take too long the next time.
    pub(super) async fn is_steady(&mut self) -> bool {
        let within = match self.is_close() {
            true => (self.timeout() * count(FLIPS)).min(WATCHED_AT_MOST.max(self.timeout())),
            false => self.timeout().min(self.left()),
        };
        let (end, pause) = (Instant::now() + within, within.min(SPREAD) / FLIPS as u32);
        while self.tried[0].series.len() < FLIPS && self.wavering.is_none() && Instant::now() + pause < end {
            sleep(pause).await;
            self.repeat(0).await;
        }
        self.wavering.is_none()
    }

    /// How often the request with different outcomes has failed so far.
    pub(super) fn counted(&self) -> Option<String> {
        let Tried { experiment, series, .. } = &self.tried[self.wavering?];
        let (change, sent, failed) =
            (&experiment.change, series.len(), series.iter().filter(|success| !**success).count());
        Some(format!("{change} failed {failed} of {sent} times with nothing changed"))
    }

    /// Repeats the request with different outcomes, if there is one, until a pattern shows.
    pub(super) async fn wavering(&mut self) -> Option<Wavering> {
        let index = self.wavering?;
        let series = &self.tried[index].series;
        let changed = series.iter().position(|success| *success != series[0]).unwrap_or_default();
        let is_enough = |series: &[bool]| series.len() >= changed + SEEN || pattern(series) == Pattern::Wavers;
        self.repeat_until(index, is_enough).await;
        let tried = &self.tried[index];
        Some(Wavering { pattern: pattern(&tried.series), failure: tried.failure.clone()? })
    }
}
