//! Runs the Job of a CronJob once, in a system that is up. Main type: [`Trigger`].

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use e2e::control::Triggered;
use e2e_kubelet::snapshot::{PodReport, PodSpec as NodePod};
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
    cron_jobs: Vec<CronJob>,
    /// The objects of the CronJobs, for a cluster.
    objects: Vec<Object>,
    run_id: String,
    /// How many Jobs were made.
    made: AtomicU32,
}

/// Why a Job was not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The manifests have no such CronJob.
    #[error("there is no CronJob {name}; {known}")]
    Unknown { name: String, known: String },
    /// Its pods need what is not there.
    #[error("{}", .0.join("; "))]
    Missing(Vec<String>),
    /// Its pods could not be made.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl Trigger {
    pub(crate) fn new(plan: &Plan, target: Target, run_id: String) -> Self {
        let is_cron_job = |object: &&Object| {
            plan.cron_jobs.iter().any(|CronJob { job, .. }| job.kind == object.kind && job.source == object.source)
        };
        let objects = plan.objects.iter().filter(is_cron_job).cloned().collect();
        let mut cron_jobs = plan.cron_jobs.clone();
        for cron_job in &mut cron_jobs {
            cron_job.missing.retain(|missing| !plan.is_made_in(missing, target));
        }
        Self { cron_jobs, objects, run_id, made: AtomicU32::default() }
    }

    /// Runs a Job to its end.
    pub(crate) async fn run(
        &self,
        name: &str,
        provider: &Arc<Provider>,
        supply: &Supply,
        secrets: &Secrets,
    ) -> Result<Triggered, Refusal> {
        let CronJob { job, missing } = self.find(name)?;
        if !missing.is_empty() {
            return Err(Refusal::Missing(missing.iter().map(Missing::to_string).collect()));
        }
        // As `kubectl create job --from` is used most.
        let made = format!("{name}-manual-{}", self.made.fetch_add(1, Ordering::Relaxed) + 1);
        let mut triggered = match &**provider {
            Provider::K8s(pods) => {
                let object = self.objects.iter().find(|object| object.source == job.source);
                let missing = || Error::NoSuchPod { pod: name.to_owned() };
                pods.trigger(object.ok_or_else(missing)?, &made).await.map_err(Error::from)?
            }
            Provider::Docker(_) | Provider::Local(_) => {
                let job = Component { name: made.clone(), ..job.clone() };
                let specs: Vec<PodSpec> = pods::of_component(&job, &self.run_id).collect();
                supply.provide(provider, specs.clone()).await?;
                here(provider, &made, &specs).await
            }
        };
        for text in triggered.logs.values_mut() {
            *text = secrets.redact(text);
        }
        Ok(triggered)
    }

    fn find(&self, name: &str) -> Result<&CronJob, Refusal> {
        self.cron_jobs.iter().find(|cron_job| cron_job.job.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.cron_jobs.iter().map(|cron_job| cron_job.job.name.as_str()).collect();
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
    let pods = specs.iter().map(|spec| NodePod::of_plan(&spec.name, &spec.component.pod, Vec::new())).collect();
    let ended = Node::run(Arc::clone(provider), pods, Options::default()).ended().await;
    let logs = provider.logs_of(&|pod| specs.iter().any(|spec| spec.name == pod)).await.into_iter();
    Triggered {
        job: job.to_owned(),
        succeeded: ended.pods.values().all(PodReport::is_completed),
        states: ended.pods.iter().map(|(name, pod)| (name.clone(), pod.status.clone())).collect(),
        logs: logs.map(|((pod, container), text)| (format!("{pod}/{container}"), text)).collect::<BTreeMap<_, _>>(),
    }
}
