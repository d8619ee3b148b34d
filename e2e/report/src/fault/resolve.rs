//! What a seed decides of planned faults, and what a target refuses before anything starts. Main function: [`resolve`].

use std::{collections::BTreeMap, time::Duration};

use e2e_figures::Random;
use e2e_plan::{duration, pod_name, pod_names, target::Target};

use super::{Action, FaultError, PlannedFault, Space};

/// A component, as far as faults are about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victim {
    /// Its name.
    pub name: String,
    /// How many pods it has.
    pub replicas: u32,
    /// How a rollout replaces its pods.
    pub strategy: Strategy,
    /// The components that it talks to, as far as the manifests tell.
    pub talks_to: Vec<String>,
    /// Whether one of its containers has a memory limit.
    pub has_memory_limit: bool,
    /// Its writable volumes, and whether each is in memory with a size limit, so that it can be filled without filling anything else.
    pub volumes: BTreeMap<String, bool>,
}

/// How a rollout replaces pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// New ones are started before old ones are stopped: `RollingUpdate` of a Deployment.
    Surge,
    /// One after the other, each in its place: a StatefulSet or DaemonSet.
    InTurn,
    /// All are stopped, and then all started: `Recreate`.
    AllAtOnce,
}

/// What stands for any component.
const ANY: &str = "any";
/// How long a fault lasts that a seed decides: as long as a readiness probe with a period of two seconds needs to notice it.
const LENGTH: Duration = Duration::from_secs(2);
/// How much later packets arrive then: between continents.
const DELAY: Duration = Duration::from_millis(100);
/// A moment that a seed decides leaves this much of the window in front of it, to compare with, and that much behind it, to recover in.
const RANDOM_FROM: f64 = 0.1;
const RANDOM_TO: f64 = 0.6;

/// Decides everything that was left to a seed, and refuses what `target` cannot do: the faults of a scenario whose window is so long, each
/// with its pods or component and its time.
///
/// # Errors
///
/// Names the first fault that cannot be carried out, and what to write instead.
pub fn resolve(
    faults: &[PlannedFault],
    victims: &[Victim],
    target: Target,
    window: Duration,
    seed: u64,
) -> Result<Vec<PlannedFault>, FaultError> {
    let one = |(index, fault): (usize, &PlannedFault)| {
        let mut random = Random::new(seed, u32::try_from(index).unwrap_or(u32::MAX));
        resolve_one(fault, victims, target, window, &mut random)
            .map_err(|reason| FaultError { text: fault.to_string(), reason })
    };
    faults.iter().enumerate().map(one).collect()
}

fn resolve_one(
    fault: &PlannedFault,
    victims: &[Victim],
    target: Target,
    window: Duration,
    random: &mut Random,
) -> Result<PlannedFault, String> {
    // All numbers are drawn, whether needed or not: what is left to the seed stays the same when something else is written down.
    let (which, when) = (random.fraction(), random.fraction());
    let (what, whose, other) = (random.fraction(), random.fraction(), random.fraction());
    let mut fault = fault.clone();
    if fault.victim == ANY && !victims.iter().any(|victim| victim.name == ANY) {
        let running: Vec<&Victim> = victims.iter().filter(|victim| victim.replicas > 0).collect();
        fault.victim = chosen(&running, whose).ok_or("no component has replicas")?.name.clone();
    }
    let owner = owner(&fault.victim, victims);
    match &mut fault.action {
        Action::Random => {
            let owner = owner.ok_or_else(|| unknown(&fault.action, victims))?;
            let is_possible = |action: &Action| {
                (owner.name == fault.victim || !is_of_component(action)) && refusal(action, owner, target).is_none()
            };
            let possible: Vec<Action> = actions(owner, victims, other).into_iter().filter(is_possible).collect();
            fault.action = chosen(&possible, what).ok_or("no fault is possible for it on this target")?.clone();
        }
        Action::Partition { from: peer, .. } | Action::Delay { to: peer, .. }
            if *peer == ANY && !victims.iter().any(|victim| victim.name == ANY) =>
        {
            *peer = others(owner, victims, other).ok_or("there is no other component with replicas")?.to_owned();
        }
        _ => {}
    }
    let owner = owner.ok_or_else(|| unknown(&fault.action, victims))?;
    if owner.replicas == 0 {
        return Err(format!("{} has no replicas", owner.name));
    }
    if is_of_component(&fault.action) && owner.name != fault.victim {
        return Err(unknown(&fault.action, victims));
    }
    if let Action::Partition { from: peer, .. } | Action::Delay { to: peer, .. } = &fault.action {
        check_peer(&fault.victim, peer, victims)?;
    } else if !is_of_component(&fault.action) && owner.name == fault.victim {
        fault.victim = pod_name(&owner.name, (which * f64::from(owner.replicas)) as u32);
    }
    if let Some(reason) = refusal(&fault.action, owner, target) {
        return Err(reason);
    }
    if fault.action == Action::Rollout && owner.strategy == Strategy::AllAtOnce {
        fault.action = Action::Restart;
    }
    let at = fault.at.unwrap_or_else(|| moment(window, when));
    match at + fault.action.length() < window {
        true => Ok(PlannedFault { at: Some(at), ..fault }),
        false => Err(format!(
            "the scenario's window ends after {}, before the fault is over; choose an earlier time, or a longer --duration",
            duration::human(window)
        )),
    }
}

