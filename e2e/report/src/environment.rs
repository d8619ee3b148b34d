//! The running system and its addresses, written as `environment.json` for the suites. Main type: [`Environment`].

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use e2e_plan::{Places, Plan, Probe, ProbeKind, Secret, Value, Warning, pod_names, target::Target, words::listed};
use serde::{Deserialize, Serialize};

use crate::{
    command, env_vars,
    request::Scenario,
    run_dir::{self, RunDir},
};

/// A running system.
///
/// ```no_run
/// use e2e_report::environment::Environment;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let environment = Environment::from_env()?;
/// println!("clients use http://{}/", environment.entrance()?.address);
/// let postgres = environment.service("postgres")?;
/// let password = environment.env("postgres", "POSTGRES_PASSWORD")?;
/// println!("psql -h {} -p {}", postgres.address.ip(), postgres.address.port());
/// for replica in &environment.component("backend")?.replicas {
///     println!("{} is reached at {:?}", replica.name, replica.ports);
/// }
/// # drop(password);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Id of the run, in the labels of everything it starts.
    pub run_id: String,
    /// The target.
    pub target: Target,
    /// The run directory.
    pub run_dir: PathBuf,
    /// The provider with its version.
    pub provider: String,
    /// The version of the kubelet that sends the probes: the cluster's, or that of the kubelet in the box.
    pub kubelet: String,
    /// Name of the Service that clients use.
    pub entrance: Option<String>,
    /// Every Service port, as reached from this machine.
    pub services: Vec<Endpoint>,
    /// The components that each Service leads to, by its name.
    #[serde(default)]
    pub routes: BTreeMap<String, Vec<String>>,
    /// All components with their replicas.
    pub components: Vec<Component>,
    /// The scenarios to run, by name: all declared ones, or those selected.
    pub scenarios: BTreeMap<String, Scenario>,
    /// Whether only some of the declared ones were selected.
    #[serde(default)]
    pub some_scenarios: bool,
    /// The origin of the load.
    #[serde(default)]
    pub load_from: LoadFrom,
    /// The run's control address for suites. See `e2e::control`.
    pub control: SocketAddr,
    /// When the pods' times began to count, in milliseconds since 1970.
    #[serde(default)]
    pub started_unix_ms: Option<u64>,
    /// Time from the first call until everything was ready, or until the wait ended.
    pub up_ms: u64,
    /// Whether everything became ready in time.
    pub ready: bool,
    /// Fields that this target does not honour, and other warnings.
    pub warnings: Vec<Warning>,
}

/// The origin of the load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadFrom {
    /// The suites' own process.
    #[default]
    Host,
    /// Agents where the system runs. `e2e::control::Control::load` controls them.
    Inside {
        /// Their number.
        agents: u32,
    },
}

/// One port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The Service.
    pub service: String,
    /// The port's name.
    pub port_name: Option<String>,
    /// The port's number in the manifests.
    pub port: u16,
    /// The number in the pods.
    pub target_port: u16,
    /// Its address, as reachable from this machine.
    pub address: SocketAddr,
    /// The kind of address: `pod address`, `published port`, `port-forward`, `process` or `balancer`.
    pub path: String,
}

/// One component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// The workload's kind.
    pub kind: String,
    /// The declared number of replicas.
    pub desired: u32,
    /// The running replicas.
    pub replicas: Vec<Replica>,
    /// Environment variables of its containers: plain text, or `secret` with the key's name. See [`Environment::env`].
    pub env: BTreeMap<String, EnvText>,
    /// Every declared probe.
    pub probes: Vec<ProbeSpec>,
    /// Memory limit of one replica: the sum over its containers and sidecars; absent if one has no limit.
    pub memory_limit_bytes: Option<u64>,
    /// Memory limit of each container with one, including init containers.
    #[serde(default)]
    pub container_memory_limit_bytes: BTreeMap<String, u64>,
    /// Ports that each container or sidecar declares.
    #[serde(default)]
    pub container_ports: BTreeMap<String, Vec<u16>>,
    /// Sum of the CPU limits of one replica's containers and sidecars, in thousandths of a processor; absent without any.
    #[serde(default)]
    pub cpu_limit_millis: Option<u64>,
    /// How long its pods may take to stop.
    #[serde(default, with = "e2e_plan::duration")]
    pub termination_grace: Duration,
    /// Names of the components whose Services it calls.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// Where it and its fields stand in the manifests.
    #[serde(default)]
    pub places: Places,
}

/// The text of an environment variable, or the name of its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvText {
    /// The text.
    Plain(String),
    /// `name/key` in `secrets.json`.
    Secret(String),
}

