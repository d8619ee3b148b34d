//! The load's agents as a Job of the run's namespace: the cluster schedules and places them, and this machine reaches them through
//! the API server. Main function: [`conduct`].

use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

use e2e_load::{
    agent::{self, Order},
    load::{ClientReport, LoadResult, Snapshot},
};
use e2e_node::poll::{Look, until};
use e2e_report::run_dir::random_hex;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{Pod, Secret},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    ResourceExt,
    api::{ListParams, PostParams},
    core::NamespaceResourceScope,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    cluster::Cluster,
    error::Error,
    labels,
    room::Capacity,
    status::{condition, is_met, stuck},
};
use crate::image::AGENT_IMAGE;

/// Name of the Job and its Secret, and value of the label that its pods carry.
const NAME: &str = "e2e-load";
/// Label of the agents' pods.
const ROLE: &str = "e2e.role";
/// Where agents listen.
const PORT: u16 = 7070;
/// An agent's pod is up in two seconds; a node that has to be given its image takes longer.
const UP_LIMIT: Duration = Duration::from_secs(60);
/// nobody, as for the other programs without a user of their own.
const USER: i64 = 65534;

#[derive(Debug, Clone)]
pub(super) struct Agents {
    token: String,
    pub(super) pods: Vec<String>,
}

/// Something that is started once, and that everybody may wait for.
pub(super) type Starting<T> = Shared<BoxFuture<'static, T>>;

/// Starts something, or waits for it where it was started before. It goes on when nobody waits any more, as after a load that was
/// given up.
pub(super) async fn once<T: Clone + Send + 'static>(
    cell: &OnceLock<Starting<Result<T, Error>>>,
    start: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let starting = cell.get_or_init(|| {
        let task = tokio::spawn(start);
        let ended = async { task.await.unwrap_or_else(|error| Err(Error::Agents { reason: error.to_string() })) };
        ended.boxed().shared()
    });
    starting.clone().await
}

/// Starts so many agents and waits until each listens.
pub(super) async fn start(cluster: &Cluster, count: u32) -> Result<Agents, Error> {
    let token = random_hex();
    let secret = Secret {
        metadata: metadata(cluster),
        string_data: Some(BTreeMap::from([("token".to_owned(), token.clone())])),
        ..Secret::default()
    };
    create(cluster, &secret).await?;
    create(cluster, &job(cluster, count)).await?;
    let pods = cluster.own::<Pod>();
    let ours = ListParams::default().labels(&format!("{ROLE}={NAME}"));
    let listening = until("the load's agents are", UP_LIMIT, Duration::from_millis(200), || async {
        match pods.list(&ours).await {
            Err(error) => Look::NotYet(super::error::reason(&error)),
            Ok(list) => {
                let ready: Vec<String> =
                    list.items.iter().filter(|pod| is_met(Some(pod), "Ready")).map(ResourceExt::name_any).collect();
                match list.items.iter().find_map(without_image) {
                    Some(reason) => Look::Done(Err(Error::Agents { reason })),
                    None if ready.len() >= count as usize => Look::Done(Ok(ready)),
                    None => Look::NotYet(not_yet(ready.len(), count, &list.items)),
                }
            }
        }
    });
    let pods = listening.await.map_err(|timed_out| Error::Agents { reason: timed_out.to_string() })??;
    Ok(Agents { token, pods })
}

/// Lets the agents make a load, and returns what they measured as one result.
pub(super) async fn conduct(
    cluster: &Cluster,
    agents: &Agents,
    order: &Order,
    watch: impl FnMut(&Snapshot),
) -> Result<LoadResult<ClientReport>, Error> {
    let streams = agents.pods.iter().map(|pod| connect(cluster, pod));
    let streams = futures_util::future::try_join_all(streams).await?;
    let result = agent::conduct(streams, &agents.token, order, watch).await;
    result.map_err(|error| Error::Agents { reason: error.to_string() })
}

async fn connect(cluster: &Cluster, pod: &str) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>, Error> {
    let api = cluster.own::<Pod>();
    let forwarder = api.portforward(pod, &[PORT]).await;
    let mut forwarder = forwarder.map_err(|error| Error::failed("forward a port to", pod, &error))?;
    forwarder.take_stream(PORT).ok_or_else(|| Error::Agents { reason: format!("no stream to {pod}") })
}

/// Says that a node has no image for an agent: waiting does not bring it.
fn without_image(pod: &Pod) -> Option<String> {
    let why = stuck(pod)?;
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
    let image = pod.spec.as_ref().and_then(|spec| spec.containers.first()?.image.as_deref()).unwrap_or_default();
    Some(format!("the node {node} cannot have the image {image}: {why}"))
}

/// How many listen, and what the scheduler says of one that does not.
fn not_yet(listening: usize, count: u32, pods: &[Pod]) -> String {
    let scheduled = pods.iter().find_map(|pod| condition(Some(pod), "PodScheduled"));
    let unmet = scheduled.filter(|condition| condition.status != "True").and_then(|it| it.message.as_deref());
    let why = unmet.map_or(String::new(), |message| format!("; {message}"));
    format!("{listening} of {count} listen{why}")
}