/// A moment of a window that is left to chance, in tenths of a second.
fn moment(window: Duration, fraction: f64) -> Duration {
    let share = RANDOM_FROM + fraction * (RANDOM_TO - RANDOM_FROM);
    Duration::from_millis((window.as_secs_f64() * share * 10.0) as u64 * 100)
}

/// Whether it happens to a whole component and to nothing less.
fn is_of_component(action: &Action) -> bool {
    matches!(action, Action::Rollout | Action::Restart)
}

/// Whether it happens to all pods of a component.
fn is_of_pods(action: &Action) -> bool {
    matches!(action, Action::Partition { .. } | Action::Delay { .. })
}

/// The component of this name, or the one with the pod of this name.
fn owner<'a>(name: &str, victims: &'a [Victim]) -> Option<&'a Victim> {
    let by_name = victims.iter().find(|victim| victim.name == name);
    by_name.or_else(|| victims.iter().find(|victim| pods(victim).any(|pod| pod == name)))
}

fn pods(victim: &Victim) -> impl Iterator<Item = String> {
    pod_names(&victim.name, victim.replicas)
}

/// Why a fault cannot happen to a name.
fn unknown(action: &Action, victims: &[Victim]) -> String {
    let components = || victims.iter().map(|victim| victim.name.clone()).collect::<Vec<_>>().join(", ");
    match action {
        action if is_of_component(action) => format!("there is no such component; there are {}", components()),
        action if is_of_pods(action) => format!("there is no such component or pod; there are {}", components()),
        _ => {
            let pods: Vec<String> = victims.iter().flat_map(pods).collect();
            format!("there is no such pod or component; there are {}", pods.join(", "))
        }
    }
}

/// Whether there is something between the two sides of a fault.
fn check_peer(name: &str, peer: &str, victims: &[Victim]) -> Result<(), String> {
    let Some(other) = owner(peer, victims) else {
        let known: Vec<&str> = victims.iter().map(|victim| victim.name.as_str()).collect();
        return Err(format!("there is no component or pod {peer}; there are {}", known.join(", ")));
    };
    match other.replicas {
        0 => Err(format!("{} has no replicas", other.name)),
        1 if owner(name, victims).is_some_and(|own| own.name == other.name) => {
            Err(format!("{} has one pod, which sends nothing to another pod", other.name))
        }
        _ if name == peer && name != other.name => Err(format!("{name} sends nothing to another pod of that name")),
        _ => Ok(()),
    }
}

