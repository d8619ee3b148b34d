//! The Pod Security Standards, as far as a pod's template shows whether it keeps them
//! (<https://kubernetes.io/docs/concepts/security/pod-security-standards/>). Pure. Main function: [`level`].

use e2e_plan::Object;
use serde_json::Value;

use super::pod;

/// The version of the standards that the rules below are those of. A namespace that names it is not judged by later ones, which this
/// program does not know.
pub(super) const VERSION: &str = "v1.34";

/// What a field may be where it is set.
enum May {
    /// Not set: absent, false, zero or empty.
    BeUnset,
    /// One of these.
    Be(&'static [&'static str]),
}

/// `containers` stands for init containers too, `[]` for every element.
struct Rule(&'static str, May);

const PROFILES: May = May::Be(&["RuntimeDefault", "Localhost"]);
const SELINUX_TYPES: May = May::Be(&["container_t", "container_init_t", "container_kvm_t", "container_engine_t", ""]);
const CAPABILITIES: May = May::Be(&[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
]);
const SYSCTLS: May = May::Be(&[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
]);

#[rustfmt::skip]
const BASELINE: &[Rule] = &[
    Rule("hostNetwork", May::BeUnset),
    Rule("hostPID", May::BeUnset),
    Rule("hostIPC", May::BeUnset),
    Rule("volumes[].hostPath", May::BeUnset),
    Rule("securityContext.windowsOptions.hostProcess", May::BeUnset),
    Rule("securityContext.appArmorProfile.type", PROFILES),
    Rule("securityContext.seccompProfile.type", PROFILES),
    Rule("securityContext.seLinuxOptions.type", SELINUX_TYPES),
    Rule("securityContext.seLinuxOptions.user", May::BeUnset),
    Rule("securityContext.seLinuxOptions.role", May::BeUnset),
    Rule("securityContext.sysctls[].name", SYSCTLS),
    Rule("containers[].ports[].hostPort", May::BeUnset),
    Rule("containers[].securityContext.privileged", May::BeUnset),
    Rule("containers[].securityContext.windowsOptions.hostProcess", May::BeUnset),
    Rule("containers[].securityContext.appArmorProfile.type", PROFILES),
    Rule("containers[].securityContext.seccompProfile.type", PROFILES),
    Rule("containers[].securityContext.seLinuxOptions.type", SELINUX_TYPES),
    Rule("containers[].securityContext.seLinuxOptions.user", May::BeUnset),
    Rule("containers[].securityContext.seLinuxOptions.role", May::BeUnset),
    Rule("containers[].securityContext.procMount", May::Be(&["Default"])),
    Rule("containers[].securityContext.capabilities.add[]", CAPABILITIES),
    Rule("containers[].startupProbe.httpGet.host", May::BeUnset),
    Rule("containers[].startupProbe.tcpSocket.host", May::BeUnset),
    Rule("containers[].readinessProbe.httpGet.host", May::BeUnset),
    Rule("containers[].readinessProbe.tcpSocket.host", May::BeUnset),
    Rule("containers[].livenessProbe.httpGet.host", May::BeUnset),
    Rule("containers[].livenessProbe.tcpSocket.host", May::BeUnset),
    Rule("containers[].lifecycle.postStart.httpGet.host", May::BeUnset),
    Rule("containers[].lifecycle.postStart.tcpSocket.host", May::BeUnset),
    Rule("containers[].lifecycle.preStop.httpGet.host", May::BeUnset),
    Rule("containers[].lifecycle.preStop.tcpSocket.host", May::BeUnset),
];

/// The strictest level that every pod of the objects keeps: `restricted`, `baseline` or `privileged`.
pub(super) fn level(objects: &[Object]) -> &'static str {
    let pods: Vec<&Value> = objects.iter().filter_map(|object| pod::of(&object.json)).collect();
    match () {
        () if pods.iter().all(|pod| is_baseline(pod) && is_restricted(&pod["spec"])) => "restricted",
        () if pods.iter().all(|pod| is_baseline(pod)) => "baseline",
        () => "privileged",
    }
}

fn is_baseline(pod: &Value) -> bool {
    let keeps = |Rule(path, may): &Rule| at(&pod["spec"], path).into_iter().all(|value| allows(may, value));
    let is_profile = |(name, value): (&String, &Value)| {
        let text = value.as_str().unwrap_or_default();
        !name.starts_with("container.apparmor.security.beta.kubernetes.io/")
            || text == "runtime/default"
            || text.starts_with("localhost/")
    };
    BASELINE.iter().all(keeps) && pod["metadata"]["annotations"].as_object().into_iter().flatten().all(is_profile)
}

fn allows(may: &May, value: &Value) -> bool {
    match may {
        May::BeUnset => matches!(value, Value::Null | Value::Bool(false)) || *value == 0 || *value == "",
        May::Be(values) => value.is_null() || value.as_str().is_some_and(|text| values.contains(&text)),
    }
}

/// Every value that stands at a path.
fn at<'a>(value: &'a Value, path: &str) -> Vec<&'a Value> {
    let Some((step, rest)) = path.split_once('.') else { return members(value, path) };
    members(value, step).into_iter().flat_map(|member| at(member, rest)).collect()
}

fn members<'a>(value: &'a Value, step: &str) -> Vec<&'a Value> {
    let elements = |key: &str| value[key].as_array().into_iter().flatten();
    match step.strip_suffix("[]") {
        None => vec![&value[step]],
        Some("containers") => elements("initContainers").chain(elements("containers")).collect(),
        Some(key) => elements(key).collect(),
    }
}

