//! A kubelet's decisions for one container, in virtual time: no clock, no threads, no network. Main type: [`Worker`]; time is a
//! [`Duration`] since the start of the run, given by the caller.
//!
//! Sources: `doProbe` in `pkg/kubelet/prober/worker.go` for thresholds and delays, `UpdatePodStatus` in `prober_manager.go` for
//! readiness, `computePodActions`, `SyncPod` and `doBackOff` in `pkg/kubelet/kuberuntime/kuberuntime_manager.go` for kills and
//! restarts. Two times are idealised: a kubelet notices an exit up to a second later, and its probes tick from the pod's creation,
//! so a container's first probe comes up to one period later than here, right after the initial delay.

mod hooks;
mod probing;

use std::time::Duration;

use e2e_plan::{HookKind, ProbeKind, Probes, Restart, duration};
use hooks::Ending;
use probing::Probing;

use crate::{
    backoff::BackOff,
    observation::Verdict,
    status::{ContainerState, ContainerStatus, Event, EventType, Exit, Termination, add_event},
};

/// The minimum time that a container has to stop (`minimumGracePeriodInSeconds`).
const MIN_GRACE: Duration = Duration::from_secs(2);

/// The rules for a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The restart policy.
    pub restart: Restart,
    /// The grace period to stop, unless its probe declares another one.
    pub grace: Duration,
    /// The pause between extra startup and readiness probes, sent between those of the period until the container is ready. Their
    /// successes count and their failures do not, so the verdicts stay a kubelet's and only the wait shrinks. The pause is at least
    /// twice the duration of the last probe, and the sender may skip extra commands that are unlikely to succeed yet. `None` is a
    /// kubelet's behaviour.
    pub eager: Option<Duration>,
    /// Whether probes are sent and have their effect at once; see [`Profile`](crate::profile::Profile).
    pub acts_at_once: bool,
    /// Whether the container has a postStart hook.
    pub post_start: bool,
    /// Whether it has a preStop hook.
    pub pre_stop: bool,
}

impl Policy {
    /// A current kubelet's, for a container without hooks.
    pub const fn new(restart: Restart, grace: Duration) -> Self {
        Self { restart, grace, eager: None, acts_at_once: true, post_start: false, pre_stop: false }
    }
}

/// An input of the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The container that [`Action::Start`] asked for runs.
    Started,
    /// It could not be started.
    StartFailed {
        /// `RunContainerError`, `CreateContainerError`, `ErrImagePull`.
        reason: String,
        /// The error.
        message: String,
    },
    /// The probe that [`Action::SendProbe`] asked for ended.
    Probed {
        /// Which probe.
        which: ProbeKind,
        /// The `run` of the action; results of an earlier run are dropped.
        run: u32,
        /// The kubelet's verdict.
        verdict: Verdict,
        /// The observation's message, or its warning for a success. For a probe that errored it is the event's whole text after
        /// `Readiness probe `, because kubelets have two wordings.
        message: String,
    },
    /// The hook that [`Action::RunHook`] asked for ended, or took as long as it may.
    HookEnded {
        /// Which hook.
        which: HookKind,
        /// Why it failed.
        failure: Option<String>,
    },
    /// The container's process ended.
    Exited(Exit),
    /// A request for a new instance: started at once, without a back-off, and not killed for its answers during its first `spare`.
    /// The running one is unready from now on.
    Restart {
        /// The time during which failures of its startup and liveness probes do not count.
        spare: Duration,
    },
    /// Time passed; see [`Worker::next_wake`].
    Tick,
    /// The pod is being deleted: kill, and start nothing any more.
    Stop,
}

