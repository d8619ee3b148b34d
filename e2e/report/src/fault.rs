//! Faults that a run brings about while a scenario's load is on: their one-line language, and what each means for a system's pods.
//! Main type: [`PlannedFault`]. Pure: the run carries them out.
//!
//! ```text
//! kill POD [with SIGKILL|SIGTERM] at TIME      the containers' programs get the signal
//! delete POD at TIME                           the pod is drained with its grace period, and another one takes its place
//! pause POD for TIME at TIME                   the pod's processes stand still
//! rollout COMPONENT at TIME                    its pods are replaced as its strategy says; with `Recreate` that is a restart
//! restart COMPONENT at TIME                    its pods are drained and started again, all at once
//! ```
//!
//! For POD a component's name stands for one of its pods, and TIME after `at` may be `random`; a seed decides both. Times count from the
//! start of the scenario's measured window.

use std::{fmt, str::FromStr, time::Duration};

use e2e_figures::Random;
use e2e_plan::{duration, pod_name, target::Target};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A fault at a moment of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFault {
    /// What happens.
    pub action: Action,
    /// The pod or the component that it happens to.
    pub victim: String,
    /// When, after the start of the measured window; `None` is a moment that a seed decides.
    pub at: Option<Duration>,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The programs of a pod's containers get SIGKILL.
    Kill,
    /// They get SIGTERM, which nothing else announces: no Service learns of it first.
    Terminate,
    /// A pod leaves its Services, is stopped with its grace period, and another one takes its place.
    Delete,
    /// A pod's processes stand still for so long.
    Pause(Duration),
    /// A component's pods are replaced as its strategy says.
    Rollout,
    /// A component's pods are stopped with their grace period and started again, all at once.
    Restart,
    /// One of the others, which a seed decides.
    Random,
}

/// The actions among which a seed decides. A pause is as long as a readiness probe with a period of two seconds needs to notice it.
const ACTIONS: [Action; 6] = [
    Action::Kill,
    Action::Terminate,
    Action::Delete,
    Action::Pause(Duration::from_secs(2)),
    Action::Rollout,
    Action::Restart,
];
/// What stands for any component.
const ANY: &str = "any";

impl Action {
    /// Whether it ends programs, so that what they had not written is lost.
    pub fn ends_programs(self) -> bool {
        !matches!(self, Self::Pause(_))
    }

    /// Whether the programs are asked to end and leave their Services, so that a drain can keep clients from noticing where others take over.
    pub fn can_be_drained(self) -> bool {
        matches!(self, Self::Delete | Self::Rollout)
    }

    /// Whether it happens to a whole component.
    fn is_of_component(self) -> bool {
        matches!(self, Self::Rollout | Self::Restart)
    }
}

/// Why a fault cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}`: {reason}")]
pub struct FaultError {
    /// The fault as it was written.
    pub text: String,
    /// What is wrong and what to write.
    pub reason: String,
}

/// How to write one.
const FORMS: &str = "write one of `kill POD at 10s`, `kill POD with SIGTERM at 10s`, `delete POD at 10s`, `pause POD for 3s at 10s`, \
                     `rollout COMPONENT at 10s`, `restart COMPONENT at 10s`, `random any at random`";

impl FromStr for PlannedFault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let error = |reason: String| FaultError { text: text.to_owned(), reason };
        let time = |text: &str| duration::parse(text).map_err(error);
        let words: Vec<&str> = text.split_whitespace().collect();
        let (action, victim, at) = match words[..] {
            ["kill", victim, "at", at] => (Action::Kill, victim, at),
            ["kill", victim, "with", "SIGKILL" | "KILL", "at", at] => (Action::Kill, victim, at),
            ["kill", victim, "with", "SIGTERM" | "TERM", "at", at] => (Action::Terminate, victim, at),
            ["kill", _, "with", signal, "at", _] => {
                return Err(error(format!("{signal} is not sent; write SIGKILL or SIGTERM")));
            }
            ["delete", victim, "at", at] => (Action::Delete, victim, at),
            ["pause", victim, "for", length, "at", at] => {
                (Action::Pause(duration::parse_positive(length).map_err(error)?), victim, at)
            }
            ["rollout", victim, "at", at] => (Action::Rollout, victim, at),
            ["restart", victim, "at", at] => (Action::Restart, victim, at),
            ["random", victim, "at", at] => (Action::Random, victim, at),
            _ => return Err(error(FORMS.to_owned())),
        };
        let at = if at == "random" { None } else { Some(time(at)?) };
        Ok(Self { action, victim: victim.to_owned(), at })
    }
}

