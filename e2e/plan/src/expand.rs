//! Values that are known once a pod exists: fields of the pod, and `$(NAME)` in env values, command and args as the kubelet
//! replaces it (`k8s.io/kubernetes/third_party/forked/golang/expansion`). Main type: [`ResolvedContainer`].

use std::{borrow::Cow, collections::BTreeMap, fmt};

use k8s_openapi::api::core::v1::EnvVar;

use super::{
    Component, Plan,
    pod::{Container, Field, Mount, NodeResource, Secret, Value, Volume},
};

/// What a pod knows about itself once it exists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// `metadata.name`.
    pub pod_name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`.
    pub pod_uid: String,
    /// `status.podIP`.
    pub pod_ip: String,
    /// `status.hostIP`.
    pub host_ip: String,
    /// `spec.nodeName`.
    pub node_name: String,
    /// What the node has for pods, in thousandths of a core.
    pub node_cpu_millis: u64,
    /// What the node has for pods, in bytes.
    pub node_memory_bytes: u64,
    /// The variables of Services: see [`Service::links`](super::Service::links). Those of the container go before them.
    pub service_links: Vec<(String, String)>,
}

/// A container's environment, command and args with every value known.
#[derive(Clone, PartialEq, Eq)]
pub struct ResolvedContainer {
    /// Each variable once. The order is that of the manifest.
    pub env: Vec<(String, String)>,
    /// Replaces the image's entrypoint unless empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments unless empty.
    pub args: Vec<String>,
    /// The texts that must not be shown.
    secrets: Vec<String>,
}

impl fmt::Debug for ResolvedContainer {
    /// Shows `***` for the texts of Secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hide = |text: &String| self.secrets.iter().fold(text.clone(), |text, secret| text.replace(secret, "***"));
        let hide_all = |texts: &[String]| texts.iter().map(hide).collect::<Vec<_>>();
        let env: Vec<_> = self.env.iter().map(|(name, value)| (name, hide(value))).collect();
        f.debug_struct("ResolvedContainer")
            .field("env", &env)
            .field("command", &hide_all(&self.command))
            .field("args", &hide_all(&self.args))
            .finish_non_exhaustive()
    }
}

impl Value {
    /// The text itself, also when it is secret.
    #[must_use]
    pub fn text<'a>(&'a self, identity: &'a Identity) -> Cow<'a, str> {
        match self {
            Self::Plain(text) => text.into(),
            Self::Secret(secret) => (&secret.text).into(),
            Self::Binary(binary) => String::from_utf8_lossy(&binary.bytes),
            Self::Field(field) => field.text(identity).into(),
            Self::Node(NodeResource::Cpu, divisor) => identity.node_cpu_millis.div_ceil(*divisor).to_string().into(),
            Self::Node(NodeResource::Memory, divisor) => {
                identity.node_memory_bytes.div_ceil(*divisor).to_string().into()
            }
        }
    }

    /// What a file with it holds.
    #[must_use]
    pub fn bytes<'a>(&'a self, identity: &'a Identity) -> Cow<'a, [u8]> {
        match (self, self.text(identity)) {
            (Self::Binary(binary), _) => (&binary.bytes).into(),
            (_, Cow::Borrowed(text)) => text.as_bytes().into(),
            (_, Cow::Owned(text)) => text.into_bytes().into(),
        }
    }
}

impl Field {
    fn text(self, identity: &Identity) -> &str {
        match self {
            Self::PodName => &identity.pod_name,
            Self::Namespace => &identity.namespace,
            Self::PodUid => &identity.pod_uid,
            Self::PodIp => &identity.pod_ip,
            Self::HostIp => &identity.host_ip,
            Self::NodeName => &identity.node_name,
        }
    }
}

impl Container {
    /// The container of one pod. A variable sees those before it and those of Services; command and args see all of them.
    #[must_use]
    pub fn resolve(&self, identity: &Identity) -> ResolvedContainer {
        let mut env = identity.service_links.clone();
        let mut known: BTreeMap<&str, String> =
            identity.service_links.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        for variable in &self.env {
            let text = variable.value.text(identity);
            let text = if variable.expand { expand(&text, &known) } else { text.into_owned() };
            env.retain(|(name, _)| *name != variable.name);
            env.push((variable.name.clone(), text.clone()));
            known.insert(&variable.name, text);
        }
        let expand_all = |texts: &[String]| texts.iter().map(|text| expand(text, &known)).collect::<Vec<_>>();
        let (command, args) = (expand_all(&self.command), expand_all(&self.args));
        ResolvedContainer { env, command, args, secrets: self.secrets().map(|secret| secret.text.clone()).collect() }
    }

    /// Its mounts in one pod, with every `subPathExpr` replaced by its value.
    #[must_use]
    pub fn mounts_of(&self, identity: &Identity) -> Vec<Mount> {
        let resolved = self.resolve(identity);
        let known = resolved.env.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let mount = |mount: &Mount| match &mount.sub_path {
            Some(path) if mount.expand_sub_path => {
                Mount { sub_path: Some(expand(path, &known)), expand_sub_path: false, ..mount.clone() }
            }
            _ => mount.clone(),
        };
        self.mounts.iter().map(mount).collect()
    }

    /// The Secrets in the environment; an empty text has nothing to hide.
    fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.env.iter().filter_map(|variable| secret(&variable.value))
    }
}

impl Component {
    /// The texts of Secrets that the component's environment and files hold, each once.
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        let files = self.pod.volumes.values().flat_map(|volume| match volume {
            Volume::Files(files) => files.as_slice(),
            Volume::EmptyDir { .. } | Volume::Persistent { .. } => &[],
        });
        let files = files.filter_map(|file| secret(&file.content));
        unique(self.pod.all_containers().flat_map(Container::secrets).chain(files))
    }
}

impl Plan {
    /// The texts of Secrets that any component is given, each once: what no output may show.
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        let jobs = self.cron_jobs.iter().map(|cron_job| &cron_job.job);
        unique(self.components.iter().chain(jobs).flat_map(Component::secrets))
    }
}

fn secret(value: &Value) -> Option<&Secret> {
    match value {
        Value::Secret(secret) if !secret.text.is_empty() => Some(secret),
        _ => None,
    }
}

fn unique<'a>(secrets: impl Iterator<Item = &'a Secret>) -> Vec<&'a Secret> {
    let mut all: Vec<&Secret> = Vec::new();
    for secret in secrets {
        if !all.contains(&secret) {
            all.push(secret);
        }
    }
    all
}

/// A command as a kubelet's exec probe expands it (`ExpandContainerCommandOnlyStatic`): by the values that the manifest itself gives the
/// container's variables. One with a `valueFrom` counts as empty, and those of `envFrom` and of Services as unknown.
pub(crate) fn expand_static(command: &[String], env: &[EnvVar]) -> Vec<String> {
    let known =
        env.iter().map(|variable| (variable.name.as_str(), variable.value.clone().unwrap_or_default())).collect();
    command.iter().map(|text| expand(text, &known)).collect()
}

/// Replaces `$(NAME)` by the variable's value. An unknown name stays as it is, and `$$` is a plain `$`.
fn expand(text: &str, known: &BTreeMap<&str, String>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find('$') {
        result.push_str(&rest[..position]);
        rest = &rest[position + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match known.get(name) {
                Some(value) => result.push_str(value),
                None => {
                    result.push_str("$(");
                    result.push_str(name);
                    result.push(')');
                }
            }
            rest = after;
        } else {
            result.push('$');
        }
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{Hooks, Probes, Resources, Security, pod};

    /// The cases of Kubernetes's own test (`expand_test.go`), and texts that are longer than a byte for a character.
    #[rstest]
    #[case("$(VAR_A)", "A")]
    #[case("___$(VAR_B)___", "___B___")]
    #[case("$(VAR_A)$(VAR_B)", "AB")]
    #[case("$$(VAR_A)", "$(VAR_A)")]
    #[case("$$$(VAR_A)", "$A")]
    #[case("$$$$(VAR_A)", "$$(VAR_A)")]
    #[case("f000-$(VAR_A", "f000-$(VAR_A")]
    #[case("$VAR_A))", "$VAR_A))")]
    #[case("$(VAR_A$(VAR_B)", "$(VAR_A$(VAR_B)")]
    #[case("$(VAR_DNE)$(VAR_C)", "$(VAR_DNE)C")]
    #[case("foo$", "foo$")]
    #[case("foo$$", "foo$")]
    #[case("$?_boo$(EMPTY)!", "$?_boo!")]
    #[case("$", "$")]
    #[case("$()", "$()")]
    #[case("é$(VAR_A)é", "éAé")]
    fn like_kubernetes(#[case] text: &str, #[case] expected: &str) {
        let known = [("VAR_A", "A"), ("VAR_B", "B"), ("VAR_C", "C"), ("EMPTY", "")];
        let known = known.map(|(name, value)| (name, value.to_owned())).into();
        assert_eq!(expand(text, &known), expected);
    }

    fn container(env: &[(&str, Value, bool)], command: &[&str], args: &[&str]) -> Container {
        let variable = |(name, value, expand): &(&str, Value, bool)| pod::EnvVar {
            name: (*name).into(),
            value: value.clone(),
            expand: *expand,
        };
        Container {
            name: "app".into(),
            image: "x".into(),
            command: command.iter().map(|text| (*text).into()).collect(),
            args: args.iter().map(|text| (*text).into()).collect(),
            working_dir: None,
            env: env.iter().map(variable).collect(),
            ports: vec![],
            mounts: vec![],
            resources: Resources::default(),
            probes: Probes::default(),
            hooks: Hooks::default(),
            security: Security::default(),
            is_sidecar: false,
        }
    }

    fn plain(text: &str) -> Value {
        Value::Plain(text.into())
    }

    #[test]
    fn variables_see_those_before_them() {
        let env = [
            ("IP", Value::Field(Field::PodIp), false),
            ("LATER", plain("$(URL)"), true),
            ("URL", plain("http://$(IP):80"), true),
            ("CONFIG", plain("$(IP)"), false),
            ("IP", plain("[$(IP)]"), true),
        ];
        let container = container(&env, &["run", "$(URL)", "$(IP)"], &["$$(URL)", "$(NONE)"]);
        let identity = Identity { pod_ip: "10.0.0.7".into(), ..Identity::default() };
        let resolved = container.resolve(&identity);
        let env: Vec<_> = resolved.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected = [("LATER", "$(URL)"), ("URL", "http://10.0.0.7:80"), ("CONFIG", "$(IP)"), ("IP", "[10.0.0.7]")];
        assert_eq!(env, expected);
        assert_eq!(resolved.command, ["run", "http://10.0.0.7:80", "[10.0.0.7]"]);
        assert_eq!(resolved.args, ["$(URL)", "$(NONE)"]);
    }

    #[test]
    fn variables_of_services_come_first_and_give_way() {
        let env =
            [("DB_SERVICE_PORT", plain("1"), true), ("URL", plain("$(DB_SERVICE_HOST):$(DB_SERVICE_PORT)"), true)];
        let container = container(&env, &[], &["$(DB_SERVICE_HOST)"]);
        let links = [("DB_SERVICE_HOST", "10.0.0.9"), ("DB_SERVICE_PORT", "5432")];
        let service_links = links.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let resolved = container.resolve(&Identity { service_links, ..Identity::default() });
        let env: Vec<_> = resolved.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(env, [("DB_SERVICE_HOST", "10.0.0.9"), ("DB_SERVICE_PORT", "1"), ("URL", "10.0.0.9:1")]);
        assert_eq!(resolved.args, ["10.0.0.9"]);
    }

    /// `TestExpandCommandAndArgs` has no case of a probe: these follow the function's code.
    #[test]
    fn a_probe_s_command_knows_what_the_manifest_itself_says() {
        let variable = |name: &str, value: Option<&str>| EnvVar {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            ..EnvVar::default()
        };
        let env = [variable("USER", Some("app")), variable("URL", Some("$(USER)@db")), variable("FROM_SECRET", None)];
        let command = ["pg_isready", "-U$(USER)", "$(URL)", "[$(FROM_SECRET)]", "$(DB_SERVICE_HOST)", "$$(USER)"];
        let expected = ["pg_isready", "-Uapp", "$(USER)@db", "[]", "$(DB_SERVICE_HOST)", "$(USER)"];
        assert_eq!(expand_static(&command.map(str::to_owned), &env), expected);
    }

    #[test]
    fn debug_hides_secrets_wherever_they_went() {
        let secret = Secret { name: "db".into(), key: "password".into(), text: "hunter2".into() };
        let env = [("PW", Value::Secret(secret), false), ("URL", plain("postgres://u:$(PW)@db"), true)];
        let resolved = container(&env, &["run", "--password=$(PW)"], &[]).resolve(&Identity::default());
        assert_eq!(resolved.env[1].1, "postgres://u:hunter2@db");
        let shown = format!("{resolved:?}");
        assert!(
            !shown.contains("hunter2") && shown.contains("postgres://u:***@db") && shown.contains("--password=***"),
            "{shown}"
        );
    }
}