/// One pod, container or process group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// The pod's name.
    pub name: String,
    /// The address in a kubelet's Host header.
    pub pod_ip: IpAddr,
    /// Its ports, as reachable from this machine.
    pub ports: Vec<ReplicaPort>,
    /// The pod's name in the cluster; absent on other targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// A container port and its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaPort {
    /// The port's name.
    pub name: Option<String>,
    /// The number in the pod.
    pub number: u16,
    /// Its address, as reachable from this machine.
    pub address: SocketAddr,
}

/// A declared probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeSpec {
    /// The container that declares it.
    pub container: String,
    /// The kind of the probe.
    pub which: ProbeKind,
    /// The declaration.
    pub probe: Probe,
}

/// An unusable environment.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum Error {
    #[error(
        "{} is not set: no system is running; start one and run its suites with `{}`",
        env_vars::E2E_ENVIRONMENT,
        command::line("run")
    )]
    NotSet,
    #[error(transparent)]
    BadValue(#[from] env_vars::BadValue),
    #[error(transparent)]
    Unreadable(#[from] run_dir::Error),
    #[error("the entrance is unknown; set `entrance` in .config/e2e.toml to the Service that clients use")]
    NoEntrance,
    #[error("the environment has no {what} `{name}`; it has {known}")]
    Unknown {
        /// `component`, `service`, `secret`, `variable`.
        what: &'static str,
        name: String,
        known: String,
    },
}

impl Component {
    /// The CPU limit of one replica; `None` without a limit, or if limits have no effect.
    pub(crate) fn enforced_cpu_limit(&self, target: Target) -> Option<f64> {
        let millis = self.cpu_limit_millis.filter(|_| target != Target::Local)?;
        Some(millis as f64 / 1000.0)
    }

    /// Names of its pods, running or not: `backend-0`, `backend-1`.
    pub fn pod_names(&self) -> impl Iterator<Item = String> {
        pod_names(&self.name, self.desired)
    }

    /// Whether a pod is one of its own, running or not.
    pub(crate) fn has_pod(&self, name: &str) -> bool {
        self.pod_names().any(|own| own == name)
    }

    /// A declared probe.
    pub(crate) fn probe(&self, container: &str, which: ProbeKind) -> Option<&ProbeSpec> {
        self.probes.iter().find(|spec| spec.container == container && spec.which == which)
    }
}

impl Environment {
    /// Reads the environment that `E2E_ENVIRONMENT` names.
    pub fn from_env() -> Result<Self, Error> {
        let path = env_vars::read(env_vars::E2E_ENVIRONMENT)?.ok_or(Error::NotSet)?;
        Self::read(Path::new(&path))
    }

    /// Reads an `environment.json`.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let directory = RunDir::open(path.parent().unwrap_or(Path::new(".")))?;
        Ok(directory.read_json(path.file_name().unwrap_or(run_dir::ENVIRONMENT.as_ref()))?)
    }

    /// The system as it is now: pods that planned faults have replaced may have other addresses.
    pub fn again(&self) -> Result<Self, Error> {
        Ok(self.run_dir()?.read_json(run_dir::ENVIRONMENT)?)
    }

    /// The run directory.
    pub fn run_dir(&self) -> Result<RunDir, Error> {
        Ok(RunDir::open(&self.run_dir)?)
    }

    /// A component by name.
    pub fn component(&self, name: &str) -> Result<&Component, Error> {
        named("component", name, &self.components, |component| &component.name)
    }

    /// The component of a pod, running or not.
    pub(crate) fn owner(&self, pod: &str) -> Option<&Component> {
        self.components.iter().find(|component| component.has_pod(pod))
    }

    /// The first port of a Service.
    pub fn service(&self, name: &str) -> Result<&Endpoint, Error> {
        named("service", name, &self.services, |endpoint| &endpoint.service)
    }

    /// The pods behind the first port of a Service, each by its name with its own address.
    pub fn pods_of(&self, service: &str) -> Result<Vec<(&str, SocketAddr)>, Error> {
        let endpoint = self.service(service)?;
        let mut pods = Vec::new();
        for component in self.routes.get(service).into_iter().flatten() {
            for replica in &self.component(component)?.replicas {
                let port = replica.ports.iter().find(|port| port.number == endpoint.target_port);
                pods.extend(port.map(|port| (replica.name.as_str(), port.address)));
            }
        }
        Ok(pods)
    }

    /// The first port of the Service that clients use.
    pub fn entrance(&self) -> Result<&Endpoint, Error> {
        self.service(self.entrance.as_deref().ok_or(Error::NoEntrance)?)
    }

    /// The text of a component's environment variable, secret ones included.
    pub fn env(&self, component: &str, variable: &str) -> Result<String, Error> {
        let env = &self.component(component)?.env;
        match env.get(variable) {
            Some(EnvText::Plain(text)) => Ok(text.clone()),
            Some(EnvText::Secret(key)) => self.secret(key),
            None => Err(unknown("variable", variable, env.keys().map(String::as_str))),
        }
    }

    /// A secret's text, by `name/key`.
    pub fn secret(&self, key: &str) -> Result<String, Error> {
        let secrets: BTreeMap<String, String> = self.run_dir()?.read_json(run_dir::SECRETS)?;
        secrets.get(key).cloned().ok_or_else(|| unknown("secret", key, secrets.keys().map(String::as_str)))
    }
}

