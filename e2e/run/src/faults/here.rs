//! Carries planned faults out where this program looks after the pods: on docker and local. Main function: [`carry_out`].

use std::{fmt::Display, future::Future, time::Duration};

use e2e_report::fault::{Action, PlannedFault, Space};

use super::hand::{Done, Hand};
use crate::provider::{
    Provider,
    docker::{Disturbance, DockerPods},
    pods::{self, Blow},
};

pub(super) async fn carry_out(hand: &Hand, fault: &PlannedFault) -> Done {
    let (victim, provider) = (&fault.victim, &hand.provider);
    let pod = std::slice::from_ref(victim);
    match &fault.action {
        Action::Kill => hand.ended_by(pod, false, strike(provider, victim, Blow::Kill)).await,
        Action::Terminate => hand.ended_by(pod, false, strike(provider, victim, Blow::Terminate)).await,
        Action::Delete => hand.replace(pod).await,
        Action::Restart => hand.replace(&hand.pods_of(victim)).await,
        Action::Rollout => roll_out(hand, victim).await,
        Action::Pause(length) => {
            let (freeze, thaw) = (strike(provider, victim, Blow::Freeze), strike(provider, victim, Blow::Thaw));
            Done::of(held(*length, freeze, thaw).await)
        }
        Action::Partition { from, length } => {
            let (one, other) = (hand.pods_of(victim), hand.pods_of(from));
            let there = Disturbance { from: one.clone(), to: other.clone(), delay: None };
            let back = Disturbance { from: other, to: one, delay: None };
            disturb(provider, &[there, back], *length).await
        }
        Action::Delay { to, by, length } => {
            let later = Disturbance { from: hand.pods_of(victim), to: hand.pods_of(to), delay: Some(*by) };
            disturb(provider, &[later], *length).await
        }
        Action::Fill { space, length } => match &**provider {
            Provider::Docker(pods) => hand.may_end(pod, fill(pods, victim, space, *length)).await,
            Provider::Local(_) | Provider::K8s(_) => Done::unresolved(),
        },
        Action::Random | Action::Drain(_) => Done::unresolved(),
    }
}

async fn strike(provider: &Provider, pod: &str, blow: Blow) -> Result<(), String> {
    let struck = match provider {
        Provider::Docker(pods) => pods.strike(pod, blow).await,
        Provider::Local(pods) => pods.strike(pod, blow),
        Provider::K8s(_) => return Err("a cluster strikes its own pods".to_owned()),
    };
    struck.map_err(|error| error.to_string())
}

/// Begins something, and ends it after a time even where it did not wholly begin.
async fn held<E: Display>(
    length: Duration,
    begin: impl Future<Output = Result<(), E>>,
    end: impl Future<Output = Result<(), E>>,
) -> Result<(), String> {
    let begun = begin.await;
    if begun.is_ok() {
        tokio::time::sleep(length).await;
    }
    begun.and(end.await).map_err(|error| error.to_string())
}

async fn disturb(provider: &Provider, disturbances: &[Disturbance], length: Duration) -> Done {
    let Provider::Docker(pods) = provider else { return Done::unresolved() };
    Done::of(held(length, pods.disturb(disturbances), pods.calm(disturbances)).await)
}

async fn fill(pods: &DockerPods, pod: &str, space: &Space, length: Duration) -> Result<(), String> {
    match space {
        Space::Memory => held(length, pods.fill_memory(pod), pods.release_memory(pod)).await,
        Space::Volume(volume) => held(length, pods.fill_volume(pod, volume), pods.release_volume(pod, volume)).await,
    }
}

/// Pods in turn, or all at once where that is the strategy.
async fn roll_out(hand: &Hand, component: &str) -> Done {
    let mut pods = hand.pods_of(component);
    let spec = pods::of_component(&hand.pods, component).next();
    // As a StatefulSet does it, from the last one to the first.
    if spec.is_some_and(|pod| pod.component.kind == "StatefulSet") {
        pods.reverse();
    }
    let mut all = Done::of(Ok(()));
    for pod in pods {
        let one = std::slice::from_ref(&pod);
        let done = hand.ready_again(one, hand.replace(one).await).await;
        all.ends.extend(done.ends);
        all.failure = done.failure;
        if all.failure.is_some() {
            break;
        }
    }
    all
}
