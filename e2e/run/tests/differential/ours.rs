//! The same cases under this project's kubelet: each server runs in this process, and the node keeps it as it would keep a
//! container.

use std::{
    collections::BTreeMap,
    future::pending,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use e2e_kubelet::{snapshot::PodSpec, status::Exit};
use e2e_node::{
    node::{ExecError, ExecResult, Node, Options, Runtime, RuntimeError},
    poll,
    probe::{Profile, Target},
};
use e2e_plan::{Manifest, Objects, Plan};
use probed::{Server, behaviour};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    cases::{CASES, Case, POD_IP},
    verdict::{Verdict, Verdicts, WINDOW, event, request},
};

const POD: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 244, 0, 9));

/// Judges all cases at the same time.
pub(crate) async fn verdicts(profile: &Profile) -> Verdicts {
    // A network for each version: the tests of two may run side by side.
    let network = if profile.acts_at_once { 77 } else { 78 };
    let judged = CASES.iter().zip(1..).map(|(case, number)| async move {
        (case.name.to_owned(), verdict(case, Ipv4Addr::new(127, network, 0, number), profile).await)
    });
    futures_util::future::join_all(judged).await.into_iter().collect()
}

/// `address` is where the pod's ports are: all of 127.0.0.0/8 is this machine's, so no two pods share one.
async fn verdict(case: &Case, address: Ipv4Addr, profile: &Profile) -> Verdict {
    let pod = InProcess::new(case, address, profile);
    let runtime = Arc::new(pod);
    let spec = PodSpec::of_plan("case-0", &plan(case).components[0].pod);
    let options = Options { profile: profile.clone(), ..Options::default() };
    let node = Node::run(Arc::clone(&runtime), vec![spec], options);
    // Nothing is waited for: a case is judged at the end of its window, as a kubelet's is.
    tokio::time::sleep(WINDOW).await;
    let snapshot = node.shutdown().await;
    let report = snapshot.pod("case-0").expect("the pod");
    let events = report.all_events().into_iter().filter_map(|e| event(&e.reason, &e.message)).collect();
    let seen = runtime.seen.lock().expect("no panic holds it").first().cloned();
    Verdict {
        ready: report.ready,
        restarts: report.restarts,
        events,
        request: seen.map(|text| request(&text, &POD.to_string())),
    }
}

/// The case as a workload, from which the probes are read as from any manifest.
fn plan(case: &Case) -> Plan {
    let text = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: case}}\nspec:\n  selector: {{matchLabels: {{app: case}}}}\n  \
         template:\n    metadata: {{labels: {{app: case}}}}\n    spec: {{containers: [{{name: case, image: none, ports: \
         [{{containerPort: 8000, name: web}}, {{containerPort: 8001}}, {{containerPort: 8443}}], {}}}]}}\n",
        case.probes
    );
    let manifest = Manifest { file: PathBuf::from(format!("{}.yaml", case.name)), text };
    Plan::of(Objects::read(&[manifest])).unwrap_or_else(|error| panic!("{}: {error}", case.name))
}

/// A container whose servers are tasks.
struct InProcess {
    serves: Vec<(u16, String)>,
    /// Where each port of the pod listens while a server does.
    addresses: BTreeMap<u16, SocketAddr>,
    seen: Arc<Mutex<Vec<String>>>,
    running: Mutex<JoinSet<()>>,
    ended: watch::Sender<bool>,
    /// How long after its start a program listens.
    late: Duration,
}

/// How long a program needs to listen. Who hears of a container's start and sends a probe at once is refused.
const LISTENS_AFTER: Duration = Duration::from_millis(50);

impl InProcess {
    fn new(case: &Case, address: Ipv4Addr, profile: &Profile) -> Self {
        let serves = case.serves.split(' ').map(|server| {
            let (port, behaviour) = server.split_once('=').expect("PORT=BEHAVIOUR");
            (port.parse().expect("a port"), behaviour.replace(POD_IP, &POD.to_string()))
        });
        let addresses = [8000, 8001, 8443].map(|port| (port, SocketAddr::from((address, port))));
        Self {
            serves: serves.collect(),
            addresses: BTreeMap::from(addresses),
            seen: Arc::default(),
            running: Mutex::default(),
            ended: watch::Sender::new(false),
            // Other probes come with a tick of their period, when a program listens; here that tick is the start (see `worker`).
            late: match profile.acts_at_once && case.probes.contains("readinessProbe") {
                true => LISTENS_AFTER,
                false => Duration::ZERO,
            },
        }
    }
}

/// A listener at the pod's own address. The servers of the instance before may be on their way out still.
async fn listener_at(address: SocketAddr) -> TcpListener {
    let bind = || async move { TcpListener::bind(address).await.into() };
    let (limit, pause) = (Duration::from_secs(5), Duration::from_millis(1));
    poll::until("a port of the pod's own", limit, pause, bind).await.expect("nobody else listens there")
}

impl Runtime for InProcess {
    async fn start(&self, _pod: &str, _container: &str) -> Result<(), RuntimeError> {
        self.ended.send_replace(false);
        let mut tasks = JoinSet::new();
        for (port, text) in &self.serves {
            let behaviour::Behaviour { speaks, late, reply } = behaviour::parse(text).expect("a behaviour");
            let late = late + self.late;
            let (address, seen) = (self.addresses[port], Arc::clone(&self.seen));
            let listen = move |listener| {
                Server::on(listener, speaks, move |request| {
                    seen.lock().expect("no panic holds it").push(request.text.clone());
                    reply(request)
                })
            };
            let bound = match late.is_zero() {
                true => Some(listener_at(address).await),
                false => None,
            };
            tasks.spawn(async move {
                let listener = match bound {
                    Some(listener) => listener,
                    None => {
                        tokio::time::sleep(late).await;
                        listener_at(address).await
                    }
                };
                let _server = listen(listener);
                pending::<()>().await;
            });
        }
        *self.running.lock().expect("no panic holds it") = tasks;
        Ok(())
    }

    async fn wait_exit(&self, _pod: &str, _container: &str) -> Exit {
        let mut ended = self.ended.subscribe();
        ended.wait_for(|ended| *ended).await.expect("the sender lives");
        Exit { code: 0, oom_killed: false }
    }

    async fn kill(&self, _pod: &str, _container: &str, _grace: Duration) -> Result<(), RuntimeError> {
        let mut tasks = std::mem::take(&mut *self.running.lock().expect("no panic holds it"));
        tasks.shutdown().await;
        self.ended.send_replace(true);
        Ok(())
    }

    async fn exec(
        &self,
        _pod: &str,
        _container: &str,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecResult, ExecError> {
        let number = |index: usize| command.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let delay = Duration::from_millis(number(3));
        if delay > timeout {
            tokio::time::sleep(timeout).await;
            return Err(ExecError::TimedOut);
        }
        tokio::time::sleep(delay).await;
        Ok(ExecResult {
            exit_code: i32::try_from(number(2)).unwrap_or(2),
            output: format!("exit {}\n", number(2)).into(),
        })
    }

    fn target(&self, _pod: &str) -> Option<Target> {
        Some(Target { pod_ip: POD, ports: self.addresses.clone(), host: None })
    }
}
