//! Makes a Job from a CronJob, as `kubectl create job --from` does, and waits for its end.

use std::{collections::BTreeMap, time::Duration};

use e2e::control::{TRIGGER_LIMIT, Triggered};
use e2e_node::poll::{Look, until};
use e2e_plan::Object;
use k8s_openapi::api::{batch::v1::Job, core::v1::PodSpec};
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use super::{K8sPods, error::Error, resolve::labelled, status::stuck};

/// Between two looks at a Job.
const PERIOD: Duration = Duration::from_millis(500);

impl K8sPods {
    /// Runs the Job of a CronJob once, under this name.
    ///
    /// # Errors
    ///
    /// The cluster does not take the Job, or it does not end.
    pub(crate) async fn trigger(&self, cron_job: &Object, name: &str) -> Result<Triggered, Error> {
        let jobs = self.cluster.own::<Job>();
        let failed = |action| move |error: kube::Error| Error::failed(action, &format!("Job/{name}"), &error);
        let unreadable = |error| Error::of("read", &format!("CronJob/{}", cron_job.name), error);
        let object =
            Object { kind: "Job".to_owned(), name: name.to_owned(), json: job(cron_job, name), ..cron_job.clone() };
        let job: Job = serde_json::from_value(labelled(&object, &self.cluster)).map_err(unreadable)?;
        jobs.create(&PostParams::default(), &job).await.map_err(failed("create"))?;
        let pods = self.pods();
        let own = ListParams::default().labels(&format!("job-name={name}"));
        let ended = until("the Job", TRIGGER_LIMIT, PERIOD, || async {
            match tokio::try_join!(jobs.get(name), pods.list(&own)) {
                Ok((job, pods)) => match outcome(&job) {
                    Some(succeeded) => Look::Done(Ok((succeeded, pods.items))),
                    None if pods.items.iter().any(|pod| stuck(pod).is_some()) => Look::Done(Ok((false, pods.items))),
                    None => Look::NotYet("it has not ended".to_owned()),
                },
                Err(kube::Error::Api(status)) => Look::Done(Err(kube::Error::Api(status))),
                Err(error) => Look::NotYet(error.to_string()),
            }
        });
        let ended = ended.await.map_err(|error| Error::of("wait for", &format!("Job/{name}"), error))?;
        let (succeeded, pods) = ended.map_err(failed("look at"))?;
        let (mut states, mut logs) = (BTreeMap::new(), BTreeMap::new());
        for pod in pods {
            let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
            let state = stuck(&pod).or(phase);
            let pod_name = pod.metadata.name.unwrap_or_default();
            for container in pod.spec.map(containers).unwrap_or_default() {
                let text = self.log(&pod_name, &container, false).await;
                logs.extend(text.map(|text| (format!("{pod_name}/{container}"), text)));
            }
            states.insert(pod_name, state.unwrap_or_default());
        }
        Ok(Triggered { job: name.to_owned(), succeeded, states, logs })
    }
}

fn containers(pod: PodSpec) -> Vec<String> {
    pod.init_containers.into_iter().flatten().chain(pod.containers).map(|container| container.name).collect()
}

fn job(cron_job: &Object, name: &str) -> Value {
    let template = &cron_job.json["spec"]["jobTemplate"];
    let mut metadata = json!({ "name": name });
    for field in ["labels", "annotations"] {
        metadata[field] = match &template["metadata"][field] {
            Value::Null => json!({}),
            given => given.clone(),
        };
    }
    metadata["annotations"]["cronjob.kubernetes.io/instantiate"] = "manual".into();
    json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"] })
}

/// Whether a Job succeeded; none before its end.
fn outcome(job: &Job) -> Option<bool> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let is = |kind: &str| conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True");
    is("Complete").then_some(true).or(is("Failed").then_some(false))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::batch::v1::{JobCondition, JobStatus};

    use super::*;

    #[test]
    fn a_job_has_ended_once_a_condition_says_so() {
        let job = |kind: &str, status: &str| Job {
            status: Some(JobStatus {
                conditions: Some(vec![JobCondition {
                    type_: kind.to_owned(),
                    status: status.to_owned(),
                    ..JobCondition::default()
                }]),
                ..JobStatus::default()
            }),
            ..Job::default()
        };
        assert_eq!(outcome(&Job::default()), None);
        assert_eq!(outcome(&job("Suspended", "True")), None);
        assert_eq!(outcome(&job("Failed", "False")), None);
        assert_eq!(outcome(&job("Complete", "True")), Some(true));
        assert_eq!(outcome(&job("Failed", "True")), Some(false));
    }
}