/// The first element of this name.
fn named<'a, T>(what: &'static str, name: &str, all: &'a [T], of: impl Fn(&T) -> &str) -> Result<&'a T, Error> {
    all.iter().find(|element| of(element) == name).ok_or_else(|| unknown(what, name, all.iter().map(of)))
}

fn unknown<'a>(what: &'static str, name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    Error::Unknown { what, name: name.to_owned(), known: listed(known) }
}

/// The components that each Service of the plan leads to, by its name.
pub fn routes(plan: &Plan) -> BTreeMap<String, Vec<String>> {
    plan.services.iter().map(|service| (service.name.clone(), service.components.clone())).collect()
}

/// The components from the plan; the provider adds the replicas.
pub fn components(plan: &Plan) -> Vec<Component> {
    plan.components.iter().map(|component| component_of(plan, component)).collect()
}

fn component_of(plan: &Plan, component: &e2e_plan::Component) -> Component {
    let containers = || component.pod.containers.iter();
    let env = containers().flat_map(|container| &container.env).filter_map(|variable| {
        let text = match &variable.value {
            Value::Plain(text) => EnvText::Plain(text.clone()),
            Value::Secret(Secret { name, key, .. }) => EnvText::Secret(format!("{name}/{key}")),
            Value::Binary(_) | Value::Field(_) | Value::Node(..) => return None,
        };
        Some((variable.name.clone(), text))
    });
    // Sidecars have probes too, and count for usage, which is measured of the whole pod.
    let running = || component.pod.running_containers();
    let probes = running().flat_map(|container| {
        let spec = |(which, probe): (ProbeKind, &Probe)| ProbeSpec {
            container: container.name.clone(),
            which,
            probe: probe.clone(),
        };
        container.probes.all().map(spec)
    });
    let memory_limit = |container: &e2e_plan::Container| container.resources.memory_limit_bytes;
    let each_limit =
        component.pod.all_containers().filter_map(|container| Some((container.name.clone(), memory_limit(container)?)));
    let each_ports = running().map(|container| {
        let numbers = container.ports.iter().map(|port| port.number);
        (container.name.clone(), numbers.collect())
    });
    let cpu_limits = running().filter_map(|container| container.resources.cpu_limit_millis);
    Component {
        name: component.name.clone(),
        kind: component.kind.clone(),
        desired: component.replicas,
        replicas: Vec::new(),
        env: env.collect(),
        probes: probes.collect(),
        memory_limit_bytes: running().map(memory_limit).sum(),
        container_memory_limit_bytes: each_limit.collect(),
        container_ports: each_ports.collect(),
        cpu_limit_millis: cpu_limits.reduce(u64::saturating_add),
        termination_grace: component.pod.termination_grace,
        depends_on: component.depends_on.clone(),
        places: plan.places.get(&component.name).cloned().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use e2e_plan::{Manifest, Objects};

    use super::*;

    #[test]
    fn limits_and_probes_are_those_of_all_that_goes_on_running() {
        let text = "
apiVersion: v1
kind: Pod
metadata: { name: app }
spec:
  initContainers:
    - { name: first, image: x, resources: { limits: { memory: 1Gi, cpu: 2 } } }
    - name: side
      image: x
      restartPolicy: Always
      resources: { limits: { memory: 32Mi, cpu: 100m } }
      readinessProbe: { tcpSocket: { port: 80 } }
  containers:
    - { name: app, image: x, resources: { limits: { memory: 64Mi, cpu: 200m } } }
";
        let objects = Objects::read(&[Manifest { file: "app.yaml".into(), text: text.to_owned() }]);
        let components = components(&Plan::of(objects).expect("a plan"));
        assert_eq!((components[0].memory_limit_bytes, components[0].cpu_limit_millis), (Some(96 << 20), Some(300)));
        let probed: Vec<&str> = components[0].probes.iter().map(|spec| spec.container.as_str()).collect();
        assert_eq!(probed, ["side"]);
    }
}
