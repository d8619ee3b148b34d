//! Plays a container's life in virtual time: the worker of [`super::worker`] against a behaviour that is given as a function.
//! Main function: [`simulate`].

use std::time::Duration;

use e2e_plan::ProbeKind;

use crate::{
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
    fn probe(&mut self, now: Duration, since: Duration, which: ProbeKind) -> (Duration, Verdict, String);
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
    // A handful: an answer for each probe and an end.
    let mut agenda: Vec<Entry> = Vec::new();
    let mut since = Duration::ZERO;
    loop {
        // Of several at the same time, the one that was arranged first.
        let next = agenda.iter().enumerate().min_by_key(|(_, entry)| entry.at).map(|(index, entry)| (index, entry.at));
        let wake = worker.next_wake().filter(|wake| next.is_none_or(|(_, next)| *wake < next));
        let Some(at) = wake.or(next.map(|(_, at)| at)).filter(|at| *at <= until) else {
            return worker;
        };
        let input = match next {
            Some((index, _)) if wake.is_none() => agenda.remove(index).input,
            _ => Input::Tick,
        };
        if input == Input::Started {
            since = at;
            if let Some((exit_at, exit)) = behaviour.exit(since) {
                agenda.push(Entry { at: exit_at.max(at), input: Input::Exited(exit) });
            }
        }
        if matches!(input, Input::Exited(_)) {
            // What belongs to an instance ends with it.
            agenda.clear();
        }
        let actions = worker.handle(at, input.clone());
        for action in &actions {
            let (delay, input) = match action {
                Action::Start { .. } => (behaviour.start(at), Input::Started),
                Action::SendProbe { which, run, .. } => {
                    let (delay, verdict, message) = behaviour.probe(at, since, *which);
                    (delay, Input::Probed { which: *which, run: *run, verdict, message })
                }
                Action::Kill { grace, .. } => {
                    let (delay, exit) = behaviour.kill(*grace);
                    (delay, Input::Exited(exit))
                }
            };
            agenda.push(Entry { at: at + delay, input });
        }
        seen(at, &input, &actions, &worker);
    }
}

/// What will happen.
struct Entry {
    at: Duration,
    input: Input,
}
