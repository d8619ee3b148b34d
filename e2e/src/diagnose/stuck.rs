//! Pods that will not start however long one waits, because the cluster says why. Main function: [`of_pod`].

use super::Code;
use crate::kubelet::{
    node::PodReport,
    status::{ContainerState, Event, EventType},
};

/// What keeps a pod from starting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stuck {
    /// Which cause.
    pub(crate) code: Code,
    /// The cluster's own words.
    pub(crate) words: String,
}

/// What keeps a pod from starting, if it cannot start without a change from outside.
pub(crate) fn of_pod(pod: &PodReport) -> Option<Stuck> {
    if pod.ready {
        return None;
    }
    container(pod).or_else(|| mount(pod)).or_else(|| unschedulable(pod)).or_else(|| refused(pod))
}

/// Words of a waiting container (`pkg/kubelet/images/types.go`, `pkg/kubelet/kuberuntime`). `ErrImagePull` alone is not among
/// them: it is what a first failure is called before the kubelet waits for the next try.
const IMAGE: [&str; 4] = ["ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"];
const CONFIG: [&str; 1] = ["CreateContainerConfigError"];
/// What a kubelet says of a Secret or ConfigMap that it has not heard of yet (`pkg/kubelet/util/manager`); it tries again.
const NOT_YET: &str = "failed to sync";

fn container(pod: &PodReport) -> Option<Stuck> {
    pod.init_containers.iter().chain(&pod.containers).find_map(|container| {
        let ContainerState::Waiting { reason, message } = &container.status.state else { return None };
        let code = match reason.as_str() {
            reason if IMAGE.contains(&reason) => Code::ImageUnavailable,
            reason if CONFIG.contains(&reason) && !message.contains(NOT_YET) => Code::ConfigMissing,
            _ => return None,
        };
        // Back-off says only that it waits; the failure before it says why.
        let failed =
            container.events.iter().rfind(|event| event.reason == "Failed" && !event.message.contains("Error: "));
        let words = match (code, failed) {
            (Code::ImageUnavailable, Some(event)) => event.message.clone(),
            _ => format!("{reason}: {message}"),
        };
        Some(Stuck { code, words })
    })
}

/// How often a mount may fail before that is believed: a kubelet that has just been given a pod may not know its ConfigMaps yet,
/// and tries again after half a second, one and two.
const MOUNT_FAILURES: u32 = 3;

/// A volume that cannot be mounted while no container has started.
fn mount(pod: &PodReport) -> Option<Stuck> {
    if pod.started || pod.containers.iter().any(|container| container.status.restart_count > 0) {
        return None;
    }
    let event = warning(&pod.events, |reason| matches!(reason, "FailedMount" | "FailedAttachVolume"))?;
    let code = if event.message.contains("not found") { Code::ConfigMissing } else { Code::MountFailed };
    if code == Code::MountFailed && event.count < MOUNT_FAILURES {
        return None;
    }
    Some(Stuck { code, words: event.message.clone() })
}

/// No node takes it, and nothing that could add a node has said that it does.
fn unschedulable(pod: &PodReport) -> Option<Stuck> {
    let condition = pod.object.as_ref()?.conditions.iter().find(|condition| condition.contains("(Unschedulable: "))?;
    let is_growing = pod.events.iter().any(|event| event.reason == "TriggeredScaleUp");
    let words = condition.split_once("(Unschedulable: ").map(|(_, words)| words.trim_end_matches(')').to_owned())?;
    (!is_growing).then_some(Stuck { code: Code::Unschedulable, words })
}

/// The cluster does not even make it.
fn refused(pod: &PodReport) -> Option<Stuck> {
    if !pod.object.as_ref()?.name.is_empty() {
        return None;
    }
    let event = warning(&pod.events, |reason| reason == "FailedCreate")?;
    Some(Stuck { code: Code::AdmissionRefused, words: event.message.clone() })
}

fn warning(events: &[Event], is_wanted: impl Fn(&str) -> bool) -> Option<&Event> {
    events.iter().rfind(|event| event.kind == EventType::Warning && is_wanted(&event.reason))
}

/// What to do about it.
pub(super) fn fix(code: Code, kind: &str, component: &str) -> String {
    match code {
        Code::ImageUnavailable => {
            format!("Correct the image of {kind} {component}, or bring it to the cluster's nodes.")
        }
        Code::ConfigMissing => {
            format!("Create the Secret or ConfigMap that {kind} {component} refers to, or correct the reference.")
        }
        Code::MountFailed => format!("Correct the volumes of {kind} {component}."),
        Code::Unschedulable => {
            format!("Lower resources.requests of {kind} {component}, or add a node that can take it.")
        }
        _ => format!("Raise the quota, or change {kind} {component} so that the cluster's policies admit it."),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        kubelet::node::{ClusterPod, ContainerReport},
        plan::Probes,
    };

    fn event(reason: &str, message: &str) -> Event {
        Event {
            kind: EventType::Warning,
            reason: reason.to_owned(),
            message: message.to_owned(),
            count: 1,
            first: Duration::ZERO,
            last: Duration::ZERO,
        }
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
        let mut pod = waiting("ContainerCreating", "");
        pod.events.push(event("FailedMount", "MountVolume.SetUp failed: secret \"db\" not found"));
        assert_eq!(stuck(&pod).map(|(code, _)| code), Some(Code::ConfigMissing));
        pod.events[0].message = "timed out waiting for the condition".to_owned();
        assert_eq!(stuck(&pod), None, "it may be a matter of a second");
        pod.events[0].count = 3;
        assert_eq!(stuck(&pod).map(|(code, _)| code), Some(Code::MountFailed));
        pod.ready = true;
        assert_eq!(stuck(&pod), None, "it was mounted in the end");
    }

    #[test]
    fn no_node_takes_it() {
        let mut pod = waiting("Pending", "");
        let unmet = "PodScheduled=False (Unschedulable: 0/1 nodes are available: 1 Insufficient cpu.)";
        pod.object.as_mut().unwrap().conditions.push(unmet.to_owned());
        let words = "0/1 nodes are available: 1 Insufficient cpu.".to_owned();
        assert_eq!(stuck(&pod), Some((Code::Unschedulable, words)));
        pod.events.push(event("TriggeredScaleUp", "pod triggered scale-up"));
        assert_eq!(stuck(&pod), None, "a node is on its way");
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
