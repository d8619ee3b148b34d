//! Proof by repetition: claims are put to the test, and what comes out both ways is found out. The other half of [`Lab`].

use std::time::Duration;

use e2e_kubelet::{
    observation::{Kind, Observation},
    protocol::Protocol,
};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::{
    Claim, Found,
    lab::{Lab, Tried},
    rounds::{ALIKE, FLIPS, Pattern, Side, pattern, sides},
};

/// Answers that take longer than this part of the time that is left are asked for side by side.
const ROUNDS: u32 = 20;

/// What was seen of a request that came out both ways.
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
    /// The same beyond the bounds of time, to see whether what has changed stays.
    pub(super) async fn again_later(&mut self) -> Observation {
        self.repeat(0).await
    }

    pub(super) async fn repeat(&mut self, index: usize) -> Observation {
        let observation = self.exchange(&self.tried[index].experiment.sends, self.timeout()).await;
        self.note_again(index, &observation);
        observation
    }

    /// Puts a claim to the test: its requests in an order that a coin decides, until chance is out of the question. `None` when one of
    /// them comes to something else than the first time, or when time is short.
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
        self.repeat_all(&order).await.then_some(Found { confirmed: true, ..claim.found })
    }

    /// Whether the probe goes on to fail, often enough to say so of everyone's requests.
    pub(super) async fn fails_always(&mut self) -> bool {
        let missing = |lab: &Self| ALIKE.saturating_sub(lab.tried[0].series.len());
        let count = if self.is_slow(&[0]) { FLIPS } else { missing(self) };
        self.repeat_all(&vec![0; count]).await;
        self.wavering.is_none() && self.tried[0].series.len() >= FLIPS
    }

    /// Goes on to ask a probe that nothing explains, where that costs little: it may come and go.
    pub(super) async fn repeat_while_quick(&mut self) {
        if !self.tried.is_empty() && !self.is_slow(&[0]) {
            let missing = ALIKE.saturating_sub(self.tried[0].series.len());
            self.repeat_all(&vec![0; missing]).await;
        }
    }

    /// Whether so many repeats one after another would take too long.
    fn is_slow(&self, indexes: &[usize]) -> bool {
        let slowest = indexes.iter().map(|index| self.tried[*index].first.total_ms / 1000.0).fold(0.0, f64::max);
        Duration::from_secs_f64(slowest) * ROUNDS > self.left()
    }

    /// Sends requests again, in this order or, where that would take too long, side by side. Whether each meant what it meant first.
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
                // An app that is kept busy by all of them at once has not changed its mind.
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

    /// Asks a probe that succeeded a few times more, for as long as its timeout: one that fails every other time should not pass for
    /// well by luck.
    pub(super) async fn is_steady(&mut self) -> bool {
        let end = Instant::now() + self.timeout().min(self.left());
        while self.tried[0].series.len() < FLIPS && self.wavering.is_none() && Instant::now() < end {
            self.repeat(0).await;
        }
        self.wavering.is_none()
    }

    /// What has become of the request that came out both ways, if there is one: it is asked until a pattern shows.
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

/// What an answer means for a claim.
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
