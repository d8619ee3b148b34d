//! Which pod of the cluster stands in which slot of the plan: a cluster makes up its pods' names, and replaces pods, while
//! `backend-0` stays `backend-0` in records and reports. Pure. Main type: [`Slots`].

use std::{collections::BTreeMap, sync::Arc};

use e2e_kubelet::snapshot::{ClusterPod, Condition, PodReport, Snapshot};
use e2e_plan::Component;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event as ClusterEvent, Pod};
use kube::Resource;

use super::status::{is_met, pod_report};
use crate::provider::pods::PodSpec;

/// Label of pods: the component that they are of.
pub(super) const COMPONENT: &str = "e2e.component";

#[derive(Debug)]
pub(super) struct Slots {
    epoch: Timestamp,
    slots: Vec<Slot>,
    /// By uid.
    pods: BTreeMap<String, Arc<Pod>>,
    /// By uid.
    events: BTreeMap<String, Arc<ClusterEvent>>,
}

#[derive(Debug)]
struct Slot {
    spec: PodSpec,
    /// Uid and name of the pod that stands there.
    holder: Option<(String, String)>,
    /// Names of those that stood there before it.
    replaced: Vec<String>,
    /// How many of a Job's pods have failed there: its controller makes others, as a kubelet restarts containers.
    failed: u32,
    report: PodReport,
}

impl Slots {
    /// A slot for each pod of the plan. Times count from `epoch`, by the cluster's clock.
    pub(super) fn new(specs: &[PodSpec], epoch: Timestamp) -> Self {
        let slot = |spec: &PodSpec| Slot {
            spec: spec.clone(),
            holder: None,
            replaced: Vec::new(),
            failed: 0,
            report: pod_report(&spec.component.pod, None, &[], None, epoch),
        };
        Self { epoch, slots: specs.iter().map(slot).collect(), pods: BTreeMap::new(), events: BTreeMap::new() }
    }

    /// All pods of the namespace, when the cluster has told all of them.
    pub(super) fn set_pods(&mut self, pods: Vec<Arc<Pod>>) {
        self.pods = by_uid(pods);
    }

    pub(super) fn set_events(&mut self, events: Vec<Arc<ClusterEvent>>) {
        self.events = by_uid(events);
    }

    pub(super) fn pod(&self, slot: &str) -> Option<&Arc<Pod>> {
        let slot = self.slots.iter().find(|candidate| candidate.spec.name == slot)?;
        self.pods.get(&slot.holder.as_ref()?.0)
    }

    /// What is known of every slot now.
    pub(super) fn snapshot(&mut self) -> Snapshot {
        self.assign();
        for slot in &mut self.slots {
            let pod = slot.holder.as_ref().and_then(|(uid, _)| self.pods.get(uid)).map(Arc::as_ref);
            let is_about = |event: &&ClusterEvent| match pod {
                Some(pod) => event.involved_object.uid == pod.metadata.uid,
                None => makes_pods_of(event, &slot.spec.component),
            };
            let events: Vec<&ClusterEvent> = self.events.values().map(Arc::as_ref).filter(is_about).collect();
            let spec = &slot.spec.component.pod;
            let mut report = pod_report(spec, pod, &events, Some(&slot.report), self.epoch);
            report.object = Some(cluster_pod(pod, &slot.replaced));
            for container in report.containers.iter_mut().filter(|container| !container.terminations.is_empty()) {
                container.status.restart_count += slot.failed;
                report.restarts += slot.failed;
            }
            slot.report = report;
        }
        let reports = self.slots.iter().map(|slot| (slot.spec.name.clone(), slot.report.clone()));
        Snapshot { pods: reports.collect() }
    }