/// An action that the worker requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start the container; answer with [`Input::Started`] or [`Input::StartFailed`].
    Start {
        /// Counts the starts of this container, from 1.
        run: u32,
    },
    /// Send a probe; answer with [`Input::Probed`].
    SendProbe {
        /// Which probe.
        which: ProbeKind,
        /// The run that it belongs to.
        run: u32,
        /// Whether it is an extra probe; see [`Policy::eager`].
        extra: bool,
    },
    /// Run a hook in the container that runs; answer with [`Input::HookEnded`], unless the container ends first.
    RunHook {
        /// Which hook.
        which: HookKind,
        /// How long it may take.
        limit: Option<Duration>,
    },
    /// Stop the container: SIGTERM, and SIGKILL after `grace`. Answer with [`Input::Exited`] once it has ended.
    Kill {
        /// The grace period.
        grace: Duration,
        /// The reason, as in the `Killing` event.
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Starts at this time; the flag tells whether the next wait is longer.
    Due { at: Duration, lengthens: bool },
    /// [`Action::Start`] is in progress.
    Starting,
    /// Runs since this time, but does not count as running until its postStart hook has ended.
    PostStart(Duration),
    /// Runs since this time.
    Running(Duration),
    /// Runs since this time, and its preStop hook or [`Action::Kill`] is in progress.
    Killing(Duration),
    /// Ended for good.
    Done,
}

/// The state of one container and of its probes.
#[derive(Debug, Clone)]
pub struct Worker {
    pod: String,
    container: String,
    policy: Policy,
    phase: Phase,
    stopping: bool,
    run: u32,
    probing: Probing,
    back_off: BackOff,
    /// The `spare` of a requested next instance.
    spare: Option<Duration>,
    spared_until: Duration,
    /// Whether the running instance was asked to stop: Services drop it.
    leaving: bool,
    ending: Ending,
    /// The last end of an instance, or the last failed start.
    finished: Option<Duration>,
    status: ContainerStatus,
    events: Vec<Event>,
}

impl Worker {
    /// A container that starts at the first [`Input::Tick`].
    #[must_use]
    pub fn new(pod: impl Into<String>, container: impl Into<String>, probes: Probes, policy: Policy) -> Self {
        Self {
            pod: pod.into(),
            container: container.into(),
            policy,
            phase: Phase::Due { at: Duration::ZERO, lengthens: false },
            stopping: false,
            run: 0,
            probing: Probing::new(probes, policy.eager, policy.acts_at_once),
            back_off: BackOff::default(),
            spare: None,
            spared_until: Duration::ZERO,
            leaving: false,
            ending: Ending::default(),
            finished: None,
            status: ContainerStatus::waiting("ContainerCreating"),
            events: Vec::new(),
        }
    }

    /// Takes the place of the same container in a pod that was replaced. Its status and its events go on.
    #[must_use]
    pub fn in_place_of(self, past: Self) -> Self {
        let is_restarted = self.policy.restart == Restart::Always;
        let last_termination = past.status.last_termination.filter(|_| is_restarted);
        let status =
            ContainerStatus { restart_count: past.status.restart_count, last_termination, ..self.status.clone() };
        Self { run: past.run, status, events: past.events, ..self }
    }

    /// Applies an input at `now` and returns the actions. Times must not go back.
    pub fn handle(&mut self, now: Duration, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        match input {
            Input::Started if self.phase == Phase::Starting => self.started(now, &mut actions),
            Input::HookEnded { which, failure } => self.hook_ended(now, which, failure, &mut actions),
            Input::StartFailed { reason, message } if self.phase == Phase::Starting => {
                self.start_failed(now, reason, &message);
            }
            Input::Probed { which, run, verdict, message } if run == self.run && self.is_up() => {
                self.probed(now, which, verdict, &message, &mut actions);
            }
            Input::Exited(exit) if self.is_up() => self.exited(now, exit),
            Input::Restart { spare } if self.policy.restart == Restart::Always => {
                self.restart(now, spare, &mut actions);
            }
            // Services drop a pod when it is asked to stop, not when it has ended.
            Input::Stop => (self.stopping, self.leaving) = (true, true),
            // An answer without a request, or to an earlier run, or a new instance of a container that runs once.
            Input::Started
            | Input::StartFailed { .. }
            | Input::Probed { .. }
            | Input::Exited(_)
            | Input::Restart { .. }
            | Input::Tick => {}
        }
        self.tick(now, &mut actions);
        self.status.started = self.is_running() && self.probing.started();
        self.status.ready = self.is_running() && self.probing.ready() && !self.leaving;
        actions
    }