/// As it is read.
impl fmt::Display for PlannedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, victim, at } = self;
        match action {
            Action::Kill => write!(f, "kill {victim}")?,
            Action::Terminate => write!(f, "kill {victim} with SIGTERM")?,
            Action::Delete => write!(f, "delete {victim}")?,
            Action::Pause(length) => write!(f, "pause {victim} for {}", short(*length))?,
            Action::Rollout => write!(f, "rollout {victim}")?,
            Action::Restart => write!(f, "restart {victim}")?,
            Action::Random => write!(f, "random {victim}")?,
        }
        match at {
            Some(at) => write!(f, " at {}", short(*at)),
            None => f.write_str(" at random"),
        }
    }
}

/// `10s`, `2500ms`.
fn short(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{}s", time.as_secs()) } else { format!("{}ms", time.as_millis()) }
}

impl Serialize for PlannedFault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PlannedFault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for PlannedFault {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PlannedFault".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

/// A component, as far as faults are about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victim {
    /// Its name.
    pub name: String,
    /// How many pods it has.
    pub replicas: u32,
    /// How a rollout replaces its pods.
    pub strategy: Strategy,
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

/// Decides everything that was left to a seed, and refuses what `target` cannot do: the faults of a scenario whose window is so long, each
/// with its pod or component and its time.
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

/// A moment that a seed decides leaves this much of the window in front of it, to compare with, and that much behind it, to recover in.
const RANDOM_FROM: f64 = 0.1;
const RANDOM_TO: f64 = 0.6;

fn resolve_one(
    fault: &PlannedFault,
    victims: &[Victim],
    target: Target,
    window: Duration,
    random: &mut Random,
) -> Result<PlannedFault, String> {
    // All numbers are drawn, whether needed or not: what is left to the seed stays the same when something else is written down.
    let (which, when) = (random.fraction(), random.fraction());
    let (what, whose) = (random.fraction(), random.fraction());
    let fault = &decided(fault, victims, target, (what, whose))?;
    let action = fault.action;
    let names = || {
        let of = |victim: &Victim| match action.is_of_component() {
            true => vec![victim.name.clone()],
            false => (0..victim.replicas).map(|index| pod_name(&victim.name, index)).collect(),
        };
        victims.iter().flat_map(of).collect::<Vec<_>>().join(", ")
    };
    let component = victims.iter().find(|victim| victim.name == fault.victim);
    let has_pod = |victim: &&Victim| (0..victim.replicas).any(|index| pod_name(&victim.name, index) == fault.victim);
    let victim = match component {
        Some(component) if component.replicas == 0 => return Err(format!("{} has no replicas", component.name)),
        Some(component) if action.is_of_component() => component.name.clone(),
        Some(component) => pod_name(&component.name, (which * f64::from(component.replicas)) as u32),
        None if action.is_of_component() => return Err(format!("there is no such component; there are {}", names())),
        None if victims.iter().any(|victim| has_pod(&victim)) => fault.victim.clone(),
        None => return Err(format!("there is no such pod or component; there are {}", names())),
    };
    if let Some(reason) = refusal(action, component, target) {
        return Err(reason);
    }
    let action = match component.map(|component| component.strategy) {
        Some(Strategy::AllAtOnce) if action == Action::Rollout => Action::Restart,
        _ => action,
    };
    let at = fault.at.unwrap_or_else(|| {
        let share = RANDOM_FROM + when * (RANDOM_TO - RANDOM_FROM);
        Duration::from_millis((window.as_secs_f64() * share * 10.0) as u64 * 100)
    });
    let length = if let Action::Pause(length) = action { length } else { Duration::ZERO };
    match at + length < window {
        true => Ok(PlannedFault { action, victim, at: Some(at) }),
        false => Err(format!(
            "the scenario's window ends after {}, before the fault is over; choose an earlier time, or a longer --duration",
            duration::human(window)
        )),
    }
}

/// A fault with the component and the action that two numbers from 0 to 1 decide, where they are left open. Only what `target` can do is
/// among the actions.
fn decided(
    fault: &PlannedFault,
    victims: &[Victim],
    target: Target,
    (what, whose): (f64, f64),
) -> Result<PlannedFault, String> {
    let mut fault = fault.clone();
    if fault.victim == ANY && victims.iter().all(|victim| victim.name != ANY) {
        let running: Vec<&Victim> = victims.iter().filter(|victim| victim.replicas > 0).collect();
        fault.victim = chosen(&running, whose).ok_or("no component has replicas")?.name.clone();
    }
    if fault.action == Action::Random {
        let component = victims.iter().find(|victim| victim.name == fault.victim);
        let is_possible = |action: &Action| {
            (component.is_some() || !action.is_of_component()) && refusal(*action, component, target).is_none()
        };
        let possible: Vec<Action> = ACTIONS.into_iter().filter(is_possible).collect();
        fault.action = *chosen(&possible, what).ok_or("nothing can happen to it here")?;
    }
    Ok(fault)
}

/// The element at a share of a list.
fn chosen<T>(list: &[T], share: f64) -> Option<&T> {
    list.get((share * list.len() as f64) as usize)
}

/// Why a target cannot do something to a component, or to a pod where it is none.
fn refusal(action: Action, component: Option<&Victim>, target: Target) -> Option<String> {
    match (action, component, target) {
        (Action::Pause(_), _, Target::K8s) => {
            Some("a cluster cannot freeze the processes of a pod; use --target docker or local, or `kill`".to_owned())
        }
        (
            Action::Rollout,
            Some(Victim { name, replicas: 1, strategy: Strategy::Surge }),
            Target::Docker | Target::Local,
        ) => Some(format!(
            "{target} replaces pods in their place, and {name} has one replica, of which a cluster starts the new one first; write \
                 `restart {name}`, or use --target k8s"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn victims() -> Vec<Victim> {
        let victim = |name: &str, replicas, strategy| Victim { name: name.to_owned(), replicas, strategy };
        let (surge, all) = (Strategy::Surge, Strategy::AllAtOnce);
        vec![victim("backend", 2, surge), victim("nginx", 1, surge), victim("postgres", 1, all)]
    }

    fn resolved(text: &str, target: Target, seed: u64) -> Result<String, String> {
        let fault = text.parse().map_err(|error: FaultError| error.to_string())?;
        let resolved = resolve(&[fault], &victims(), target, MINUTE, seed).map_err(|error| error.to_string())?;
        Ok(resolved[0].to_string())
    }

    #[rstest::rstest]
    #[case("kill backend-0 at 10s")]
    #[case("kill backend-1 with SIGTERM at 1500ms")]
    #[case("delete backend-0 at 10s")]
    #[case("pause postgres-0 for 3s at 30s")]
    #[case("rollout backend at 20s")]
    #[case("restart postgres at 5s")]
    fn what_is_written_in_full_stays_as_it_is(#[case] text: &str) {
        assert_eq!(resolved(text, Target::Docker, 1), Ok(text.to_owned()));
        assert_eq!(resolved(text, Target::Docker, 2), Ok(text.to_owned()));
    }

    #[test]
    fn a_rollout_that_stops_all_at_once_is_a_restart() {
        assert_eq!(resolved("rollout postgres at 5s", Target::Docker, 1).unwrap(), "restart postgres at 5s");
        assert_eq!(resolved("rollout nginx at 5s", Target::K8s, 1).unwrap(), "rollout nginx at 5s");
    }

    #[test]
    fn a_seed_decides_the_rest_and_always_in_the_same_way() {
        let by_seed: std::collections::BTreeSet<String> =
            (0..50).map(|seed| resolved("kill backend at random", Target::Local, seed).unwrap()).collect();
        assert!(by_seed.len() > 40, "{by_seed:?}");
        for pod in ["backend-0", "backend-1"] {
            assert!(by_seed.iter().any(|fault| fault.contains(pod)), "{by_seed:?}");
        }
        for fault in &by_seed {
            let at = fault.parse::<PlannedFault>().unwrap().at.unwrap();
            assert!((Duration::from_secs(6)..=Duration::from_secs(36)).contains(&at), "{fault}");
        }
        let again = || resolved("kill backend at random", Target::Local, 7);
        assert_eq!(again(), again());
    }

    #[test]
    fn a_seed_decides_what_happens_and_to_which_component_too() {
        let decided = |text: &str, target| -> std::collections::BTreeSet<String> {
            let first_words = |fault: String| fault.split(" at ").next().unwrap_or_default().to_owned();
            (0..300).map(|seed| first_words(resolved(text, target, seed).unwrap())).collect()
        };
        // A rollout of nginx is refused here, and that of postgres is a restart.
        let mut expected: Vec<String> = ["backend-0", "backend-1", "nginx-0", "postgres-0"]
            .iter()
            .flat_map(|pod| {
                ["kill {}", "kill {} with SIGTERM", "delete {}", "pause {} for 2s"].map(|form| form.replace("{}", pod))
            })
            .chain(["restart backend", "restart nginx", "restart postgres", "rollout backend"].map(str::to_owned))
            .collect();
        expected.sort();
        assert_eq!(decided("random any at random", Target::Docker).into_iter().collect::<Vec<_>>(), expected);
        let of_pod = decided("random nginx-0 at 3s", Target::K8s);
        assert_eq!(
            of_pod.into_iter().collect::<Vec<_>>(),
            ["delete nginx-0", "kill nginx-0", "kill nginx-0 with SIGTERM"]
        );
        assert_eq!(decided("kill any at 3s", Target::Local).len(), 4);
    }

    #[rstest::rstest]
    #[case::nonsense("kick backend at 3s", Target::Docker, "`kick backend at 3s`: write one of `kill POD at 10s`")]
    #[case::no_time("kill backend-0", Target::Docker, "write one of")]
    #[case::no_unit("kill backend-0 at 10", Target::Docker, "`10` is not a duration; write a number with a unit")]
    #[case::signal("kill backend with SIGHUP at 1s", Target::Docker, "SIGHUP is not sent; write SIGKILL or SIGTERM")]
    #[case::no_pause("pause backend for 0s at 1s", Target::Docker, "must be longer than zero")]
    #[case::no_such_pod("kill backend-2 at 1s", Target::Docker, "there are backend-0, backend-1, nginx-0, postgres-0")]
    #[case::no_such_component("rollout backend-0 at 1s", Target::Docker, "there are backend, nginx, postgres")]
    #[case::too_late("pause postgres for 30s at 30s", Target::Docker, "window ends after 60.0 s")]
    #[case::frozen_in_a_cluster("pause postgres for 3s at 3s", Target::K8s, "a cluster cannot freeze")]
    #[case::alone("rollout nginx at 3s", Target::Docker, "write `restart nginx`, or use --target k8s")]
    fn a_mistake_is_named_with_what_to_write(#[case] text: &str, #[case] target: Target, #[case] expected: &str) {
        let error = resolved(text, target, 1).unwrap_err();
        assert!(error.starts_with(&format!("`{text}`: ")) && error.contains(expected), "{error}");
    }
}
