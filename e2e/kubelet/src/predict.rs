//! Predicts what a kubelet will do with a container, from a run's measurements. Pure.
//! Main types: [`Measured`], a behaviour for [`super::simulate`], and [`Timeline`], the result.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use e2e_plan::{ProbeKind, Probes, Restart, words::counted};

use crate::{
    observation::Verdict,
    simulate::{Behaviour, simulate},
    snapshot::{ContainerReport, ProbeReport},
    status::{ContainerState, ContainerStatus, Event, Exit},
    worker::{Action, Policy, Worker},
};

/// The measured behaviour of a container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// The answer to each probe once the program answers.
    pub answers: BTreeMap<ProbeKind, Answer>,
    /// The time from a start to the first answer.
    pub start: Duration,
    /// The time until it ends by itself, and its exit; `None` if it does not.
    pub life: Option<(Duration, Exit)>,
    /// The time that it takes to stop.
    pub stop: Duration,
}

/// The answer to a probe.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The kubelet's verdict.
    pub verdict: Verdict,
    /// Its duration.
    pub latency: Duration,
    /// The kubelet's words for a failure.
    pub message: String,
}

impl Measured {
    /// Reads a run's measurements of a container.
    #[must_use]
    pub fn of(container: &ContainerReport) -> Self {
        let status = &container.status;
        let answers = container.probes.iter().filter_map(|(which, report)| {
            // A cluster reports only failures: a success shows in the container's state.
            let came_well = match which {
                // A startup probe ends with its first success; readiness shows the state at the end.
                ProbeKind::Startup => status.started || report.last_success.is_some(),
                ProbeKind::Readiness => status.ready,
                ProbeKind::Liveness if report.last_success.is_none() => {
                    status.started && !container.was_killed_by(*which)
                }
                ProbeKind::Liveness => report.sent.is_some_and(|sent| report.failed * 2 <= sent),
            };
            Some((*which, Answer::of(report, came_well)?))
        });
        let firsts = container.probes.values().filter_map(|report| report.first_success_ms);
        Self {
            answers: answers.collect(),
            // The first success of any probe marks the program's start; later ones may depend on more.
            start: firsts.min().map_or(Duration::ZERO, Duration::from_millis),
            life: life(container),
            stop: stop(container),
        }
    }

    /// The same container with a succeeding probe, as after a fix.
    #[must_use]
    pub fn with_success(mut self, which: ProbeKind) -> Self {
        if let Some(answer) = self.answers.get_mut(&which) {
            answer.verdict = Verdict::Success;
            answer.message = String::new();
        }
        self
    }
}

impl Answer {
    /// A probe's last result; `None` if unknown.
    fn of(report: &ProbeReport, came_well: bool) -> Option<Self> {
        let mean = report.sum_ms / f64::from(report.sent.unwrap_or(0).max(1));
        let latency = Duration::from_secs_f64(mean.max(0.0) / 1000.0);
        let success = || Self { verdict: Verdict::Success, latency, message: String::new() };
        match &report.last_failure {
            _ if came_well => Some(success()),
            Some(failure) => Some(Self { verdict: failure.verdict, latency, message: failure.message.clone() }),
            None => report.last_success.as_ref().map(|_| success()),
        }
    }
}

/// A termination that neither a probe nor a stop caused.
fn life(container: &ContainerReport) -> Option<(Duration, Exit)> {
    let end = container.own_ends().pop()?;
    let exit = Exit { code: end.exit_code, oom_killed: end.is_oom_kill() };
    Some((end.at.saturating_sub(end.started), exit))
}

/// The time from the last kill to the termination that followed.
fn stop(container: &ContainerReport) -> Duration {
    let last = container.kills().into_iter().max_by_key(|(_, at, _)| *at);
    last.map_or(Duration::ZERO, |(_, at, end)| end.at.saturating_sub(at))
}

impl Behaviour for Measured {
    fn start(&mut self, _now: Duration) -> Duration {
        Duration::ZERO
    }

    fn exit(&mut self, since: Duration) -> Option<(Duration, Exit)> {
        self.life.map(|(life, exit)| (since + life, exit))
    }

    fn probe(&mut self, now: Duration, since: Duration, which: ProbeKind) -> (Duration, Verdict, String) {
        if now < since + self.start {
            return (Duration::ZERO, Verdict::Failure, "connect: connection refused".to_owned());
        }
        match self.answers.get(&which) {
            Some(answer) => (answer.latency, answer.verdict, answer.message.clone()),
            None => (Duration::ZERO, Verdict::NotMeasured, "the run measured no such probe".to_owned()),
        }
    }

    fn kill(&mut self, grace: Duration) -> (Duration, Exit) {
        match self.stop >= grace {
            true => (grace, Exit { code: 137, oom_killed: false }),
            false => (self.stop, Exit { code: 0, oom_killed: false }),
        }
    }
}