    /// The time of the next [`Input::Tick`], if time alone causes a change.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        match self.phase {
            Phase::Due { at, .. } => Some(at),
            Phase::Running(_) | Phase::Killing(_) if self.stopping || !self.is_running() => None,
            Phase::Running(_) => self.probing.next_due(false),
            Phase::Killing(_) => self.probing.next_due(true),
            Phase::Starting | Phase::PostStart(_) | Phase::Done => None,
        }
    }

    /// The entry of `containerStatuses`.
    #[must_use]
    pub fn status(&self) -> &ContainerStatus {
        &self.status
    }

    /// The events of `kubectl describe`, oldest first.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The pod's grace period, used unless a probe declares its own.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.policy.grace.max(MIN_GRACE)
    }

    /// Whether it has ended for good.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Whether its process runs.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.phase, Phase::PostStart(_) | Phase::Running(_) | Phase::Killing(_))
    }

    /// Whether it counts as running: its postStart hook has succeeded.
    fn is_running(&self) -> bool {
        self.is_up() && self.status.state.is_running()
    }

    /// Actions due at `now`.
    fn tick(&mut self, now: Duration, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Due { .. } if self.stopping => self.phase = Phase::Done,
            Phase::Due { at, lengthens } if at <= now => {
                if lengthens {
                    self.back_off.next(now);
                }
                self.phase = Phase::Starting;
                self.run += 1;
                actions.push(Action::Start { run: self.run });
            }
            Phase::PostStart(since) | Phase::Running(since) if self.stopping => {
                let message = format!("Stopping container {}", self.container);
                actions.push(self.kill(now, since, self.policy.grace, message));
            }
            Phase::Running(since) if self.probing.take_overdue_failure(now) => {
                actions.push(self.kill_for(now, since, ProbeKind::Startup));
            }
            Phase::Running(_) | Phase::Killing(_) if !self.stopping && self.is_running() => {
                let killing = matches!(self.phase, Phase::Killing(_));
                let run = self.run;
                self.probing.take_due(now, killing, |which, extra| {
                    actions.push(Action::SendProbe { which, run, extra });
                });
            }
            _ => {}
        }
    }

    fn restart(&mut self, now: Duration, spare: Duration, actions: &mut Vec<Action>) {
        self.spare = Some(spare);
        match &mut self.phase {
            Phase::Running(since) => {
                let (since, reason) = (*since, format!("Container {} is restarted on request", self.container));
                self.leaving = true;
                actions.push(self.kill(now, since, self.policy.grace, reason));
            }
            Phase::Due { at, .. } => *at = now,
            // The next instance, or the one that is starting, is the new one.
            Phase::Starting | Phase::PostStart(_) | Phase::Killing(_) | Phase::Done => {}
        }
    }

    fn start_failed(&mut self, now: Duration, reason: String, message: &str) {
        self.say(now, EventType::Warning, "Failed", &format!("Error: {message}"));
        self.status.state = ContainerState::Waiting { reason, message: message.to_owned() };
        self.finished = Some(now);
        self.phase = match self.policy.restart {
            _ if self.stopping => Phase::Done,
            Restart::Never => Phase::Done,
            Restart::Always | Restart::OnFailure { .. } => {
                Phase::Due { at: self.back_off.allowed_at(now), lengthens: true }
            }
        };
    }

    fn probed(&mut self, now: Duration, which: ProbeKind, verdict: Verdict, message: &str, actions: &mut Vec<Action>) {
        if verdict != Verdict::Success && self.probing.drop_extra(now, which) {
            return;
        }
        let (reason, result) = match verdict {
            Verdict::Success => ("ProbeWarning", "warning: "),
            Verdict::Failure => ("Unhealthy", "failed: "),
            Verdict::Errored => ("Unhealthy", ""),
            Verdict::NotMeasured => ("ProbeNotMeasured", "left out: "),
        };
        // A success without a warning is no event.
        if verdict != Verdict::Success || !message.is_empty() {
            self.say(now, EventType::Warning, reason, &format!("{} probe {result}{message}", which.word()));
        }
        let is_spared = now < self.spared_until && which != ProbeKind::Readiness && verdict == Verdict::Failure;
        let counted = if is_spared { Verdict::Errored } else { verdict };
        let failed = self.probing.result(now, which, counted);
        if let (true, Phase::Running(since)) = (failed && which != ProbeKind::Readiness && !self.stopping, self.phase) {
            actions.push(self.kill_for(now, since, which));
        }
    }

    fn say(&mut self, now: Duration, kind: EventType, reason: &str, message: &str) {
        add_event(&mut self.events, now, kind, reason, message);
    }

    /// Kills the instance because a probe failed.
    fn kill_for(&mut self, now: Duration, since: Duration, which: ProbeKind) -> Action {
        let grace = self.probing.grace(which).unwrap_or(self.policy.grace);
        let restarts = self.policy.restart != Restart::Never;
        let suffix = if restarts { ", will be restarted" } else { "" };
        let reason = format!("Container {} failed {which} probe{suffix}", self.container);
        self.kill(now, since, grace, reason)
    }

    fn exited(&mut self, now: Duration, exit: Exit) {
        let hook_failed = std::mem::take(&mut self.ending).hook_failed;
        let (started, was_killed) = match self.phase {
            Phase::Killing(since) => (since, !hook_failed),
            Phase::PostStart(since) | Phase::Running(since) => (since, false),
            Phase::Due { .. } | Phase::Starting | Phase::Done => return,
        };
        let previous = self.finished.replace(now);
        let reason = exit.reason().to_owned();
        let termination = Termination { exit_code: exit.code, signal: exit.signal(), reason, started, at: now };
        self.status.last_termination = Some(termination.clone());
        self.status.state = ContainerState::Terminated(termination);
        let restarts = match self.policy.restart {
            Restart::Always => true,
            Restart::OnFailure { failures_max } => {
                exit.code != 0 && failures_max.is_none_or(|failures| self.status.restart_count < failures)
            }
            Restart::Never => false,
        };
        if self.stopping || !restarts {
            self.phase = Phase::Done;
            return;
        }
        if self.spare.is_some() {
            self.phase = Phase::Due { at: now, lengthens: false };
            return;
        }
        // A kill and the restart after it are one pass of `SyncPod`, which looks at statuses from before the kill: the wait counts
        // from the end of the previous instance; without one there is neither a wait nor an entry. A container that fails its
        // liveness probe is therefore restarted several times before CrashLoopBackOff.
        let counted_from = if was_killed { previous } else { Some(now) };
        let allowed = counted_from.map_or(now, |from| self.back_off.allowed_at(from));
        if allowed <= now {
            self.phase = Phase::Due { at: now, lengthens: counted_from.is_some() };
            return;
        }
        // The next pass sees the instance that just ended.
        self.phase = Phase::Due { at: self.back_off.allowed_at(now), lengthens: true };
        let (container, pod) = (&self.container, &self.pod);
        let text = format!("Back-off restarting failed container {container} in pod {pod}");
        let delay = duration::as_go(self.back_off.delay());
        let message = format!("back-off {delay} restarting failed container={container} pod={pod}");
        self.say(now, EventType::Warning, "BackOff", &text);
        self.status.state = ContainerState::Waiting { reason: "CrashLoopBackOff".to_owned(), message };
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(super) mod tests;
