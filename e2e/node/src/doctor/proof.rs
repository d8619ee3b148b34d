//! Proof by repetition: tests claims and detects flaky answers. The other half of [`Lab`].

use std::time::Duration;

use e2e_kubelet::{
    diagnosis::Cause,
    observation::{Kind, Observation},
    protocol::Protocol,
};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::{
    Claim, Found,
    lab::{Experiment, Lab, Tried},
    rounds::{ALIKE, FLIPS, Pattern, STARTED, Side, pattern, sides},
};

/// Requests whose answers take more than this share of the remaining time are sent in parallel.
const ROUNDS: u32 = 20;

/// A quota of a hundred requests, for an address or a header's value, shows.
const QUOTA: usize = 110;

/// Whether a rate limit with a quota for each address or each value of a header looks like this cause: the probe's is used up, and
/// the changed request has its own.
fn may_be_a_quota(cause: Cause) -> bool {
    matches!(cause, Cause::HostSyntax | Cause::HeaderRefused | Cause::MissingHeader | Cause::SourceBlocked)
}

/// Observations of a request with different outcomes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wavering {
    pub(super) change: String,
    pub(super) pattern: Pattern,
    pub(super) sent: usize,
    pub(super) failures: usize,
    /// The first failure.
    pub(super) failure: Observation,
}