/// A kubelet's actions on a container over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timeline {
    /// The first time it is ready.
    pub ready_at: Option<Duration>,
    /// The first kill by a probe, and that probe.
    pub killed_at: Option<(Duration, String)>,
    /// The first time it waits in CrashLoopBackOff.
    pub crash_loop_at: Option<Duration>,
    /// The number of restarts.
    pub restarts: u32,
    /// Whether it is ready at the end.
    pub ready: bool,
    /// Whether it has ended well for good, as a Job's does.
    pub completed: bool,
    /// Its state at the end, in one word.
    pub state: String,
    /// The first time of each moment, in order: starts, readiness, kills, exits, waits.
    pub moments: Vec<(Duration, String)>,
    /// Its events.
    pub events: Vec<Event>,
}

/// Simulates a container from its start until `until`.
#[must_use]
pub fn play(
    pod: &str,
    container: &str,
    probes: &Probes,
    (restart, grace): (Restart, Duration),
    behaviour: &mut impl Behaviour,
    until: Duration,
) -> Timeline {
    let worker = Worker::new(pod, container, probes.clone(), Policy::new(restart, grace));
    let mut timeline = Timeline::default();
    let mut state = worker.status().state.clone();
    let worker = simulate(worker, behaviour, until, |at, _, actions, worker| {
        timeline.take_in(at, actions, worker.status(), &state);
        if worker.status().state != state {
            state.clone_from(&worker.status().state);
        }
    });
    timeline.events = worker.events().to_vec();
    timeline.state = worker.status().state.to_string();
    let has_succeeded = matches!(&worker.status().state, ContainerState::Terminated(end) if end.exit_code == 0);
    timeline.completed = has_succeeded && restart.runs_to_completion();
    timeline
}

impl Timeline {
    fn take_in(&mut self, at: Duration, actions: &[Action], status: &ContainerStatus, before: &ContainerState) {
        if status.ready != self.ready {
            self.moments.push((at, if status.ready { "ready" } else { "not ready" }.to_owned()));
            self.ready = status.ready;
        }
        if status.ready {
            self.ready_at.get_or_insert(at);
        }
        for action in actions {
            if let Action::Kill { reason, .. } = action {
                self.killed_at.get_or_insert((at, reason.clone()));
                self.moments.push((at, format!("killed: {reason}")));
            }
        }
        self.restarts = status.restart_count;
        if status.state == *before {
            return;
        }
        let text = match &status.state {
            ContainerState::Running { .. } if status.restart_count > 0 => {
                format!("running again, restart {}", status.restart_count)
            }
            ContainerState::Running { .. } => "running".to_owned(),
            ContainerState::Waiting { reason, message } => {
                if reason == "CrashLoopBackOff" {
                    self.crash_loop_at.get_or_insert(at);
                }
                format!("{reason}: {message}")
            }
            ContainerState::Terminated(end) => format!("ended with {} ({})", end.exit_code, end.reason),
        };
        self.moments.push((at, text));
    }

    /// The verdict in one sentence.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = match self.ready_at {
            Some(at) => format!("ready at {}", seconds(at)),
            None => "never ready".to_owned(),
        };
        if let Some((at, reason)) = &self.killed_at {
            let _ = write!(text, "; at {}: {reason}", seconds(*at));
        }
        if let Some(at) = self.crash_loop_at {
            let _ = write!(text, "; in CrashLoopBackOff at t = {}", seconds(at));
        }
        let _ = write!(text, "; {}, {} at the end", counted(self.restarts, "restart"), self.state);
        text
    }
}

