//! The kinds of mistakes, and where an object has room for one. Main type: [`Operator`].

use serde::Serialize;
use serde_json::{Value, json};

use super::Change;
use crate::{ImageName, Object, ProbeKind, target::Target};

/// A kind of mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operator {
    /// A probe requests a path that the program does not serve.
    ProbePath,
    /// A probe goes to another port.
    ProbePort,
    /// A probe speaks TLS to a server that does not, or the reverse.
    ProbeScheme,
    /// A probe runs a command that is not in the image.
    ProbeCommand,
    /// A probe begins ten minutes after the start.
    ProbeDelay,
    /// A probe comes once in ten minutes.
    ProbePeriod,
    /// A probe waits only one second for its answer.
    ProbeTimeout,
    /// One failure of a probe suffices.
    ProbeThreshold,
    /// A probe is missing.
    ProbeMissing,
    /// A Service selects other pods.
    Selector,
    /// A Service sends to another port of its pods.
    TargetPort,
    /// A Service listens on another port.
    ServicePort,
    /// A memory limit of 8 MiB.
    MemoryLimit,
    /// A CPU limit of a hundredth of a processor.
    CpuLimit,
    /// A request for more processors than any node has.
    CpuRequest,
    /// An environment variable is misspelt.
    EnvName,
    /// An environment variable has another value.
    EnvValue,
    /// An environment variable is missing.
    EnvMissing,
    /// A reference to a key that the ConfigMap or Secret does not have.
    KeyMissing,
    /// A volume of a ConfigMap or Secret that does not exist.
    VolumeMissing,
    /// A volume is mounted at another path.
    MountPath,
    /// An image tag that does not exist.
    ImageTag,
    /// The last argument of a command is missing.
    ArgumentMissing,
    /// No replicas.
    NoReplicas,
    /// The root file system is read-only.
    ReadOnlyRoot,
    /// The program runs as another user.
    RunAsUser,
    /// A pod is killed a second after it is asked to end.
    GracePeriod,
    /// An init container is missing.
    InitMissing,
    /// A key of a ConfigMap is missing.
    ConfigKey,
    /// A key of a ConfigMap has another value.
    ConfigValue,
}

impl Operator {
    /// What would notice such a mistake where nothing did.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::ProbePath | Self::ProbePort | Self::ProbeScheme | Self::ProbeCommand => {
                "let a suite read the component's probes and expect success (`e2e::environment()`, `probes`)"
            }
            Self::ProbeDelay | Self::ProbePeriod | Self::ProbeThreshold | Self::ProbeMissing => {
                "plan a fault of this component under load (`--during 'pause COMPONENT for 5s at 5s'`) and a threshold for its recovery"
            }
            Self::ProbeTimeout => "probe under load: a scenario long enough to slow the probe down, with a threshold",
            Self::Selector | Self::TargetPort | Self::ServicePort => {
                "let a suite, or a step of a scenario, call this Service by its name and port"
            }
            Self::MemoryLimit | Self::CpuLimit | Self::CpuRequest => {
                "declare a scenario that loads this component, with a threshold for its rate or latency"
            }
            Self::EnvName | Self::EnvValue | Self::EnvMissing | Self::ConfigKey | Self::ConfigValue => {
                "check the behaviour that this setting decides; if nothing depends on it, remove it"
            }
            Self::KeyMissing | Self::VolumeMissing | Self::MountPath => {
                "check what the program reads from there; if it reads nothing, remove it"
            }
            Self::ImageTag | Self::ArgumentMissing => "check the behaviour that this program or argument brings",
            Self::NoReplicas => "check that this component does its work; if nothing needs it, remove it",
            Self::ReadOnlyRoot | Self::RunAsUser => {
                "no check is missing if the program writes nothing and needs no particular user"
            }
            Self::GracePeriod => "roll the component out under load (`--during 'rollout COMPONENT at 5s'`)",
            Self::InitMissing => "check what the init container prepares, on an empty volume",
        }
    }

    /// Whether a target acts on the changed field. On local there are no images, and nothing enforces CPU limits, users and read-only
    /// file systems; only a cluster schedules by requests.
    pub fn is_honoured(self, target: Target) -> bool {
        match self {
            Self::CpuRequest => target == Target::K8s,
            Self::CpuLimit | Self::ReadOnlyRoot | Self::RunAsUser | Self::ImageTag => target != Target::Local,
            _ => true,
        }
    }

    /// Whether the field may hold what is not to be shown.
    pub(super) fn is_confidential(self) -> bool {
        matches!(self, Self::EnvValue | Self::ConfigValue)
    }
}

impl std::fmt::Display for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

/// A change of one field.
type Edit = (Operator, String, Change);