/// Kinds of volumes that the restricted level allows.
const VOLUMES: [&str; 8] =
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];

/// What the restricted level asks beside the baseline.
fn is_restricted(spec: &Value) -> bool {
    let pod = &spec["securityContext"];
    let kinds = || at(spec, "volumes[]").into_iter().filter_map(Value::as_object).flat_map(|volume| volume.keys());
    let mut users = at(spec, "containers[].securityContext.runAsUser").into_iter().chain([&pod["runAsUser"]]);
    kinds().all(|kind| kind == "name" || VOLUMES.contains(&kind.as_str()))
        && users.all(|user| *user != 0)
        && at(spec, "containers[]").into_iter().all(|container| {
            let own = &container["securityContext"];
            // A container's own setting stands above the pod's.
            let either = |path: &str| at(own, path).into_iter().chain(at(pod, path)).find(|value| !value.is_null());
            let added = at(own, "capabilities.add[]").into_iter().all(|name| name == "NET_BIND_SERVICE");
            let dropped = at(own, "capabilities.drop[]").into_iter().any(|name| name == "ALL");
            let profile = either("seccompProfile.type");
            own["allowPrivilegeEscalation"] == false
                && added
                && dropped
                && either("runAsNonRoot").is_some_and(|value| *value == true)
                && profile.is_some_and(|profile| allows(&PROFILES, profile))
        })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::{super::testing::object, *};

    fn deployment(spec: Value) -> Object {
        object(json!({ "kind": "Deployment", "spec": { "template": { "spec": spec } } }))
    }

    /// A pod that keeps the strictest level, with one field of it, or of its container, another way.
    fn with(pointer: &str, value: Value) -> &'static str {
        let mut spec = json!({
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" }, "sysctls": [{}] },
            "containers": [{
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
                "livenessProbe": { "httpGet": { "port": 80 } }, "lifecycle": { "preStop": { "tcpSocket": {} } },
            }],
        });
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        spec.pointer_mut(parent).expect("it is there")[key] = value;
        level(&[deployment(spec)])
    }

    #[rstest]
    #[case::as_it_is("/x", json!(null), "restricted")]
    #[case::a_user("/containers/0/securityContext/runAsUser", json!(1000), "restricted")]
    #[case::low_ports("/containers/0/securityContext/capabilities/add", json!(["NET_BIND_SERVICE"]), "restricted")]
    #[case::memory("/volumes", json!([{ "name": "a", "emptyDir": {} }]), "restricted")]
    #[case::root("/containers/0/securityContext/runAsUser", json!(0), "baseline")]
    #[case::escalation("/containers/0/securityContext/allowPrivilegeEscalation", json!(true), "baseline")]
    #[case::no_profile("/securityContext/seccompProfile", json!({}), "baseline")]
    #[case::own_user("/containers/0/securityContext/runAsNonRoot", json!(false), "baseline")]
    #[case::nfs("/volumes", json!([{ "name": "a", "nfs": {} }]), "baseline")]
    #[case::chown("/containers/0/securityContext/capabilities/add", json!(["CHOWN"]), "baseline")]
    #[case::safe_sysctl("/securityContext/sysctls/0/name", json!("net.ipv4.tcp_syncookies"), "restricted")]
    #[case::sysctl("/securityContext/sysctls/0/name", json!("net.core.somaxconn"), "privileged")]
    #[case::unconfined("/securityContext/seccompProfile/type", json!("Unconfined"), "privileged")]
    #[case::own_unconfined("/containers/0/securityContext/seccompProfile", json!({ "type": "Unconfined" }), "privileged")]
    #[case::probe_host("/containers/0/livenessProbe/httpGet/host", json!("127.0.0.1"), "privileged")]
    #[case::hook_host("/containers/0/lifecycle/preStop/tcpSocket/host", json!("db"), "privileged")]
    #[case::admin("/containers/0/securityContext/capabilities/add", json!(["NET_ADMIN"]), "privileged")]
    #[case::host_port("/containers/0/ports", json!([{ "containerPort": 80, "hostPort": 80 }]), "privileged")]
    #[case::host_path("/volumes", json!([{ "name": "a", "hostPath": { "path": "/" } }]), "privileged")]
    #[case::init("/initContainers", json!([{ "securityContext": { "privileged": true } }]), "privileged")]
    #[case::proc_mount("/containers/0/securityContext/procMount", json!("Unmasked"), "privileged")]
    #[case::selinux("/securityContext/seLinuxOptions", json!({ "user": "system_u" }), "privileged")]
    fn each_field_has_its_level(#[case] pointer: &str, #[case] value: Value, #[case] expected: &str) {
        assert_eq!(with(pointer, value), expected);
    }

    #[test]
    fn the_level_is_the_strictest_that_all_pods_keep() {
        let (loose, free) = (json!({ "containers": [{}] }), json!({ "hostNetwork": true }));
        assert_eq!(level(&[]), "restricted");
        assert_eq!(level(&[deployment(loose.clone())]), "baseline");
        assert_eq!(level(&[deployment(loose), deployment(free.clone())]), "privileged");
        let job = json!({ "spec": { "jobTemplate": { "spec": { "template": { "spec": free } } } } });
        assert_eq!(level(&[object(job)]), "privileged");
        let profile = json!({ "container.apparmor.security.beta.kubernetes.io/app": "unconfined" });
        let pod = json!({ "kind": "Pod", "metadata": { "annotations": profile }, "spec": { "containers": [] } });
        assert_eq!(level(&[object(pod)]), "privileged");
    }
}
