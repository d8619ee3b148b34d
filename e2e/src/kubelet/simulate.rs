//! Plays a container's life in virtual time: the worker of [`super::worker`] against a behaviour that is given as a function.
//! Main function: [`simulate`].

use std::{collections::BTreeMap, time::Duration};

use super::{
    Which,
    observation::Verdict,
    status::{ContainerStatus, Event, Exit},
    worker::{Action, Input, Worker},
};

/// How a container behaves. Times are since the start of the simulation.
pub trait Behaviour {
    /// How long a start takes.
    fn start(&mut self, now: Duration) -> Duration;
    /// When the instance that runs since `since` ends by itself, and how; `None` when it does not.
    fn exit(&mut self, since: Duration) -> Option<(Duration, Exit)>;
    /// What a probe finds and how long it takes.
    fn probe(&mut self, now: Duration, since: Duration, which: Which) -> (Duration, Verdict, String);
    /// How long a SIGTERM takes and how the instance then ends.
    fn kill(&mut self, grace: Duration) -> (Duration, Exit) {
        (grace, Exit { code: 137, oom_killed: false })
    }
}

/// One moment of a simulation: what the worker was told, and the status after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    /// When.
    pub at: Duration,
    /// What the worker was told.
    pub input: Input,
    /// What it asked for.
    pub actions: Vec<Action>,
    /// The status after it.
    pub status: ContainerStatus,
}

/// Runs `worker` against `behaviour` until `until`. Returns each moment at which something happened, and the events.
pub fn simulate(worker: Worker, behaviour: &mut impl Behaviour, until: Duration) -> (Vec<Moment>, Vec<Event>) {
    let mut moments = Vec::new();
    let worker = watch(worker, behaviour, until, |at, input, actions, worker| {
        let (input, actions) = (input.clone(), actions.to_vec());
        moments.push(Moment { at, input, actions, status: worker.status().clone() });
    });
    (moments, worker.events().to_vec())
}

/// As [`simulate`], for who wants to see each moment and to keep none: an hour has ten thousands. Returns the worker as it is in
/// the end.
pub fn watch<B: Behaviour>(
    mut worker: Worker,
    behaviour: &mut B,
    until: Duration,
    mut seen: impl FnMut(Duration, &Input, &[Action], &Worker),
) -> Worker {
    // What will happen, by time and then by the order in which it was arranged.
    let mut agenda: BTreeMap<(Duration, u64), (u32, Input)> = BTreeMap::new();
    let (mut order, mut run, mut since) = (0, 0, Duration::ZERO);
    loop {
        let next = agenda.first_key_value().map(|(&(at, _), _)| at);
        let wake = worker.next_wake().filter(|wake| next.is_none_or(|next| *wake < next));
        let Some(at) = wake.or(next).filter(|at| *at <= until) else {
            return worker;
        };
        let input = match wake {
            Some(_) => Input::Tick,
            None => match agenda.pop_first() {
                // An exit that belongs to an instance which has ended otherwise.
                Some((_, (of_run, _))) if of_run != run => continue,
                Some((_, (_, input))) => input,
                None => continue,
            },
        };
        let mut arrange = |delay: Duration, run: u32, input: Input| {
            order += 1;
            agenda.insert((at + delay, order), (run, input));
        };
        if input == Input::Started {
            since = at;
            if let Some((exit_at, exit)) = behaviour.exit(since) {
                arrange(exit_at.saturating_sub(at), run, Input::Exited(exit));
            }
        }
        let actions = worker.handle(at, input.clone());
        for action in &actions {
            match action {
                Action::Start { run: new } => {
                    run = *new;
                    arrange(behaviour.start(at), run, Input::Started);
                }
                Action::SendProbe { which, run, .. } => {
                    let (delay, verdict, message) = behaviour.probe(at, since, *which);
                    arrange(delay, *run, Input::Probed { which: *which, run: *run, verdict, message });
                }
                Action::Kill { grace, .. } => {
                    let (delay, exit) = behaviour.kill(*grace);
                    arrange(delay, run, Input::Exited(exit));
                }
            }
        }
        seen(at, &input, &actions, &worker);
    }
}
