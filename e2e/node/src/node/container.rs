//! One container: executes its worker's actions, and reports the results to the worker.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use e2e_kubelet::{
    observation::{Kind, Observation, Verdict},
    snapshot::ContainerSpec,
    status::{ContainerState, Exit},
    worker::{Action, Input, Policy, Worker},
};
use e2e_plan::{HookKind, Probe, ProbeAction, ProbeKind};
use futures_util::future::join_all;
use tokio::{
    sync::{broadcast, watch},
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until, timeout},
};

use super::{ExecError, Mode, Request, Runtime, RuntimeError, context::Context, hook};
use crate::{
    http::{connect_only, round_ms},
    probe::{self, Profile, Target},
};

/// The time beyond the grace period after which the node ends without a container.
const KILL_SLACK: Duration = Duration::from_secs(5);
/// The pause after what failed: a kubelet's pause after a failed sync of a pod (`backOffPeriod`).
pub(super) const AGAIN: Duration = Duration::from_secs(10);
/// The time beyond its timeout after which a command counts as timed out here.
const EXEC_SLACK: Duration = Duration::from_millis(500);
/// The time limit for a check of an open port; a refusal takes microseconds.
const PORT_TIMEOUT: Duration = Duration::from_millis(200);

/// A container that is not run any more.
pub(super) struct Ended {
    pub(super) name: String,
    pub(super) worker: Worker,
    /// Whether it ended for good, and not because the pod is ending.
    pub(super) is_over: bool,
}

/// Runs a container of a pod, in place of the one of a pod before it.
pub(super) async fn drive<R: Runtime>(
    context: Context<R>,
    pod: String,
    spec: ContainerSpec,
    policy: Policy,
    past: Option<Worker>,
) -> Ended {
    let policy =
        Policy { post_start: spec.hooks.post_start.is_some(), pre_stop: spec.hooks.pre_stop.is_some(), ..policy };
    let new = Worker::new(pod.as_str(), spec.name.as_str(), spec.probes.clone(), policy);
    let worker = match past {
        Some(past) => new.in_place_of(past),
        None => new,
    };
    let requests = context.requests.subscribe();
    let (work, probes, hooks) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    let mut driver =
        Driver { context, pod, spec, worker, requests, work, probes, hooks, kill_again: None, stop_by: None };
    let mut input = Input::Tick;
    let is_over = loop {
        driver.tell(input);
        if driver.worker.is_done() {
            break driver.stop_by.is_none();
        }
        match driver.next().await {
            Some(next) => input = next,
            None => break false,
        }
    };
    Ended { name: driver.spec.name, worker: driver.worker, is_over }
}

struct Driver<R> {
    context: Context<R>,
    pod: String,
    spec: ContainerSpec,
    worker: Worker,
    requests: broadcast::Receiver<Request>,
    /// Starts, waits and kills. Dropping it ends them.
    work: JoinSet<Done>,
    /// Probes in flight.
    probes: JoinSet<Probed>,
    hooks: JoinSet<Input>,
    /// The time of the next attempt after a failed kill, and its grace period.
    kill_again: Option<(Instant, Duration)>,
    /// The deadline, once the node is ending.
    stop_by: Option<Instant>,
}

struct Probed {
    which: ProbeKind,
    run: u32,
    extra: bool,
    sent: SystemTime,
    observation: Observation,
}

/// The result of a runtime's task.
enum Done {
    Start(Result<(), RuntimeError>),
    Exit(Exit),
    Kill { grace: Duration, killed: Result<(), RuntimeError> },
}

impl<R: Runtime> Driver<R> {
    /// Passes an input to the worker, starts its actions, and publishes the state.
    fn tell(&mut self, input: Input) {
        match input {
            Input::Started => self
                .spawn(|runtime, pod, container| async move { Done::Exit(runtime.wait_exit(&pod, &container).await) }),
            // Probes and hooks in flight belong to an instance that has ended.
            Input::Exited(_) => {
                self.probes = JoinSet::new();
                self.hooks = JoinSet::new();
                self.kill_again = None;
            }
            _ => {}
        }
        let actions = self.worker.handle(self.context.now(), input);
        let ip = self.context.runtime.target(&self.pod).map(|target| target.pod_ip);
        let (status, events) = (self.worker.status(), self.worker.events());
        // First, so that Services drop a pod before its containers are asked to stop.
        self.context.publish(&self.pod, |report| {
            report.ip = ip.or(report.ip);
            if let Some(container) = report.container_mut(&self.spec.name) {
                container.update(status, events);
            }
        });
        for action in actions {
            match action {
                Action::Start { .. } => self
                    .spawn(|runtime, pod, container| async move { Done::Start(runtime.start(&pod, &container).await) }),
                Action::Kill { grace, .. } => self.kill(grace),
                Action::RunHook { which, limit } => self.run_hook(which, limit),
                Action::SendProbe { which, run, extra } => self.send(which, run, extra),
            }
        }
    }