    /// Gives pods without a slot a free one. A pod that is being deleted, or has failed for good, keeps its slot until
    /// another pod of its component needs it.
    fn assign(&mut self) {
        let mut new: Vec<(&String, &Arc<Pod>)> = self
            .pods
            .iter()
            .filter(|(uid, pod)| is_staying(pod) && !self.slots.iter().any(|slot| slot.is_held_by(uid)))
            .collect();
        new.sort_by_key(|(_, pod)| (pod.metadata.creation_timestamp.clone(), pod.metadata.name.clone()));
        for (uid, pod) in new {
            let component = pod.metadata.labels.as_ref().and_then(|labels| labels.get(COMPONENT));
            // A StatefulSet names its pods as the plan does, in whichever order they come.
            let is_own = |slot: &Slot| {
                slot.spec.component.kind == "StatefulSet" && Some(&slot.spec.name) == pod.metadata.name.as_ref()
            };
            let has_own = self.slots.iter().any(is_own);
            let is_free = |slot: &&mut Slot| {
                Some(&slot.spec.component.name) == component
                    && (!has_own || is_own(slot))
                    && !slot.holder.as_ref().and_then(|(uid, _)| self.pods.get(uid)).is_some_and(|pod| is_staying(pod))
            };
            let Some(slot) = self.slots.iter_mut().find(is_free) else { continue };
            let name = pod.metadata.name.clone().unwrap_or_default();
            let held = slot.holder.replace((uid.clone(), name));
            let failed = |uid| self.pods.get(uid).is_some_and(|pod| pod.metadata.deletion_timestamp.is_none());
            if let Some((before, _)) = &held
                && slot.spec.component.kind == "Job"
                && failed(before)
            {
                // What is known of its ends stays: this pod is its next try.
                slot.failed += 1;
            } else if let Some((_, before)) = held {
                slot.replaced.push(before);
                // Another pod's containers have ended otherwise than this one's.
                slot.report = PodReport::default();
            }
        }
    }
}

fn by_uid<K: Resource>(objects: Vec<Arc<K>>) -> BTreeMap<String, Arc<K>> {
    objects.into_iter().map(|object| (object.meta().uid.clone().unwrap_or_default(), object)).collect()
}

impl Slot {
    fn is_held_by(&self, uid: &str) -> bool {
        self.holder.as_ref().is_some_and(|(holder, _)| holder == uid)
    }
}

fn is_staying(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && phase != Some("Failed")
}

/// Whether an event is about what makes the pods of a component: its object, or a ReplicaSet of its Deployment.
fn makes_pods_of(event: &ClusterEvent, component: &Component) -> bool {
    let object = &event.involved_object;
    let (kind, name) = (object.kind.as_deref().unwrap_or_default(), object.name.as_deref().unwrap_or_default());
    let is_of_deployment = || component.kind == "Deployment" && kind == "ReplicaSet";
    let owner = if is_of_deployment() { name.rsplit_once('-').map(|(owner, _)| owner) } else { Some(name) };
    (kind == component.kind || is_of_deployment()) && owner == Some(&component.name)
}

fn cluster_pod(pod: Option<&Pod>, replaced: &[String]) -> ClusterPod {
    let conditions = pod.and_then(|pod| pod.status.as_ref()?.conditions.as_ref()).into_iter().flatten();
    let unmet = conditions.filter(|condition| condition.status != "True").map(|condition| {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        Condition {
            kind: condition.type_.clone(),
            status: condition.status.clone(),
            reason: part(&condition.reason),
            message: part(&condition.message),
        }
    });
    ClusterPod {
        name: pod.and_then(|pod| pod.metadata.name.clone()).unwrap_or_default(),
        node: pod.and_then(|pod| pod.spec.as_ref()?.node_name.clone()),
        conditions: unmet.collect(),
        replaced: replaced.to_vec(),
    }
}

/// How far a pod has come, in the order in which that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Created,
    Scheduled,
    Running,
    Ready,
}

