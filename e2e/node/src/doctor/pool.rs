//! A probe that waits for a connection of the pool that requests use up. Main function: [`waits_for_pool`].

use std::time::Duration;

use e2e_kubelet::{
    diagnosis::{Cause, Diagnosis, Trial},
    observation::Verdict,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    Case, Found, concluded, count, fix,
    lab::{self, exchange},
    rounds::{Side, coin, sides},
    tried,
};
use crate::probe::{Prepared, Profile, Target};

/// How a bounded resource is used at one moment, as the app tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// How much of it there is.
    pub limit: u64,
    /// How much is in use.
    pub used: u64,
    /// How many callers wait for some.
    pub waiting: u64,
}

impl PoolUse {
    /// Whether callers wait because all of it is in use.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.used >= self.limit && self.waiting > 0
    }
}

/// So many probes are sent at once. Callers of a used-up pool come and go by one or two at a time.
const CALLERS: u64 = 8;
/// How long after that the app is asked for its waiting callers: many times what a request takes to arrive.
const ARRIVAL: Duration = Duration::from_millis(60);
/// From one look at a pool that is not used up to the next.
const PAUSE: Duration = Duration::from_millis(30);
/// An app that does not notice that a client has gone away serves each round to its end.
const LONGEST: Duration = Duration::from_secs(20);

/// Whether a probe of HTTP that fails now stands in the queue of a pool: the pool has more waiting callers when more of the probe are
/// sent, and not without. A fair coin picks for each round whether they are; where every round comes out as it says, chance is out of
/// the question (see [`rounds`](super::rounds)). `None` where that is not so, or the pool does not stay used up for long enough.
pub async fn waits_for_pool<F, L>(
    case: &Case,
    target: &Target,
    profile: &Profile,
    resource: &str,
    look: F,
) -> Option<Diagnosis>
where
    F: Fn() -> L,
    L: Future<Output = Option<PoolUse>>,
{
    let prepared = Prepared::of_probe(&case.probe.action, target, case.probe.timeout, profile).await.ok()?;
    let observation = exchange(target, prepared.clone(), case.probe.timeout).await;
    if observation.success() {
        return None;
    }
    let deadline = Instant::now() + LONGEST;
    let order = sides(&mut coin());
    let (mut with, mut state) = (0, settled(&look, None, deadline).await?);
    let calm = state.waiting;
    for side in &order {
        // What a round has added is gone, or the next one would see it.
        state = settled(&look, Some(calm), deadline).await?;
        let mut probes = JoinSet::new();
        if *side == Side::Fails {
            with += 1;
            for _ in 0..CALLERS {
                let (target, prepared, within) = (target.clone(), prepared.clone(), case.probe.timeout);
                probes.spawn(async move { exchange(&target, prepared, within).await });
            }
        }
        sleep(ARRIVAL).await;
        let has_risen = look().await?.waiting >= state.waiting + CALLERS / 2;
        if has_risen != (*side == Side::Fails) {
            return None;
        }
    }
    let explanation = format!(
        "it waits for {resource} (all {} in use): {CALLERS} extra probes made at least {} more callers wait in {with} of {with} rounds, \
         and in none of {} rounds without them ({} rounds in random order)",
        state.limit,
        CALLERS / 2,
        order.len() - with,
        order.len()
    );
    let found = Found { confirmed: true, ..Found::of_everyone(Cause::WaitsForPool, explanation) };
    let sent = count(with).saturating_mul(CALLERS as u32);
    let rounds = Trial {
        change: format!("{CALLERS} of the probe at once, and none, as a coin decides"),
        plain: false,
        verdict: Verdict::Failure,
        summary: format!("{calm} callers waited for {resource} without them"),
        sent,
        succeeded: 0,
    };
    let fix = fix::of(case, &found);
    let evidence = vec![tried(lab::PROBE, &observation), rounds];
    Some(concluded(case, observation, Some(found), Some(fix), evidence))
}

/// Waits for a moment at which the pool is used up and has no more waiting callers than usual.
async fn settled<F, L>(look: &F, usual: Option<u64>, deadline: Instant) -> Option<PoolUse>
where
    F: Fn() -> L,
    L: Future<Output = Option<PoolUse>>,
{
    loop {
        let now = look().await?;
        if now.is_used_up() && usual.is_none_or(|usual| now.waiting < usual + CALLERS / 2) {
            return Some(now);
        }
        if Instant::now() >= deadline {
            return None;
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
    };

    use e2e_kubelet::diagnosis::Confidence;
    use tokio::{io::AsyncReadExt, net::TcpListener};

    use super::*;
    use crate::doctor::tests::{POD, case};

    /// A server that answers nobody, and whose requests wait in the queue of a pool or somewhere else.
    async fn silent_server(waiting: Arc<AtomicU64>, uses_the_pool: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let waiting = Arc::clone(&waiting);
                tokio::spawn(async move {
                    waiting.fetch_add(uses_the_pool.into(), Ordering::SeqCst);
                    // Until the client goes away.
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                    waiting.fetch_sub(uses_the_pool.into(), Ordering::SeqCst);
                });
            }
        });
        address
    }

    async fn examine(uses_the_pool: bool, noise: impl Fn() -> u64) -> Option<Diagnosis> {
        let waiting = Arc::new(AtomicU64::new(5));
        let address = silent_server(Arc::clone(&waiting), uses_the_pool).await;
        let (case, target) = (case(&[], Duration::from_millis(100)), Target::new(POD, 8000, address));
        waits_for_pool(&case, &target, &Profile::default(), "the pool", || {
            let waiting = waiting.load(Ordering::SeqCst) + noise();
            async move { Some(PoolUse { limit: 2, used: 2, waiting }) }
        })
        .await
    }

    #[tokio::test]
    async fn probes_in_the_queue_are_seen_there() {
        let found = examine(true, || 0).await.expect("the probes wait for the pool");
        assert_eq!((found.cause, found.confidence), (Some(Cause::WaitsForPool), Confidence::Proven), "{found:#?}");
        assert!(found.explanation.contains("the pool (all 2 in use)"), "{}", found.explanation);
    }

    /// A pool that is used up beside a probe that fails for another reason, whether its queue stands still or moves.
    #[tokio::test]
    async fn a_used_up_pool_alone_proves_nothing() {
        assert_eq!(examine(false, || 0).await, None);
        let step = AtomicU64::new(0);
        assert_eq!(examine(false, || 9 * (step.fetch_add(1, Ordering::SeqCst) / 2 % 2)).await, None);
    }
}
