//! A component, an object and a cluster for tests.

use std::sync::{Arc, Mutex};

use e2e_plan::{Component, Object, Source};
use kube::{
    Client,
    client::Body,
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use super::{cluster::Cluster, resolve::Resolved};
use crate::provider::testing::{deployment, plan};

/// A Deployment `app` that is written like this.
pub(super) fn object(json: Value) -> Object {
    let source = Source { file: "app.yaml".into(), document: 1 };
    let (kind, name) = ("Deployment".to_owned(), "app".to_owned());
    Object { kind, name, source, component: None, cluster_scoped: false, json }
}

/// A ClusterRole `a`.
pub(super) fn cluster_role() -> Resolved {
    let kind = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", "ClusterRole");
    Resolved {
        resource: ApiResource::from_gvk(&kind),
        object: json!({ "metadata": { "name": "a" } }),
        name: "a".to_owned(),
        component: None,
        is_wide: true,
    }
}

/// What is asked of a cluster, as `METHOD /path`.
pub(super) type Asked = Arc<Mutex<Vec<String>>>;

/// A cluster that answers as the function says, with a status and a body; `None` does not answer.
pub(super) fn cluster(answer: impl Fn(&str) -> Option<(u16, Value)> + Clone + Send + 'static) -> (Cluster, Asked) {
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let line = format!("{} {}", request.method(), request.uri().path());
        noted.lock().expect("no test fails in here").push(line.clone());
        let answered = answer(&line);
        async move {
            let (status, body) = answered.ok_or_else(|| std::io::Error::other("no answer"))?;
            let response = http::Response::builder().status(status).body(Body::from(body.to_string().into_bytes()));
            response.map_err(std::io::Error::other)
        }
    });
    (Cluster::of_test(Client::new(service, "default")), asked)
}

/// A Deployment with so many replicas of one container with its own name, which has a liveness probe.
pub(super) fn component(name: &str, replicas: u32) -> Component {
    let probed = "image: x, ports: [{ containerPort: 80 }], livenessProbe: { tcpSocket: { port: 80 } }";
    let spec = format!("{{ containers: [{{ name: {name}, {probed} }}] }}");
    Component { replicas, ..plan(&deployment(name, &spec)).components.remove(0) }
}