    fn run_hook(&mut self, which: HookKind, limit: Option<Duration>) {
        let Some(hook) = which.of(&self.spec.hooks).cloned() else { return };
        let context = self.context.clone();
        let (pod, container) = (self.pod.clone(), self.spec.name.clone());
        // A postStart hook that still runs is given up.
        self.hooks = JoinSet::new();
        self.hooks.spawn(async move {
            let (runtime, profile) = (&*context.runtime, &context.options.profile);
            let run = hook::run(runtime, profile, &pod, &container, &hook);
            // A kubelet does not call it a failure.
            let ended = timeout(limit.unwrap_or(Duration::MAX), run).await.unwrap_or(Ok(()));
            Input::HookEnded { which, failure: ended.err() }
        });
    }

    fn kill(&mut self, grace: Duration) {
        self.spawn(move |runtime, pod, container| async move {
            Done::Kill { grace, killed: runtime.kill(&pod, &container, grace).await }
        });
    }

    /// Records in a kubelet's words that the kill failed, and schedules the next attempt if the container still runs.
    fn kill_failed(&mut self, grace: Duration, RuntimeError(error): &RuntimeError) {
        if !self.worker.is_up() {
            return;
        }
        let container = &self.spec.name;
        let failed = format!("failed to \"KillContainer\" for {container:?} with KillContainerError: {error:?}");
        self.context.warn(&self.pod, "FailedSync", &format!("Error syncing pod, skipping: {failed}"));
        self.kill_again = Some((Instant::now() + AGAIN, grace));
    }

    fn spawn<F, Fut>(&mut self, work: F)
    where
        F: FnOnce(Arc<R>, String, String) -> Fut,
        Fut: Future<Output = Done> + Send + 'static,
    {
        let runtime = Arc::clone(&self.context.runtime);
        self.work.spawn(work(runtime, self.pod.clone(), self.spec.name.clone()));
    }

    fn send(&mut self, which: ProbeKind, run: u32, extra: bool) {
        let Some(probe) = which.of(&self.spec.probes).cloned() else {
            return;
        };
        let context = self.context.clone();
        let (pod, container) = (self.pod.clone(), self.spec.name.clone());
        self.probes.spawn(async move {
            let (runtime, profile) = (&*context.runtime, &context.options.profile);
            let sent = SystemTime::now();
            let is_worth_it = !extra || may_answer(&probe.action, runtime.target(&pod)).await;
            let observation = match is_worth_it {
                true => observe(runtime, profile, &pod, &container, &probe).await,
                false => Observation::new(Verdict::Failure, Kind::Refused, "no port of the pod is open yet"),
            };
            Probed { which, run, extra, sent, observation }
        });
    }

    /// Waits for the next input; `None` if the node is ending and need not wait for this container.
    async fn next(&mut self) -> Option<Input> {
        loop {
            let wake = self.worker.next_wake().map(|wake| self.context.instant(wake));
            let kill_again = self.kill_again.map(|(at, _)| at);
            tokio::select! {
                biased;
                mode = ending(&mut self.context.mode), if self.stop_by.is_none() => {
                    self.stop_by = Some(Instant::now() + self.longest_grace() + KILL_SLACK);
                    return (mode == Mode::Terminate).then_some(Input::Stop);
                }
                Some(done) = self.work.join_next() => match passed_on(done) {
                    Done::Start(Ok(())) => return Some(Input::Started),
                    Done::Start(Err(RuntimeError(message))) => {
                        return Some(Input::StartFailed { reason: "RunContainerError".to_owned(), message });
                    }
                    Done::Exit(exit) => return Some(Input::Exited(exit)),
                    Done::Kill { killed: Ok(()), .. } => {}
                    Done::Kill { grace, killed: Err(error) } => self.kill_failed(grace, &error),
                },
                request = self.requests.recv() => match request {
                    Ok(Request::Restart { pod, container, spare })
                        if pod == self.pod && container == self.spec.name =>
                    {
                        return Some(Input::Restart { spare });
                    }
                    // For another container, or the whole pod. An error means that requests overflowed, which the requester notices. The context
                    // holds the sender, so the channel stays open.
                    Ok(_) | Err(_) => {}
                },
                Some(ended) = self.hooks.join_next() => return Some(passed_on(ended)),
                Some(probed) = self.probes.join_next() => return Some(self.probed(passed_on(probed))),
                () = at(kill_again) => {
                    if let Some((_, grace)) = self.kill_again.take() {
                        self.kill(grace);
                    }
                }
                () = at(wake) => return Some(Input::Tick),
                () = at(self.stop_by) => return None,
            }
        }
    }