/// What a seed may decide on for a component.
fn actions(owner: &Victim, victims: &[Victim], other: f64) -> Vec<Action> {
    // No SIGTERM: some programs do not end by it. PostgreSQL waits until its last client is gone, and takes no new one.
    let mut actions = vec![
        Action::Kill,
        Action::Delete,
        Action::Pause(LENGTH),
        Action::Rollout,
        Action::Restart,
        Action::Fill { space: Space::Memory, length: LENGTH },
    ];
    let volumes = owner.volumes.keys().map(|name| Space::Volume(name.clone()));
    actions.extend(volumes.map(|space| Action::Fill { space, length: LENGTH }));
    // Between components that never talk, nobody would notice anything.
    let running: Vec<&String> =
        owner.talks_to.iter().filter(|name| victims.iter().any(|it| it.name == **name && it.replicas > 0)).collect();
    if let Some(peer) = chosen(&running, other) {
        actions.push(Action::Partition { from: (*peer).clone(), length: LENGTH });
        actions.push(Action::Delay { to: (*peer).clone(), by: DELAY, length: LENGTH });
    }
    actions
}

/// One of the components that a component talks to, else any other one.
fn others<'a>(owner: Option<&'a Victim>, victims: &'a [Victim], share: f64) -> Option<&'a str> {
    let others: Vec<&Victim> =
        victims.iter().filter(|it| it.replicas > 0 && owner.is_none_or(|owner| owner.name != it.name)).collect();
    let talked: Vec<&Victim> =
        others.iter().copied().filter(|it| owner.is_some_and(|owner| owner.talks_to.contains(&it.name))).collect();
    let among = if talked.is_empty() { others } else { talked };
    chosen(&among, share).map(|victim| victim.name.as_str())
}

/// The element at a share of a list.
fn chosen<T>(list: &[T], share: f64) -> Option<&T> {
    list.get((share * list.len() as f64) as usize)
}

/// Why a target cannot do something to a component or one of its pods.
fn refusal(action: &Action, victim: &Victim, target: Target) -> Option<String> {
    let Victim { name, replicas, strategy, has_memory_limit, volumes, .. } = victim;
    match (action, target) {
        (Action::Pause(_), Target::K8s) => {
            Some("a run cannot freeze processes in a cluster; use --target docker or local, or `kill`".to_owned())
        }
        (Action::Rollout, Target::Docker | Target::Local) if (*replicas, *strategy) == (1, Strategy::Surge) => {
            Some(format!(
                "{target} replaces pods in place, and {name} has one replica, while a cluster would start the new pod first; \
                 write `restart {name}`, or use --target k8s"
            ))
        }
        (Action::Drain(_), Target::Docker | Target::Local) => {
            Some(format!("there are no nodes on {target}; use --target k8s, or `delete {name}`"))
        }
        (Action::Partition { .. } | Action::Delay { .. }, Target::Local) => {
            Some("local processes share this machine's network; use --target docker".to_owned())
        }
        (Action::Partition { .. } | Action::Delay { .. }, Target::K8s) => {
            Some("a run cannot change the network of a cluster's pods; use --target docker".to_owned())
        }
        (Action::Fill { .. }, Target::Local) => {
            Some("local processes share this machine's memory and disk; use --target docker".to_owned())
        }
        (Action::Fill { .. }, Target::K8s) => {
            Some("a run cannot use up the memory or volumes of a cluster's pods; use --target docker".to_owned())
        }
        (Action::Fill { space: Space::Memory, .. }, Target::Docker) if !has_memory_limit => Some(format!(
            "no container of {name} has a memory limit that could be used up; set resources.limits.memory"
        )),
        (Action::Fill { space: Space::Volume(volume), .. }, Target::Docker) => match volumes.get(volume) {
            Some(true) => None,
            Some(false) => Some(format!(
                "nothing enforces the size of the volume {volume} of {name} on disk, and a full one would fill the engine's; make it an \
                 `emptyDir: {{medium: Memory, sizeLimit: 64Mi}}`"
            )),
            None => {
                let known: Vec<&str> = volumes.keys().map(String::as_str).chain(["memory"]).collect();
                Some(format!("{name} has no writable volume {volume}; write one of {}", known.join(", ")))
            }
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