/// Every change that an object has room for.
pub(super) fn changes(object: &Object) -> Vec<Edit> {
    let mut edits = Edits { json: &object.json, list: Vec::new() };
    match object.kind.as_str() {
        "Service" => edits.service(),
        "ConfigMap" => edits.config_map(),
        _ if object.component.is_some() => edits.workload(),
        _ => {}
    }
    edits.list
}

struct Edits<'a> {
    json: &'a Value,
    list: Vec<Edit>,
}

impl<'a> Edits<'a> {
    fn at(&self, pointer: &str) -> Option<&'a Value> {
        self.json.pointer(pointer)
    }

    fn count(&self, pointer: &str) -> usize {
        self.at(pointer).and_then(Value::as_array).map_or(0, Vec::len)
    }

    fn keys(&self, pointer: &str) -> Vec<String> {
        self.at(pointer).and_then(Value::as_object).map_or_else(Vec::new, |map| map.keys().cloned().collect())
    }

    fn replace(&mut self, operator: Operator, pointer: String, wrong: impl FnOnce(&Value) -> Option<Value>) {
        let value = self.at(&pointer);
        if let Some(wrong) = value.and_then(wrong).filter(|wrong| Some(wrong) != value) {
            self.list.push((operator, pointer, Change::Replace(wrong)));
        }
    }

    /// Gives a field a value, whether it is there or not; what it stands in is there.
    fn set(&mut self, operator: Operator, pointer: String, wrong: Value) {
        match self.at(&pointer) {
            None => self.list.push((operator, pointer, Change::Add(wrong))),
            Some(value) if *value != wrong => self.list.push((operator, pointer, Change::Replace(wrong))),
            Some(_) => {}
        }
    }

    fn remove(&mut self, operator: Operator, pointer: String) {
        if self.at(&pointer).is_some() {
            self.list.push((operator, pointer, Change::Remove));
        }
    }

    fn service(&mut self) {
        for key in self.keys("/spec/selector") {
            let pointer = format!("/spec/selector/{}", escaped(&key));
            self.replace(Operator::Selector, pointer, |value| suffixed(value, "-other"));
        }
        for index in 0..self.count("/spec/ports") {
            let port = format!("/spec/ports/{index}");
            self.replace(Operator::ServicePort, format!("{port}/port"), other_port);
            let target = format!("{port}/targetPort");
            let wrong = self.at(&target).or_else(|| self.at(&format!("{port}/port"))).and_then(other_port);
            if let Some(wrong) = wrong {
                self.set(Operator::TargetPort, target, wrong);
            }
        }
    }

    fn config_map(&mut self) {
        for key in self.keys("/data") {
            let pointer = format!("/data/{}", escaped(&key));
            self.remove(Operator::ConfigKey, pointer.clone());
            // A line is a value; more is a file, of which a random change says little.
            let is_line = |value: &&Value| value.as_str().is_some_and(|text| !text.contains('\n'));
            if self.at(&pointer).filter(is_line).is_some() {
                self.replace(Operator::ConfigValue, pointer, other_value);
            }
        }
    }

    fn workload(&mut self) {
        if self.at("/spec/replicas").is_some() {
            self.set(Operator::NoReplicas, "/spec/replicas".to_owned(), json!(0));
        }
        let pods = ["/spec/jobTemplate/spec/template/spec", "/spec/template/spec", "/spec"];
        let Some(pod) = pods.into_iter().find(|pod| self.count(&format!("{pod}/containers")) > 0) else { return };
        self.set(Operator::GracePeriod, format!("{pod}/terminationGracePeriodSeconds"), json!(1));
        self.replace(Operator::RunAsUser, format!("{pod}/securityContext/runAsUser"), |_| Some(json!(12345)));
        for index in 0..self.count(&format!("{pod}/volumes")) {
            for name in ["configMap/name", "secret/secretName"] {
                let pointer = format!("{pod}/volumes/{index}/{name}");
                self.replace(Operator::VolumeMissing, pointer, |name| suffixed(name, "-missing"));
            }
        }
        for index in 0..self.count(&format!("{pod}/initContainers")) {
            self.remove(Operator::InitMissing, format!("{pod}/initContainers/{index}"));
        }
        for list in ["initContainers", "containers"] {
            for index in 0..self.count(&format!("{pod}/{list}")) {
                self.container(&format!("{pod}/{list}/{index}"));
            }
        }
    }

    fn container(&mut self, container: &str) {
        let at = |field: &str| format!("{container}/{field}");
        self.replace(Operator::ImageTag, at("image"), other_tag);
        let arguments = [at("args"), at("command")].into_iter().find(|list| self.count(list) > 0);
        if let Some((list, count)) = arguments.map(|list| (list.clone(), self.count(&list))).filter(|(_, n)| *n > 1) {
            self.remove(Operator::ArgumentMissing, format!("{list}/{}", count - 1));
        }
        self.replace(Operator::MemoryLimit, at("resources/limits/memory"), |_| Some(json!("8Mi")));
        self.replace(Operator::CpuLimit, at("resources/limits/cpu"), |_| Some(json!("10m")));
        self.replace(Operator::CpuRequest, at("resources/requests/cpu"), |_| Some(json!("1000")));
        self.replace(Operator::RunAsUser, at("securityContext/runAsUser"), |_| Some(json!(12345)));
        if self.at(&at("securityContext")).is_some() {
            self.set(Operator::ReadOnlyRoot, at("securityContext/readOnlyRootFilesystem"), json!(true));
        }
        for index in 0..self.count(&at("env")) {
            self.variable(&format!("{container}/env/{index}"));
        }
        for index in 0..self.count(&at("volumeMounts")) {
            let pointer = format!("{container}/volumeMounts/{index}/mountPath");
            self.replace(Operator::MountPath, pointer, |path| suffixed(path, "-elsewhere"));
        }
        for probe in ProbeKind::ALL.map(ProbeKind::field) {
            if self.at(&at(probe)).is_some() {
                self.probe(&at(probe));
            }
        }
    }

    fn variable(&mut self, variable: &str) {
        let at = |field: &str| format!("{variable}/{field}");
        self.replace(Operator::EnvName, at("name"), misspelt);
        self.replace(Operator::EnvValue, at("value"), other_value);
        for reference in ["secretKeyRef", "configMapKeyRef"] {
            let pointer = format!("{variable}/valueFrom/{reference}/key");
            self.replace(Operator::KeyMissing, pointer, |key| suffixed(key, "-missing"));
        }
        self.remove(Operator::EnvMissing, variable.to_owned());
    }

    fn probe(&mut self, probe: &str) {
        let at = |field: &str| format!("{probe}/{field}");
        self.remove(Operator::ProbeMissing, probe.to_owned());
        self.replace(Operator::ProbePath, at("httpGet/path"), |path| suffixed(path, "-missing"));
        for action in ["httpGet", "tcpSocket", "grpc"] {
            self.replace(Operator::ProbePort, at(&format!("{action}/port")), other_port);
        }
        if self.at(&at("httpGet")).is_some() {
            let is_tls = self.at(&at("httpGet/scheme")).is_some_and(|scheme| scheme == "HTTPS");
            self.set(Operator::ProbeScheme, at("httpGet/scheme"), json!(if is_tls { "HTTP" } else { "HTTPS" }));
        }
        self.replace(Operator::ProbeCommand, at("exec/command/0"), |program| suffixed(program, "-missing"));
        self.set(Operator::ProbeDelay, at("initialDelaySeconds"), json!(600));
        self.set(Operator::ProbePeriod, at("periodSeconds"), json!(600));
        self.set(Operator::ProbeThreshold, at("failureThreshold"), json!(1));
        self.replace(Operator::ProbeTimeout, at("timeoutSeconds"), |_| Some(json!(1)));
    }
}