impl Lab<'_> {
    /// The same beyond the time limit, to see whether a change is permanent.
    pub(super) async fn again_later(&mut self) -> Observation {
        self.repeat(0).await
    }

    pub(super) async fn repeat(&mut self, index: usize) -> Observation {
        let observation = self.exchange(&self.tried[index].experiment.sends, self.timeout()).await;
        self.note_again(index, &observation);
        observation
    }

    /// Tests a claim: sends its requests in a random order until chance is excluded. `None` if one has another outcome than the
    /// first time, or if time runs out.
    pub(super) async fn prove(&mut self, claim: Claim) -> Option<Found> {
        let mut arms: [Vec<usize>; 2] = [vec![0], Vec::new()];
        for (side, experiments) in [(0, claim.fails), (1, claim.succeeds)] {
            for experiment in experiments {
                self.ask(experiment.clone()).await?;
                arms[side].extend(self.tried.iter().position(|tried| tried.experiment.sends == experiment.sends));
            }
        }
        let mut turns = [0, 0];
        let order: Vec<usize> = sides(&mut self.coin)
            .into_iter()
            .map(|side| {
                let side = usize::from(side == Side::Succeeds);
                turns[side] += 1;
                arms[side][turns[side] % arms[side].len()]
            })
            .collect();
        if !self.repeat_all(&order).await {
            return None;
        }
        if !may_be_a_quota(claim.found.cause) || self.outlasts_a_quota(arms[1][0]).await {
            return Some(Found { confirmed: true, ..claim.found });
        }
        self.of_a_quota(arms[1][0]).await
    }

    /// A limit, if a request that differs only by chance from the probe succeeds until its quota is used up.
    pub(super) async fn by_its_quota(&mut self, experiment: &Experiment) -> Option<Found> {
        let index = self.tried.iter().position(|tried| tried.experiment.sends == experiment.sends)?;
        let is_limited = !self.outlasts_a_quota(index).await;
        // Nothing but its own series tells this request from one that fails at random.
        let accepted = self.tried[index].series.iter().filter(|success| **success).count();
        if is_limited && accepted >= STARTED { self.of_a_quota(index).await } else { None }
    }

    /// Repeats the request that succeeds, unless its answers are slow: a quota that it has for itself runs out, a rule about it does
    /// not.
    async fn outlasts_a_quota(&mut self, index: usize) -> bool {
        let end = Instant::now() + self.left() / 2;
        while self.tried[index].series.len() < QUOTA && Instant::now() < end {
            if !self.repeat(index).await.answered() {
                return false;
            }
        }
        true
    }

    /// The request succeeded and then failed like the probe: its quota is used up, if it stays so.
    async fn of_a_quota(&mut self, index: usize) -> Option<Found> {
        let accepted = self.tried[index].series.iter().filter(|success| **success).count();
        let status = self.tried[0].first.status?;
        for _ in 0..STARTED {
            let answer = self.repeat(index).await;
            if answer.answered() || answer.status != Some(status) {
                return None;
            }
        }
        let change = &self.tried[index].experiment.change;
        let text =
            format!("{change} succeeded {accepted} times and is refused since then, with {status} like the probe");
        Some(Found::of_everyone(Cause::RateLimited, text))
    }

    /// Whether the probe keeps failing, often enough for a claim about every client.
    pub(super) async fn fails_always(&mut self) -> bool {
        let missing = |lab: &Self| ALIKE.saturating_sub(lab.tried[0].series.len());
        let count = if self.is_slow(&[0]) { FLIPS } else { missing(self) };
        self.repeat_all(&vec![0; count]).await;
        self.wavering.is_none() && self.tried[0].series.len() >= FLIPS
    }

    /// Repeats an unexplained probe if that is cheap: it may be flaky.
    pub(super) async fn repeat_while_quick(&mut self) {
        if !self.tried.is_empty() && !self.is_slow(&[0]) {
            let missing = ALIKE.saturating_sub(self.tried[0].series.len());
            self.repeat_all(&vec![0; missing]).await;
        }
    }

    /// Whether sequential repeats would take too long.
    fn is_slow(&self, indexes: &[usize]) -> bool {
        let slowest = indexes.iter().map(|index| self.tried[*index].first.total_ms / 1000.0).fold(0.0, f64::max);
        Duration::from_secs_f64(slowest) * ROUNDS > self.left()
    }

    /// Repeats requests in this order, or in parallel if that would take too long. Returns whether each had its first outcome.
    async fn repeat_all(&mut self, order: &[usize]) -> bool {
        if self.is_slow(order) {
            if self.is_over() {
                return false;
            }
            let within = self.timeout();
            let answers =
                join_all(order.iter().map(|index| self.exchange(&self.tried[*index].experiment.sends, within))).await;
            let mut held = true;
            for (index, answer) in order.iter().zip(&answers) {
                let same = Meaning::of(answer) == Meaning::of(&self.tried[*index].first);
                held &= same;
                // An app overloaded by parallel requests is not flaky.
                if same || answer.kind != Kind::Timeout {
                    self.note_again(*index, answer);
                }
            }
            return held;
        }
        for index in order {
            if self.is_over() {
                return false;
            }
            let answer = self.repeat(*index).await;
            if Meaning::of(&answer) != Meaning::of(&self.tried[*index].first) {
                return false;
            }
        }
        true
    }

    /// Repeats a successful probe for the length of its timeout: one that fails every other time must not pass by luck.
    pub(super) async fn is_steady(&mut self) -> bool {
        let end = Instant::now() + self.timeout().min(self.left());
        while self.tried[0].series.len() < FLIPS && self.wavering.is_none() && Instant::now() < end {
            self.repeat(0).await;
        }
        self.wavering.is_none()
    }

    /// Repeats the request with different outcomes, if there is one, until a pattern shows.
    pub(super) async fn wavering(&mut self) -> Option<Wavering> {
        let index = self.wavering?;
        while self.tried[index].series.len() < ALIKE
            && pattern(&self.tried[index].series) != Pattern::Wavers
            && self.left() >= self.timeout()
        {
            self.repeat(index).await;
        }
        let Tried { experiment, series, failure, .. } = &self.tried[index];
        Some(Wavering {
            change: experiment.change.clone(),
            pattern: pattern(series),
            sent: series.len(),
            failures: series.iter().filter(|success| !**success).count(),
            failure: failure.clone()?,
        })
    }
}

/// An answer's meaning for a claim.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    success: bool,
    answered: bool,
    refused: bool,
    health: bool,
    spoke: Option<Protocol>,
}

impl Meaning {
    fn of(observation: &Observation) -> Self {
        Self {
            success: observation.success(),
            answered: observation.answered(),
            refused: observation.kind == Kind::Refused,
            health: observation.kind == Kind::Health,
            spoke: observation.spoke,
        }
    }
}
