//! Pods that cannot start, by the cluster's own words. Main function: [`of_pod`].

use e2e_kubelet::{
    snapshot::{ContainerReport, PodReport},
    status::{ContainerState, ContainerStatus, Event, EventType},
};

use super::Code;

/// The obstacle to a pod's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// The cause.
    pub code: Code,
    /// The cluster's own words.
    pub words: String,
}

/// The obstacle to a pod's start, if only an outside change removes it.
pub fn of_pod(pod: &PodReport) -> Option<Stuck> {
    if pod.ready {
        return None;
    }
    container(pod).or_else(|| mount(pod)).or_else(|| unschedulable(pod)).or_else(|| refused(pod))
}

/// Words of a waiting container (`pkg/kubelet/images/types.go`, `pkg/kubelet/kuberuntime`). `ErrImagePull` is not among them: it
/// names a first failure, before the kubelet's back-off.
const IMAGE: [&str; 4] = ["ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"];
const CONFIG: &str = "CreateContainerConfigError";
/// A kubelet's words for a Secret or ConfigMap not yet in its cache (`pkg/kubelet/util/manager`); it tries again.
const NOT_YET: &str = "failed to sync";

/// The obstacle to the start of a container that waits with these words, if only an outside change removes it.
pub fn waiting(reason: &str, message: &str) -> Option<Code> {
    match reason {
        _ if IMAGE.contains(&reason) => Some(Code::ImageUnavailable),
        CONFIG if !message.contains(NOT_YET) => Some(Code::ConfigMissing),
        _ => None,
    }
}

fn container(pod: &PodReport) -> Option<Stuck> {
    pod.all_containers().find_map(|container| {
        let ContainerState::Waiting { reason, message } = &container.status.state else { return None };
        let code = waiting(reason, message)?;
        // A back-off only reports the wait; the failure before it has the reason.
        let failed =
            container.events.iter().rfind(|event| event.reason == "Failed" && !event.message.contains("Error: "));
        let words = match (code, failed) {
            (Code::ImageUnavailable, Some(event)) => event.message.clone(),
            _ => format!("{reason}: {message}"),
        };
        Some(Stuck { code, words })
    })
}

/// The number of failed mounts that counts as permanent: a kubelet may not know a new pod's ConfigMaps yet, and a new namespace
/// gets `kube-root-ca.crt` a moment later. The kubelet retries after half a second, one and two.
const MOUNT_FAILURES: u32 = 3;

/// A volume that cannot be mounted; no container starts without it.
fn mount(pod: &PodReport) -> Option<Stuck> {
    let mut containers = pod.all_containers();
    if pod.started || containers.any(has_begun) {
        return None;
    }
    let failed = |event: &&Event| {
        event.kind == EventType::Warning
            && matches!(event.reason.as_str(), "FailedMount" | "FailedAttachVolume")
            && event.count >= MOUNT_FAILURES
    };
    let event = pod.events.iter().rfind(failed)?;
    let code = if misses_an_object(&event.message) { Code::ConfigMissing } else { Code::MountFailed };
    Some(Stuck { code, words: event.message.clone() })
}

/// Whether a kubelet has acted on a container, which means that all volumes are mounted.
fn has_begun(container: &ContainerReport) -> bool {
    let ContainerStatus { state, restart_count, .. } = &container.status;
    !state.is_new() || *restart_count > 0 || container.events.iter().any(|event| event.kind == EventType::Normal)
}

/// Whether a message says `secret "db" not found`, or the same of a ConfigMap. Other things may be "not found" too, for example a
/// driver.
fn misses_an_object(message: &str) -> bool {
    ["secret \"", "configmap \""].iter().any(|kind| {
        let names = message.split(kind).skip(1).filter_map(|rest| rest.split_once('"'));
        names.into_iter().any(|(_, after)| after.starts_with(" not found"))
    })
}

/// No node fits, and no autoscaler has announced a new node.
fn unschedulable(pod: &PodReport) -> Option<Stuck> {
    let condition = pod.object.as_ref()?.conditions.iter().find(|condition| condition.reason == "Unschedulable")?;
    let is_growing = pod.events.iter().any(|event| event.reason == "TriggeredScaleUp");
    (!is_growing).then(|| Stuck { code: Code::Unschedulable, words: condition.message.clone() })
}

/// The cluster refuses to create it.
fn refused(pod: &PodReport) -> Option<Stuck> {
    if !pod.object.as_ref()?.name.is_empty() {
        return None;
    }
    let refused = |event: &&Event| event.kind == EventType::Warning && event.reason == "FailedCreate";
    let event = pod.events.iter().rfind(refused)?;
    Some(Stuck { code: Code::AdmissionRefused, words: event.message.clone() })
}