/// A key in a JSON pointer (RFC 6901).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn suffixed(value: &Value, suffix: &str) -> Option<Value> {
    Some(json!(format!("{}{suffix}", value.as_str()?)))
}

/// The next number, or a name that no port has.
fn other_port(value: &Value) -> Option<Value> {
    match value.as_u64() {
        Some(65_535) => Some(json!(65_534)),
        Some(port) => Some(json!(port + 1)),
        None => suffixed(value, "-x"),
    }
}

/// The last two letters change places; a variable of one letter is doubled.
fn misspelt(value: &Value) -> Option<Value> {
    let mut letters: Vec<char> = value.as_str()?.chars().collect();
    match letters[..] {
        [.., a, b] if a != b => {
            let last = letters.len() - 1;
            letters.swap(last - 1, last);
        }
        _ => letters.extend(letters.last().copied()),
    }
    Some(json!(letters.into_iter().collect::<String>()))
}

/// The opposite of a truth value, 0 for a number, something else for another text.
fn other_value(value: &Value) -> Option<Value> {
    let text = value.as_str()?;
    Some(match text {
        "true" => json!("false"),
        "false" => json!("true"),
        "0" => json!("1"),
        text if text.parse::<f64>().is_ok() => json!("0"),
        text => json!(format!("{text}-wrong")),
    })
}

/// Another tag of the same image; nothing for a digest.
fn other_tag(value: &Value) -> Option<Value> {
    let image = value.as_str().filter(|image| !image.contains('@'))?;
    Some(json!(format!("{}:missing", ImageName::new(image).name)))
}
