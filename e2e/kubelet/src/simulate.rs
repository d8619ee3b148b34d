//! Simulates a container in virtual time: the worker of [`super::worker`] against a behaviour. Main function: [`simulate`].

use std::time::Duration;

use e2e_plan::ProbeKind;

use crate::{
    observation::Verdict,
    status::Exit,
    worker::{Action, Input, Worker},
};

/// The behaviour of a container. Times are since the start of the simulation.
pub trait Behaviour {
    /// The duration of a start.
    fn start(&mut self, now: Duration) -> Duration;
    /// The time and exit of the instance that runs since `since`, if it ends by itself.
    fn exit(&mut self, since: Duration) -> Option<(Duration, Exit)>;
    /// A probe's result and duration.
    fn probe(&mut self, now: Duration, since: Duration, which: ProbeKind) -> (Duration, Verdict, String);
    /// The time from SIGTERM to the end, and the exit.
    fn kill(&mut self, grace: Duration) -> (Duration, Exit) {
        (grace, Exit { code: 137, oom_killed: false })
    }
}

/// Runs `worker` against `behaviour` until `until` and returns it. `seen` gets each moment with its input and its actions: an hour has
/// tens of thousands.
pub fn simulate<B: Behaviour>(
    mut worker: Worker,
    behaviour: &mut B,
    until: Duration,
    mut seen: impl FnMut(Duration, &Input, &[Action], &Worker),
) -> Worker {
    // At most one answer for each probe and an end.
    let mut agenda: Vec<Entry> = Vec::new();
    let mut since = Duration::ZERO;
    loop {
        // Among equal times, the one scheduled first.
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
            // Pending inputs of an instance end with it.
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
                Action::RunHook { which, .. } => (Duration::ZERO, Input::HookEnded { which: *which, failure: None }),
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

/// The scheduled inputs.
struct Entry {
    at: Duration,
    input: Input,
}
