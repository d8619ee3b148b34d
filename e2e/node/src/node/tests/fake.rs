//! A runtime in virtual time, and the pods that it runs.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use e2e_kubelet::snapshot::ContainerSpec;
use e2e_plan::{Hook, Hooks, Probe, ProbeAction, Probes};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::super::*;

pub(super) const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A runtime in virtual time: containers are entries in a table, probes are exec probes that a script answers.
pub(super) struct Fake {
    pub(super) epoch: Instant,
    containers: Mutex<BTreeMap<String, Script>>,
    changed: Notify,
    log: Mutex<Vec<String>>,
    pub(super) replace_errors: Mutex<VecDeque<String>>,
}

#[derive(Default)]
pub(super) struct Script {
    pub(super) start_errors: VecDeque<String>,
    pub(super) kill_errors: VecDeque<String>,
    /// How long each instance lives, and its exit status; the last entry is for all further ones. `None` lives on.
    pub(super) lives: VecDeque<Option<(Duration, i32)>>,
    /// From when on an instance answers its probes with 0.
    pub(super) healthy_after: Duration,
    /// From when on it answers with 1 again.
    pub(super) sick_after: Option<Duration>,
    pub(super) exec_takes: Duration,
    /// The image has no such command.
    pub(super) lacks_command: bool,
    /// How long its hooks take, and their exit status.
    pub(super) hooks: (Duration, i32),
    pub(super) started: Option<Instant>,
    pub(super) exited: Option<i32>,
    pub(super) instance: u64,
}

impl Fake {
    pub(super) fn with(scripts: Vec<(&str, Script)>) -> Arc<Self> {
        let containers = scripts.into_iter().map(|(name, script)| (name.to_owned(), script)).collect();
        Arc::new(Self {
            epoch: Instant::now(),
            containers: Mutex::new(containers),
            changed: Notify::default(),
            log: Mutex::default(),
            replace_errors: Mutex::default(),
        })
    }

    /// A node that runs these pods on it.
    pub(super) fn run(self: &Arc<Self>, pods: Vec<PodSpec>) -> Node {
        Node::run(Arc::clone(self), pods, Options { epoch: self.epoch, ..Options::default() })
    }

    pub(super) fn table(&self) -> MutexGuard<'_, BTreeMap<String, Script>> {
        self.containers.lock().unwrap()
    }

    fn note(&self, text: &str) {
        self.log.lock().unwrap().push(format!("{} {text}", self.epoch.elapsed().as_secs()));
    }

    /// What happened, each after the second of the run in which it did.
    pub(super) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

impl Runtime for Fake {
    async fn start(&self, _pod: &str, container: &str) -> Result<(), RuntimeError> {
        let mut table = self.table();
        let script = table.entry(container.to_owned()).or_default();
        if let Some(error) = script.start_errors.pop_front() {
            return Err(RuntimeError(error));
        }
        assert!(script.started.is_none() || script.exited.is_some(), "{container} is started twice");
        script.started = Some(Instant::now());
        script.exited = None;
        script.instance += 1;
        drop(table);
        self.note(&format!("start {container}"));
        Ok(())
    }

    async fn wait_exit(&self, _pod: &str, container: &str) -> Exit {
        let end = {
            let mut table = self.table();
            let script = table.get_mut(container).unwrap();
            let life = if script.lives.len() > 1 { script.lives.pop_front() } else { script.lives.front().copied() };
            life.flatten().map(|(life, code)| (script.started.unwrap() + life, code))
        };
        loop {
            let changed = self.changed.notified();
            if let Some(code) = self.table()[container].exited {
                return Exit { code, oom_killed: false };
            }
            match end {
                Some((at, code)) => tokio::select! {
                    () = tokio::time::sleep_until(at) => {
                        self.table().get_mut(container).unwrap().exited.get_or_insert(code);
                    }
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }

    async fn kill(&self, _pod: &str, container: &str, grace: Duration) -> Result<(), RuntimeError> {
        self.note(&format!("kill {container} {}", grace.as_secs()));
        sleep(s(1)).await;
        if let Some(error) = self.table().get_mut(container).unwrap().kill_errors.pop_front() {
            return Err(RuntimeError(error));
        }
        self.table().get_mut(container).unwrap().exited = Some(143);
        self.changed.notify_waiters();
        Ok(())
    }

    async fn exec(&self, _: &str, container: &str, run: &[String], _: Duration) -> Result<ExecResult, ExecError> {
        if let [hook] = run
            && hook.ends_with("hook")
        {
            self.note(&format!("{hook} {container}"));
            let (takes, exit_code) = self.table()[container].hooks;
            sleep(takes).await;
            return Ok(ExecResult { exit_code, output: b"said so".to_vec() });
        }
        let (code, takes) = {
            let table = self.table();
            let script = &table[container];
            if script.lacks_command {
                return Err(ExecError::Failed("no such file or directory".to_owned()));
            }
            let age = script.started.unwrap().elapsed();
            let sick = age < script.healthy_after || script.sick_after.is_some_and(|after| age >= after);
            (i32::from(sick), script.exec_takes)
        };
        sleep(takes).await;
        Ok(ExecResult { exit_code: code, output: b"said so".to_vec() })
    }

    async fn replace(&self, pod: &str) -> Result<(), RuntimeError> {
        self.note(&format!("replace {pod}"));
        match self.replace_errors.lock().unwrap().pop_front() {
            Some(error) => Err(RuntimeError(error)),
            None => Ok(()),
        }
    }

    fn target(&self, _pod: &str) -> Option<Target> {
        Some(Target { pod_ip: IpAddr::from([127, 0, 0, 1]), ports: BTreeMap::new(), host: None })
    }
}

pub(super) fn probe(period: u64, failure_threshold: u32) -> Probe {
    let action = ProbeAction::Exec { command: vec!["check".into()] };
    Probe { period: s(period), failure_threshold, ..Probe::new(action) }
}

pub(super) fn pod(name: &str, probes: Probes) -> PodSpec {
    PodSpec {
        name: name.to_owned(),
        init_containers: Vec::new(),
        containers: vec![container(&format!("{name}-c"), probes)],
        restart: e2e_plan::Restart::Always,
        grace: s(30),
        depends_on: Vec::new(),
        after: Vec::new(),
    }
}

pub(super) fn container(name: &str, probes: Probes) -> ContainerSpec {
    ContainerSpec { name: name.to_owned(), probes, hooks: Hooks::default(), is_sidecar: false }
}

/// Waits for at most a minute.
pub(super) async fn ready(node: &Node) -> Snapshot {
    reached(node, Snapshot::all_ready).await
}

pub(super) async fn reached(node: &Node, state: impl FnMut(&Snapshot) -> bool) -> Snapshot {
    wait_for(node.watch(), "the state is not reached", s(60), state).await.unwrap()
}

/// A hook that the fake runs for as long as its container's script says.
pub(super) fn hook(name: &str) -> Option<Hook> {
    Some(Hook::Run(ProbeAction::Exec { command: vec![name.to_owned()] }))
}