/// `12.5 s`, or `61 s` without a zero fraction.
fn seconds(time: Duration) -> String {
    let seconds = (time.as_secs_f64() * 10.0).round() / 10.0;
    if seconds.fract() == 0.0 { format!("{seconds:.0} s") } else { format!("{seconds:.1} s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        observation::{Kind, Observation},
        status::Termination,
        worker::tests::{probe, s},
    };

    fn answer(verdict: Verdict, message: &str) -> Answer {
        Answer { verdict, latency: Duration::from_millis(2), message: message.to_owned() }
    }

    /// A migration that succeeds, and the same one under a Deployment.
    #[test]
    fn what_runs_to_completion_is_not_started_again() {
        let ends = Measured { life: Some((s(5), Exit { code: 0, oom_killed: false })), ..Measured::default() };
        let play_as = |restart| play("job-0", "app", &Probes::default(), (restart, s(30)), &mut ends.clone(), s(600));
        for restart in [Restart::Never, Restart::OnFailure { failures_max: Some(6) }] {
            let timeline = play_as(restart);
            assert_eq!((timeline.restarts, timeline.completed), (0, true), "{}", timeline.summary());
        }
        let timeline = play_as(Restart::Always);
        assert!(timeline.restarts > 3 && !timeline.completed, "{}", timeline.summary());
    }

    #[test]
    fn the_founding_incident_is_foretold() {
        let probes = Probes { liveness: Some(probe(0, 10, 1, 3)), ..Probes::default() };
        let refused = answer(Verdict::Failure, "HTTP probe failed with statuscode: 400");
        let mut measured =
            Measured { answers: BTreeMap::from([(ProbeKind::Liveness, refused)]), stop: s(1), ..Measured::default() };
        let timeline = play("backend-0", "app", &probes, (Restart::Always, s(30)), &mut measured, s(3600));
        let killed = "Container app failed liveness probe, will be restarted".to_owned();
        // Probes at 0, 10 and 20 s; the third failure in a row kills.
        assert_eq!(timeline.killed_at, Some((Duration::from_millis(20_002), killed)));
        // The first restart waits for nothing, and each further one for longer.
        assert!(timeline.crash_loop_at.is_some_and(|at| at < s(120)), "{:?}", timeline.crash_loop_at);
        assert!(timeline.restarts >= 9, "{}", timeline.summary());
        let fixed = play(
            "backend-0",
            "app",
            &probes,
            (Restart::Always, s(30)),
            &mut measured.with_success(ProbeKind::Liveness),
            s(3600),
        );
        assert_eq!((fixed.restarts, &fixed.killed_at, fixed.ready), (0, &None, true));
        assert_eq!(fixed.summary(), "ready at 0 s; 0 restarts, Running at the end");
    }

    #[test]
    fn a_cluster_tells_of_failures_alone() {
        let probes =
            Probes { readiness: Some(probe(0, 2, 1, 3)), liveness: Some(probe(0, 5, 1, 3)), ..Probes::default() };
        let mut seen = ContainerReport::declared("app", &probes, "");
        let early = Observation::new(Verdict::Failure, Kind::Response, "HTTP probe failed with statuscode: 503");
        let readiness = ProbeReport { failed: 4, last_failure: Some(early), ..ProbeReport::default() };
        seen.probes.insert(ProbeKind::Readiness, readiness);
        (seen.status.started, seen.status.ready) = (true, true);
        let verdict = |seen: &ContainerReport, which| Measured::of(seen).answers.get(&which).map(|a| a.verdict);
        assert_eq!(verdict(&seen, ProbeKind::Readiness), Some(Verdict::Success), "it is ready in the end");
        assert_eq!(verdict(&seen, ProbeKind::Liveness), Some(Verdict::Success), "nobody killed it");
        (seen.status.started, seen.status.ready) = (false, false);
        assert_eq!(verdict(&seen, ProbeKind::Readiness), Some(Verdict::Failure));
        assert_eq!(verdict(&seen, ProbeKind::Liveness), None, "nothing is known of it");
    }

    /// As a cluster tells of five liveness kills: one event, with the times of the first and of the last.
    #[test]
    fn kills_that_are_counted_in_one_event_are_no_ends_of_the_programs_own() {
        let mut seen = ContainerReport::declared("app", &Probes::default(), "");
        let end = |started: u64, at: u64, exit_code: i32| Termination {
            exit_code,
            signal: None,
            reason: "Error".to_owned(),
            started: s(started),
            at: s(at),
        };
        seen.terminations = (0..5).map(|run| end(run * 30, run * 30 + 22, 137)).collect();
        let killing = Event::normal("Killing", "Container app failed liveness probe, will be restarted");
        seen.events = vec![Event { count: 5, first: s(20), last: s(140), ..killing }];
        let measured = Measured::of(&seen);
        assert_eq!((measured.life, measured.stop), (None, s(2)));

        // A sixth end is more than the kills account for.
        seen.terminations.insert(3, end(84, 89, 1));
        assert_eq!(Measured::of(&seen).life, Some((s(5), Exit { code: 1, oom_killed: false })));
        // Two kills are the first and the last: what lies between is the program's own, whatever it looks like.
        seen.events[0].count = 2;
        seen.events[0].message = "Stopping container app".to_owned();
        assert_eq!(Measured::of(&seen).life, Some((s(22), Exit { code: 137, oom_killed: false })));
    }

    #[test]
    fn an_hour_of_a_system_takes_milliseconds() {
        let probes = Probes {
            startup: Some(probe(0, 1, 1, 30)),
            readiness: Some(probe(0, 2, 1, 3)),
            liveness: Some(probe(0, 5, 1, 3)),
        };
        let well = |which| (which, answer(Verdict::Success, ""));
        let answers = BTreeMap::from(ProbeKind::ALL.map(well));
        let begun = std::time::Instant::now();
        for pod in 0..6 {
            let mut measured = Measured { answers: answers.clone(), ..Measured::default() };
            let timeline =
                play(&format!("app-{pod}"), "app", &probes, (Restart::Always, s(30)), &mut measured, s(3600));
            assert!(timeline.ready);
        }
        // No profile optimises this crate, and the machine has more to do.
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    }
}