pub(super) fn fix(code: Code, words: &str, kind: &str, component: &str) -> String {
    match code {
        Code::ImageUnavailable => {
            format!("Correct the image of {kind} {component}, or load it onto the cluster's nodes.")
        }
        Code::ConfigMissing => {
            format!("Create the Secret or ConfigMap of {kind} {component}, or correct the reference.")
        }
        Code::MountFailed => format!("Correct the volumes of {kind} {component}."),
        // The scheduler's words for a claim that no volume fits (`volumebinding` of kube-scheduler).
        Code::Unschedulable if words.contains("PersistentVolumeClaim") || words.contains("persistentvolumeclaim") => {
            format!(
                "Give the claims of {kind} {component} a StorageClass that the cluster has (`kubectl get storageclass`; the default one if they name \
             none), or a PersistentVolume that fits; `kubectl describe pvc` says what is missing."
            )
        }
        Code::Unschedulable => {
            format!("Lower resources.requests of {kind} {component}, or add a larger node.")
        }
        _ => format!("Raise the quota, or make {kind} {component} comply with the cluster's policies."),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use e2e_kubelet::snapshot::ClusterPod;
    use e2e_kubelet::snapshot::Condition;
    use e2e_plan::Probes;

    use super::*;

    fn event(reason: &str, message: &str) -> Event {
        Event { kind: EventType::Warning, ..Event::normal(reason, message) }
    }

    fn waiting(reason: &str, message: &str) -> PodReport {
        let mut container = ContainerReport::declared("app", &Probes::default(), reason);
        container.status.state = ContainerState::Waiting { reason: reason.to_owned(), message: message.to_owned() };
        let object = ClusterPod { name: "app-1".to_owned(), ..ClusterPod::default() };
        PodReport { containers: vec![container], object: Some(object), ..PodReport::default() }
    }

    fn stuck(pod: &PodReport) -> Option<(Code, String)> {
        of_pod(pod).map(|stuck| (stuck.code, stuck.words))
    }

    #[test]
    fn an_image_that_cannot_be_pulled() {
        let mut pod = waiting("ImagePullBackOff", "Back-off pulling image \"x:1\"");
        pod.containers[0].events.push(event("Failed", "Failed to pull image \"x:1\": no such host"));
        pod.containers[0].events.push(event("Failed", "Error: ErrImagePull"));
        assert_eq!(
            stuck(&pod),
            Some((Code::ImageUnavailable, "Failed to pull image \"x:1\": no such host".to_owned()))
        );
        assert_eq!(stuck(&waiting("ErrImagePull", "")), None, "the kubelet will try again");
        assert_eq!(stuck(&waiting("ContainerCreating", "")), None);
    }

    #[test]
    fn a_secret_that_is_not_there() {
        let pod = waiting("CreateContainerConfigError", "secret \"db\" not found");
        let words = "CreateContainerConfigError: secret \"db\" not found".to_owned();
        assert_eq!(stuck(&pod), Some((Code::ConfigMissing, words)));
        let slow = "failed to sync secret cache: timed out waiting for the condition";
        assert_eq!(stuck(&waiting("CreateContainerConfigError", slow)), None, "the kubelet will try again");
    }

    #[rstest::rstest]
    #[case::secret("MountVolume.SetUp failed for volume \"v\" : secret \"db\" not found", Code::ConfigMissing)]
    #[case::config_map("MountVolume.SetUp failed for volume \"v\" : configmap \"app\" not found", Code::ConfigMissing)]
    #[case::driver("driver name ebs.csi.aws.com not found in the list of registered CSI drivers", Code::MountFailed)]
    #[case::claim("secret \"db\" is empty, persistentvolumeclaim \"data\" not found", Code::MountFailed)]
    #[case::no_words("timed out waiting for the condition", Code::MountFailed)]
    fn a_volume_that_cannot_be_mounted(#[case] message: &str, #[case] code: Code) {
        let mut pod = waiting("ContainerCreating", "");
        pod.events.push(event("FailedMount", message));
        assert_eq!(stuck(&pod), None, "it may be a matter of a second");
        pod.events[0].count = MOUNT_FAILURES;
        assert_eq!(stuck(&pod), Some((code, message.to_owned())));
        // Another one that failed once does not hide it.
        pod.events.push(event("FailedMount", "object \"x\"/\"kube-root-ca.crt\" not registered"));
        assert_eq!(stuck(&pod), Some((code, message.to_owned())));

        let pulling = Event { kind: EventType::Normal, ..event("Pulling", "Pulling image") };
        pod.containers[0].events.push(pulling);
        assert_eq!(stuck(&pod), None, "images are pulled once volumes are mounted");
        pod.containers[0].events.clear();
        pod.containers[0].status.state = ContainerState::Running { since: Duration::ZERO };
        assert_eq!(stuck(&pod), None, "it was mounted in the end");
    }

    #[test]
    fn no_node_takes_it() {
        let mut pod = waiting("Pending", "");
        let words = "0/1 nodes are available: 1 Insufficient cpu (of 2).".to_owned();
        let unmet = Condition {
            kind: "PodScheduled".to_owned(),
            status: "False".to_owned(),
            reason: "Unschedulable".to_owned(),
            message: words.clone(),
        };
        pod.object.as_mut().unwrap().conditions.push(unmet);
        assert_eq!(stuck(&pod), Some((Code::Unschedulable, words)));
        pod.events.push(event("TriggeredScaleUp", "pod triggered scale-up"));
        assert_eq!(stuck(&pod), None, "a node is on its way");
    }

    #[rstest::rstest]
    #[case::of_1_20("0/1 nodes are available: 1 pod has unbound immediate PersistentVolumeClaims.", "StorageClass")]
    #[case::missing("0/1 nodes are available: persistentvolumeclaim \"data\" not found.", "StorageClass")]
    #[case::busy("0/1 nodes are available: 1 Insufficient cpu.", "resources.requests")]
    fn a_claim_gets_advice_about_storage(#[case] words: &str, #[case] advice: &str) {
        let fix = fix(Code::Unschedulable, words, "StatefulSet", "db");
        assert!(fix.contains(advice), "{fix}");
    }

    #[test]
    fn the_cluster_refuses_to_make_it() {
        let mut pod = waiting("ContainerCreating", "");
        pod.object.as_mut().unwrap().name.clear();
        assert_eq!(stuck(&pod), None);
        pod.events.push(event("FailedCreate", "pods is forbidden: exceeded quota: tight"));
        assert_eq!(stuck(&pod).map(|(code, _)| code), Some(Code::AdmissionRefused));
    }
}
