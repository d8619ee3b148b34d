//! Runs the Job of a CronJob once, in a system that is up. Main type: [`Trigger`].

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use e2e::control::{TRIGGER_LIMIT, Triggered};
use e2e_kubelet::snapshot::{PodReport, PodSpec as NodePod, Snapshot};
use e2e_node::node::{Node, Options};
use e2e_plan::{Component, CronJob, Missing, Object, Plan, target::Target};

use crate::{
    provider::{
        Error, Provider,
        pods::{self, PodSpec},
    },
    secrets::Secrets,
    supply::Supply,
};

/// What runs on request.
pub(crate) struct Trigger {
    /// Each with its object, for a cluster.
    cron_jobs: Vec<(CronJob, Object)>,
    run_id: String,
    made: AtomicU32,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("there is no CronJob {name}; {known}")]
    Unknown { name: String, known: String },
    #[error("{}", .0.join("; "))]
    Missing(Vec<String>),
    #[error(transparent)]
    Failed(#[from] Error),
}

impl Trigger {
    pub(crate) fn new(plan: &Plan, target: Target, run_id: String) -> Self {
        let with_object = |cron_job: &CronJob| {
            let is_its = |object: &&Object| object.kind == cron_job.job.kind && object.source == cron_job.job.source;
            let object = plan.objects.iter().find(is_its)?.clone();
            let mut cron_job = cron_job.clone();
            cron_job.missing.retain(|missing| !plan.is_made_in(missing, target));
            Some((cron_job, object))
        };
        let cron_jobs = plan.cron_jobs.iter().filter_map(with_object).collect();
        Self { cron_jobs, run_id, made: AtomicU32::default() }
    }

    pub(crate) async fn run(
        &self,
        name: &str,
        provider: &Arc<Provider>,
        supply: &Supply,
        secrets: &Secrets,
    ) -> Result<Triggered, Refusal> {
        let (CronJob { job, missing }, object) = self.find(name)?;
        if !missing.is_empty() {
            return Err(Refusal::Missing(missing.iter().map(Missing::to_string).collect()));
        }
        // As `kubectl create job --from` is used most.
        let made = format!("{name}-manual-{}", self.made.fetch_add(1, Ordering::Relaxed) + 1);
        let mut triggered = match &**provider {
            Provider::K8s(pods) => pods.trigger(object, &made).await.map_err(Error::from)?,
            Provider::Docker(_) | Provider::Local(_) => {
                let job = Component { name: made.clone(), ..job.clone() };
                let specs: Vec<PodSpec> = pods::make(&job, &self.run_id).collect();
                supply.provide(provider, specs.clone()).await?;
                here(provider, &made, &specs).await
            }
        };
        for text in triggered.logs.values_mut() {
            *text = secrets.redact(text);
        }
        Ok(triggered)
    }

    fn find(&self, name: &str) -> Result<&(CronJob, Object), Refusal> {
        self.cron_jobs.iter().find(|(cron_job, _)| cron_job.job.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.cron_jobs.iter().map(|(cron_job, _)| cron_job.job.name.as_str()).collect();
            let known = match known.is_empty() {
                true => "the manifests have none".to_owned(),
                false => format!("there are {}", known.join(", ")),
            };
            Refusal::Unknown { name: name.to_owned(), known }
        })
    }
}

/// Runs a Job's pods on this machine.
async fn here(provider: &Arc<Provider>, job: &str, specs: &[PodSpec]) -> Triggered {
    let pods = specs.iter().map(|spec| NodePod::of_plan(&spec.name, &spec.component.pod)).collect();
    let node = Node::run(Arc::clone(provider), pods, Options::default());
    let (ended, is_late) = end_within(node, TRIGGER_LIMIT).await;
    let state = |pod: &PodReport| match is_late && !pod.is_completed() {
        true => format!("{}, stopped after {} s", pod.status, TRIGGER_LIMIT.as_secs()),
        false => pod.status.clone(),
    };
    let logs = provider.logs_of(&|pod| specs.iter().any(|spec| spec.name == pod)).await.into_iter();
    Triggered {
        job: job.to_owned(),
        succeeded: ended.pods.values().all(PodReport::is_completed),
        states: ended.pods.iter().map(|(name, pod)| (name.clone(), state(pod))).collect(),
        logs: logs.map(|((pod, container), text)| (format!("{pod}/{container}"), text)).collect::<BTreeMap<_, _>>(),
    }
}

/// Waits until the pods have ended. Those that have not in time are stopped; the state is that before, then, and the other value true.
async fn end_within(node: Node, limit: Duration) -> (Snapshot, bool) {
    let mut changes = node.watch();
    // Who tells of changes is gone once every pod has ended.
    let ended = async { while changes.changed().await.is_ok() {} };
    if tokio::time::timeout(limit, ended).await.is_ok() {
        return (node.ended().await, false);
    }
    let before = node.snapshot();
    node.terminate().await;
    (before, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::testing::{Containers, plan};

    #[tokio::test(start_paused = true)]
    async fn a_job_that_never_ends_is_stopped() {
        let plan = plan(
            "apiVersion: batch/v1\nkind: Job\nmetadata: { name: tidy }\nspec:\n  template:\n    \
             spec: { restartPolicy: Never, containers: [{ name: tidy, image: x }] }\n",
        );
        for is_endless in [false, true] {
            let life = if is_endless { Duration::MAX } else { Duration::from_secs(1) };
            let runtime = Arc::new(Containers::living(life));
            let pods = pods::of(&plan, "1").into_iter();
            let pods = pods.map(|spec| NodePod::of_plan(&spec.name, &spec.component.pod)).collect();
            let node = Node::run(Arc::clone(&runtime), pods, Options::default());
            let (ended, is_late) = end_within(node, Duration::from_secs(60)).await;
            assert_eq!(is_late, is_endless);
            assert_eq!(*runtime.killed.borrow(), is_endless);
            assert!(ended.pods.len() == 1 && ended.pods.values().all(|pod| pod.is_completed() != is_endless));
        }
    }
}