    fn probed(&self, Probed { which, run, extra, sent, observation }: Probed) -> Input {
        let message = match (&observation.warning, observation.verdict) {
            (Some(warning), _) => warning.clone(),
            (None, Verdict::Errored) => self.context.options.profile.errored(&observation),
            (None, _) => observation.message.clone(),
        };
        let verdict = observation.verdict;
        // A failed extra probe is not recorded.
        if !extra || observation.success() {
            self.context.options.log.record(&self.pod, &self.spec.name, which, sent, &observation);
            let running_for = match self.worker.status().state {
                ContainerState::Running { since } => self.context.now().saturating_sub(since),
                ContainerState::Waiting { .. } | ContainerState::Terminated(_) => Duration::ZERO,
            };
            self.context.publish(&self.pod, |report| {
                let container = report.container_mut(&self.spec.name);
                if let Some(probe) = container.and_then(|container| container.probes.get_mut(&which)) {
                    probe.record(&observation, running_for);
                }
            });
        }
        Input::Probed { which, run, verdict, message }
    }

    /// A kill may be in progress with a probe's own grace period.
    fn longest_grace(&self) -> Duration {
        let own = ProbeKind::ALL.into_iter().filter_map(|which| which.of(&self.spec.probes)?.termination_grace);
        own.fold(self.worker.grace(), Duration::max)
    }
}

/// Waits until a time; without one, for ever.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Waits until the node is ending.
pub(super) async fn ending(mode: &mut watch::Receiver<Mode>) -> Mode {
    // An error means that the node was dropped.
    mode.wait_for(|mode| *mode != Mode::Keep).await.map_or(Mode::Leave, |mode| *mode)
}

/// A panic is a bug of the runtime, and must not look like a failed container. Awaited tasks are never cancelled, so an error is a
/// panic.
fn passed_on<T>(joined: Result<T, JoinError>) -> T {
    match joined {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Whether to send an extra probe. A command starts a process, which slows a starting container: extra ones wait until a port of
/// the pod is open.
async fn may_answer(action: &ProbeAction, target: Option<Target>) -> bool {
    let (ProbeAction::Exec { .. }, Some(target)) = (action, target) else { return true };
    let looks = join_all(target.ports.values().map(|port| connect_only(*port, "", PORT_TIMEOUT))).await;
    looks.is_empty() || looks.iter().any(|look| look.kind != Kind::Refused)
}

/// Sends one probe like a kubelet, or runs its command in the container.
pub async fn observe<R: Runtime>(
    runtime: &R,
    profile: &Profile,
    pod: &str,
    container: &str,
    probe: &Probe,
) -> Observation {
    let ProbeAction::Exec { command } = &probe.action else {
        return match runtime.target(pod) {
            Some(target) => probe::send(&probe.action, &target, probe.timeout, profile).await,
            None => Observation::new(Verdict::Errored, Kind::Unreachable, "the pod has no address yet"),
        };
    };
    let start = Instant::now();
    let run = runtime.exec(pod, container, command, probe.timeout);
    let result = timeout(probe.timeout + EXEC_SLACK, run).await.unwrap_or(Err(ExecError::TimedOut));
    let total_ms = round_ms(start.elapsed());
    match result {
        Ok(result) => Observation::of_exec(result.exit_code, &result.output, total_ms),
        Err(ExecError::TimedOut) => Observation::of_exec_timeout(command, probe.timeout),
        Err(ExecError::Failed(message)) => {
            let verdict = if profile.missing_command_fails { Verdict::Failure } else { Verdict::Errored };
            Observation { total_ms, ..Observation::new(verdict, Kind::CannotExec, message) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, TcpListener};

    use super::*;

    #[tokio::test]
    async fn a_further_command_waits_until_a_port_is_open() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let open = listener.local_addr().expect("an address");
        let target = |ports: &[u16]| {
            let ports = ports.iter().map(|port| (*port, (Ipv4Addr::LOCALHOST, *port).into()));
            Some(Target { pod_ip: IpAddr::from(Ipv4Addr::LOCALHOST), ports: ports.collect(), host: None })
        };
        let command = ProbeAction::Exec { command: vec!["check".to_owned()] };
        let socket = ProbeAction::TcpSocket { host: None, port: open.port() };
        for (action, target, expected) in [
            (&command, target(&[open.port()]), true),
            (&command, target(&[]), true),
            (&command, None, true),
            (&socket, target(&[]), true),
        ] {
            assert_eq!(may_answer(action, target.clone()).await, expected, "{action:?} {target:?}");
        }
        drop(listener);
        assert!(!may_answer(&command, target(&[open.port()])).await);
    }
}
