//! What a component's pods are made of: plain data, the same for every target. Main types: [`Pod`], [`Container`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    time::Duration,
};

use serde::Serialize;

use super::{hook::Hooks, probe::Probes};

/// The name of a component's pod, the same on every target.
#[must_use]
pub fn pod_name(component: &str, index: u32) -> String {
    format!("{component}-{index}")
}

/// The names of a component's pods.
pub fn pod_names(component: &str, count: u32) -> impl Iterator<Item = String> {
    (0..count).map(move |index| pod_name(component, index))
}

/// The pod template.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pod {
    /// `metadata.labels` of the pods, which Services select.
    pub labels: BTreeMap<String, String>,
    /// Run one after the other before the containers: to completion, or, a [sidecar](Container::is_sidecar), until it has started.
    pub init_containers: Vec<Container>,
    /// Run side by side.
    pub containers: Vec<Container>,
    /// Volumes by name.
    pub volumes: BTreeMap<String, Volume>,
    /// How long a container may take to stop after SIGTERM; Kubernetes's default is 30 s.
    pub termination_grace: Duration,
    /// What becomes of a container that ends.
    pub restart: Restart,
    /// TCP ports that something reaches: those that containers declare, that probes and hooks name, and that Services lead to.
    pub ports: BTreeSet<u16>,
    /// Whether its containers get variables for every Service (`enableServiceLinks`).
    pub service_links: bool,
}

impl Pod {
    /// Its containers in the order of their start.
    pub fn all_containers(&self) -> impl Iterator<Item = &Container> {
        self.init_containers.iter().chain(&self.containers)
    }

    /// Those that go on running: its sidecars, then its containers.
    pub fn running_containers(&self) -> impl Iterator<Item = &Container> {
        self.init_containers.iter().filter(|init| init.is_sidecar).chain(&self.containers)
    }
}

/// What becomes of a container that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Restart {
    /// It is started again.
    Always,
    /// It runs to completion: it is started again unless it succeeds.
    OnFailure {
        /// How many failures it is started again after, if there is a limit; the next one is the last.
        failures_max: Option<u32>,
    },
    /// It stays ended.
    Never,
}

impl Restart {
    /// Whether a pod is done once its containers have succeeded.
    #[must_use]
    pub fn runs_to_completion(self) -> bool {
        self != Self::Always
    }
}

/// What a volume holds when the pod starts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Volume {
    /// Empty and writable by everyone in the pod, as Kubernetes makes it (mode 0777).
    EmptyDir {
        /// `medium: Memory`.
        in_memory: bool,
        /// `sizeLimit`, in bytes.
        size_limit_bytes: Option<u64>,
    },
    /// Storage that outlives pods, such as a PersistentVolumeClaim: empty at first, and shared by all that mount it.
    Persistent {
        /// The claim's name, or one that stands for other storage.
        name: String,
        /// Whether each pod has its own, as with `volumeClaimTemplates`.
        per_pod: bool,
    },
    /// Files from a ConfigMap or a Secret, read-only.
    Files(Vec<File>),
}

/// One file of a ConfigMap or Secret volume.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct File {
    /// The path below the mount point.
    pub path: PathBuf,
    /// What it holds.
    pub content: Value,
    /// Unix permission bits.
    pub mode: u32,
}

/// One container of a pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Container {
    /// The container's name, unique in its pod.
    pub name: String,
    /// The image reference.
    pub image: String,
    /// Replaces the image's entrypoint unless empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments unless empty.
    pub args: Vec<String>,
    /// `workingDir`.
    pub working_dir: Option<String>,
    /// Environment in the order of the manifest (`envFrom` first, as Kubernetes has it).
    pub env: Vec<EnvVar>,
    /// Declared ports.
    pub ports: Vec<Port>,
    /// Where volumes appear.
    pub mounts: Vec<Mount>,
    /// Requests and limits.
    pub resources: Resources,
    /// The probes a kubelet sends.
    pub probes: Probes,
    /// What a kubelet runs after its start and before its end.
    pub hooks: Hooks,
    /// User, capabilities, root filesystem.
    pub security: Security,
    /// Whether it is an init container that goes on running (`restartPolicy: Always`).
    pub is_sidecar: bool,
}

/// One environment variable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnvVar {
    /// The variable's name.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// Whether `$(NAME)` in it is replaced: Kubernetes does so in literal values only. See [`Container::resolve`].
    pub expand: bool,
}

/// A value whose text is known now, secret, or known once the pod exists.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Value {
    /// Literal text, or text from a ConfigMap.
    Plain(String),
    /// Text from a Secret.
    Secret(Secret),
    /// What is not text, from a ConfigMap or a Secret: files alone hold such.
    Binary(Binary),
    /// `valueFrom.fieldRef`.
    Field(Field),
    /// `valueFrom.resourceFieldRef` to a limit that the container does not have: what its node has, divided by so much and rounded up.
    Node(NodeResource, u64),
}

/// What a node has for its pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum NodeResource {
    /// In thousandths of a core.
    Cpu,
    /// In bytes.
    Memory,
}

/// Bytes that are no text, which no output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Binary {
    /// `metadata.name` of the ConfigMap or Secret.
    pub name: String,
    /// The key in it.
    pub key: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A key of a Secret with its text, which no output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// `metadata.name` of the Secret.
    pub name: String,
    /// The key in it.
    pub key: String,
    /// The secret text.
    pub text: String,
}

/// Shows and writes only the names of a value.
macro_rules! named_only {
    ($($type:ident),+) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({}/{})", stringify!($type), self.name, self.key)
            }
        }

        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&format_args!("{}/{}", self.name, self.key))
            }
        }
    )+};
}
named_only!(Binary, Secret);

/// The fields of a pod that env can refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Field {
    /// `metadata.name`.
    PodName,
    /// `metadata.namespace`.
    Namespace,
    /// `metadata.uid`.
    PodUid,
    /// `status.podIP`.
    PodIp,
    /// `status.hostIP`.
    HostIp,
    /// `spec.nodeName`.
    NodeName,
}

/// A declared container port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Port {
    /// The name that probes and Services may use.
    pub name: Option<String>,
    /// The port number in the pod.
    pub number: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

/// A volume at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// The volume's name in [`Pod::volumes`].
    pub volume: String,
    /// Where the container sees it.
    pub path: String,
    /// One file or directory of the volume instead of its root.
    pub sub_path: Option<String>,
    /// Whether `$(NAME)` in `sub_path` is replaced by the container's variables (`subPathExpr`). See [`Container::mounts_of`].
    pub expand_sub_path: bool,
    /// Whether writes are refused.
    pub read_only: bool,
}

/// What a container asks for and may use at most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// `requests.memory`.
    pub memory_request_bytes: Option<u64>,
    /// `limits.memory`.
    pub memory_limit_bytes: Option<u64>,
    /// `requests.cpu`, in thousandths of a core.
    pub cpu_request_millis: Option<u64>,
    /// `limits.cpu`, in thousandths of a core.
    pub cpu_limit_millis: Option<u64>,
}

/// `securityContext` of a container, the pod's merged in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Security {
    /// `runAsUser`.
    pub run_as_user: Option<u32>,
    /// `runAsGroup`.
    pub run_as_group: Option<u32>,
    /// `readOnlyRootFilesystem`.
    pub read_only_root: bool,
    /// `privileged`.
    pub privileged: bool,
    /// `allowPrivilegeEscalation: false`.
    pub no_new_privileges: bool,
    /// `capabilities.drop`.
    pub drop_capabilities: Vec<String>,
    /// `capabilities.add`.
    pub add_capabilities: Vec<String>,
}