/// How far a pod is.
pub(super) fn stage(pod: Option<&Pod>, report: &PodReport) -> Option<Stage> {
    pod?;
    Some(match () {
        () if report.ready => Stage::Ready,
        () if report.containers.iter().all(|container| container.status.state.is_running()) => Stage::Running,
        () if is_met(pod, "PodScheduled") => Stage::Scheduled,
        () => Stage::Created,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provider::k8s::testing::component;

    fn specs(count: u32) -> Vec<PodSpec> {
        let component = component("app", count);
        (0..count).map(|index| PodSpec { name: format!("app-{index}"), component: component.clone() }).collect()
    }

    fn pod(name: &str, second: u32, leaving: bool) -> Arc<Pod> {
        let time = |second| format!("2026-01-01T00:00:{second:02}Z");
        let pod = json!({ "metadata": {
            "name": name, "uid": name, "labels": { COMPONENT: "app" }, "creationTimestamp": time(second),
            "deletionTimestamp": leaving.then(|| time(59)),
        }});
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn names(slots: &mut Slots) -> Vec<String> {
        slots
            .snapshot()
            .pods
            .into_values()
            .map(|pod| pod.object.map(|object| object.name).unwrap_or_default())
            .collect()
    }

    #[test]
    fn a_pod_keeps_its_slot_and_its_successor_takes_it() {
        let mut slots = Slots::new(&specs(2), Timestamp::UNIX_EPOCH);
        assert_eq!(names(&mut slots), ["", ""]);
        slots.set_pods([pod("b", 2, false), pod("a", 1, false)].into());
        assert_eq!(names(&mut slots), ["a", "b"]);
        // The first one is deleted; until it has a successor it stays.
        slots.set_pods([pod("b", 2, false), pod("a", 1, true)].into());
        assert_eq!(names(&mut slots), ["a", "b"]);
        slots.set_pods([pod("b", 2, false), pod("a", 1, true), pod("c", 3, false)].into());
        assert_eq!(names(&mut slots), ["c", "b"]);
        let replaced = slots.snapshot().pods["app-0"].object.clone().unwrap().replaced;
        assert_eq!(replaced, ["a"]);
        // A pod that is gone leaves its slot empty.
        slots.set_pods([pod("b", 2, false)].into());
        assert_eq!(names(&mut slots), ["", "b"]);
        slots.set_pods([pod("b", 2, false), pod("d", 4, false)].into());
        assert_eq!(slots.snapshot().pods["app-0"].object.clone().unwrap().replaced, ["a", "c"]);
    }

    #[test]
    fn a_pod_of_a_stateful_set_has_the_slot_of_its_name() {
        let mut specs = specs(2);
        for spec in &mut specs {
            "StatefulSet".clone_into(&mut spec.component.kind);
        }
        let mut slots = Slots::new(&specs, Timestamp::UNIX_EPOCH);
        slots.set_pods([pod("app-1", 1, false)].into());
        assert_eq!(names(&mut slots), ["", "app-1"]);
        slots.set_pods([pod("app-0", 2, false), pod("app-1", 1, false)].into());
        assert_eq!(names(&mut slots), ["app-0", "app-1"]);
    }

    #[test]
    fn a_failed_pod_of_a_job_is_tried_again_and_not_replaced() {
        let mut specs = specs(1);
        "Job".clone_into(&mut specs[0].component.kind);
        let container = specs[0].component.pod.containers[0].name.clone();
        let ended = |name: &str, second: u32, phase: &str, code: i32| {
            let at = |second| format!("2026-01-01T00:00:{second:02}Z");
            let end = json!({ "exitCode": code, "startedAt": at(second), "finishedAt": at(second + 1) });
            let status = json!([{
                "name": container, "ready": false, "restartCount": 0, "image": "", "imageID": "",
                "state": { "terminated": end },
            }]);
            let mut pod = Arc::unwrap_or_clone(pod(name, second, false));
            pod.status = serde_json::from_value(json!({ "phase": phase, "containerStatuses": status })).unwrap();
            Arc::new(pod)
        };
        let mut slots = Slots::new(&specs, Timestamp::UNIX_EPOCH);
        slots.set_pods(vec![pod("a", 1, false)]);
        assert_eq!(names(&mut slots), ["a"]);
        slots.set_pods(vec![ended("a", 1, "Failed", 3)]);
        assert_eq!(slots.snapshot().pods["app-0"].restarts, 0);
        slots.set_pods(vec![ended("a", 1, "Failed", 3), ended("b", 4, "Succeeded", 0)]);
        let snapshot = slots.snapshot();
        let report = &snapshot.pods["app-0"];
        assert_eq!((report.replacements(), report.restarts), (0, 1));
        let codes: Vec<i32> = report.containers[0].terminations.iter().map(|end| end.exit_code).collect();
        assert_eq!(codes, [3, 0]);
        assert_eq!(slots.snapshot().pods["app-0"].restarts, 1, "once");
    }

    #[test]
    fn what_cannot_be_made_is_told_by_what_makes_it() {
        let mut slots = Slots::new(&specs(1), Timestamp::UNIX_EPOCH);
        let event = |kind: &str, name: &str| -> Vec<Arc<ClusterEvent>> {
            let event = json!({
                "metadata": { "name": "x" }, "involvedObject": { "kind": kind, "name": name },
                "reason": "FailedCreate", "message": "exceeded quota", "type": "Warning",
            });
            vec![Arc::new(serde_json::from_value(event).unwrap())]
        };
        slots.set_events(event("ReplicaSet", "other-5d9"));
        assert!(slots.snapshot().pods["app-0"].events.is_empty());
        slots.set_events(event("ReplicaSet", "app-5d9"));
        assert_eq!(slots.snapshot().pods["app-0"].events[0].message, "exceeded quota");
        for kind in ["DaemonSet", "Deployment", "Job", "ReplicaSet", "StatefulSet"] {
            let mut specs = specs(1);
            kind.clone_into(&mut specs[0].component.kind);
            let mut slots = Slots::new(&specs, Timestamp::UNIX_EPOCH);
            slots.set_events(event(kind, "app"));
            assert_eq!(slots.snapshot().pods["app-0"].events.len(), 1, "{kind}");
        }
    }
}