fn metadata(cluster: &Cluster) -> ObjectMeta {
    ObjectMeta {
        name: Some(NAME.to_owned()),
        labels: Some(labels::labels(&cluster.run_id).into()),
        ..ObjectMeta::default()
    }
}

async fn create<K>(cluster: &Cluster, object: &K) -> Result<(), Error>
where
    K: kube::Resource<Scope = NamespaceResourceScope> + Clone + Serialize + DeserializeOwned + std::fmt::Debug,
    K::DynamicType: Default,
{
    let api = cluster.own::<K>();
    let created = api.create(&PostParams::default(), object).await;
    created.map(drop).map_err(|error| Error::failed("create", &object.name_any(), &error))
}

fn job(cluster: &Cluster, count: u32) -> Job {
    let Capacity { cpu_millis, memory_bytes } = Capacity::of_agent(count);
    let mut labels: BTreeMap<String, String> = labels::labels(&cluster.run_id).into();
    labels.insert(ROLE.to_owned(), NAME.to_owned());
    let container = json!({
        "name": "agent",
        "image": cluster.image(AGENT_IMAGE),
        "imagePullPolicy": "IfNotPresent",
        "env": [{ "name": agent::TOKEN, "valueFrom": { "secretKeyRef": { "name": NAME, "key": "token" } } }],
        "ports": [{ "containerPort": PORT }],
        "readinessProbe": { "tcpSocket": { "port": PORT }, "periodSeconds": 1 },
        "resources": { "requests": { "cpu": format!("{cpu_millis}m"), "memory": memory_bytes.to_string() } },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
    });
    let pod = json!({
        "containers": [container],
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
    });
    let spec = json!({
        "parallelism": count,
        "completions": count,
        // An agent that ends is a hole in the figures, which the result names; another one could not fill it.
        "backoffLimit": 0,
        "template": { "metadata": { "labels": labels }, "spec": pod },
    });
    serde_json::from_value(json!({ "metadata": metadata(cluster), "spec": spec })).expect("it is a Job")
}

#[cfg(test)]
mod tests {
    use super::{super::testing::cluster, *};

    #[tokio::test]
    async fn nothing_of_the_job_is_lost_on_a_cluster() {
        let job = serde_json::to_value(job(&cluster(|_| None).0, 2)).unwrap();
        assert_eq!((&job["spec"]["completions"], &job["spec"]["backoffLimit"]), (&json!(2), &json!(0)));
        let pod = &job["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        assert_eq!(container["env"][0]["valueFrom"]["secretKeyRef"], json!({ "name": NAME, "key": "token" }));
        assert_eq!(container["readinessProbe"], json!({ "tcpSocket": { "port": PORT }, "periodSeconds": 1 }));
        assert_eq!(container["securityContext"]["capabilities"], json!({ "drop": ["ALL"] }));
        assert_eq!(container["resources"]["requests"].as_object().map(|requests| requests.len()), Some(2));
        assert_eq!(pod["securityContext"]["seccompProfile"], json!({ "type": "RuntimeDefault" }));
    }

    #[test]
    fn an_image_that_a_node_cannot_have_is_named_at_once() {
        let pod = |reason: &str| -> Pod {
            let waiting = json!({ "reason": reason, "message": "no such host" });
            let status = json!({ "name": "agent", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": { "waiting": waiting } });
            serde_json::from_value(json!({
                "spec": { "nodeName": "worker", "containers": [{ "name": "agent", "image": "e2e-agent:1" }] },
                "status": { "containerStatuses": [status] },
            }))
            .unwrap()
        };
        let words = "the node worker cannot have the image e2e-agent:1: ImagePullBackOff (no such host)";
        assert_eq!(without_image(&pod("ImagePullBackOff")).as_deref(), Some(words));
        assert_eq!(without_image(&pod("ErrImagePull")), None, "the kubelet tries again");
        assert_eq!(without_image(&pod("ContainerCreating")), None);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_started_anew() {
        let (cell, (finish, finished)) = (OnceLock::new(), tokio::sync::oneshot::channel());
        let given_up = once(&cell, async { Ok(finished.await.expect("it is finished")) });
        assert_eq!(given_up.now_or_never().map(Result::ok), None);
        finish.send("started").expect("the start goes on");
        let again = once(&cell, async { unreachable!("it was started before") });
        assert_eq!(again.await.ok(), Some("started"));
    }

    #[test]
    fn an_agent_without_a_node_says_why() {
        let condition = json!({ "type": "PodScheduled", "status": "False", "message": "0/1 nodes are available" });
        let pod: Pod = serde_json::from_value(json!({ "status": { "conditions": [condition] } })).unwrap();
        assert_eq!(not_yet(0, 1, &[pod]), "0 of 1 listen; 0/1 nodes are available");
        assert_eq!(not_yet(1, 2, &[]), "1 of 2 listen");
    }
}
