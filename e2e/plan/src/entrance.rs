//! Which Services clients from outside use, as far as the manifests tell. Main function: [`Plan::entrances`].

use std::path::Path;

use regex::Regex;
use serde_json::Value;

use super::{Component, ImageName, Object, Plan, Service, json::list, kinds};

/// Images of databases and queues by the end of their path, which clients from outside reach through an application.
const STORES: [&str; 41] = [
    "activemq",
    "activemq-artemis",
    "activemq-classic",
    "artemis",
    "azure-sql-edge",
    "cassandra",
    "clickhouse",
    "clickhouse-server",
    "cockroach",
    "consul",
    "couchdb",
    "cp-enterprise-kafka",
    "cp-kafka",
    "cp-zookeeper",
    "dragonfly",
    "elasticsearch",
    "etcd",
    "influxdb",
    "kafka",
    "keydb",
    "mariadb",
    "memcached",
    "minio",
    "mongo",
    "mongodb",
    "mssql/server",
    "mysql",
    "nats",
    "nats-streaming",
    "neo4j",
    "opensearch",
    "pgvector",
    "postgis",
    "postgres",
    "postgresql",
    "rabbitmq",
    "redis",
    "scylla",
    "timescaledb",
    "valkey",
    "zookeeper",
];

impl Plan {
    /// The Services that clients may use, one where the manifests say which: that of an Ingress or another route for `/`, of type
    /// LoadBalancer, of type NodePort, or one whose components no other component refers to. The first of these that there is counts,
    /// and of several the one that no other component refers to. Where others refer to each of them, those behind no Service count as
    /// clients. Databases and queues count where a route leads to them, or no other component is there.
    #[must_use]
    pub fn entrances(&self) -> Vec<&Service> {
        let of_type = |wanted: &'static str| move |service: &Service| self.service_type(service) == Some(wanted);
        let rules: [&dyn Fn(&Service) -> bool; 6] = [
            &|service| self.is_behind_a_route(service),
            &of_type("LoadBalancer"),
            &of_type("NodePort"),
            // A headless one is for pods among themselves.
            &|service| self.is_outermost(service) && !service.headless,
            &|service| self.is_outermost(service),
            &|service| self.is_called_by_clients_alone(service),
        ];
        let is_for_clients = |service: &&Service| self.is_behind_a_route(service) || !self.is_store(service);
        let mut services: Vec<&Service> = self.services.iter().filter(is_for_clients).collect();
        if services.is_empty() && self.components.iter().all(is_store) {
            services = self.services.iter().collect();
        }
        let found =
            rules.iter().map(|rule| services.iter().copied().filter(|service| rule(service)).collect::<Vec<_>>());
        let mut found: Vec<&Service> = found.into_iter().find(|found| !found.is_empty()).unwrap_or_default();
        let outermost = |services: &[&Service]| services.iter().filter(|service| self.is_outermost(service)).count();
        if outermost(&found) == 1 {
            found.retain(|service| self.is_outermost(service));
        }
        found
    }

    /// Whether no other component refers to its components.
    fn is_outermost(&self, service: &Service) -> bool {
        self.callers(service).next().is_none()
    }

    /// Whether those that refer to its components are behind no Service, as a load generator, and its components refer to others.
    fn is_called_by_clients_alone(&self, service: &Service) -> bool {
        let is_behind_one =
            |caller: &Component| self.services.iter().any(|service| service.components.contains(&caller.name));
        let refers = |name: &String| self.component(name).is_some_and(|component| !component.depends_on.is_empty());
        service.components.iter().any(refers) && !self.callers(service).any(is_behind_one)
    }

    fn callers(&self, service: &Service) -> impl Iterator<Item = &Component> {
        self.components.iter().filter(|other| other.depends_on.iter().any(|name| service.components.contains(name)))
    }

    fn service_type(&self, service: &Service) -> Option<&str> {
        let is_own = |object: &&Object| object.kind == "Service" && object.source == service.source;
        self.objects.iter().find(is_own)?.json.pointer("/spec/type")?.as_str()
    }

    /// Whether a route from outside leads to it for the root of a host, or for everything.
    fn is_behind_a_route(&self, service: &Service) -> bool {
        let names = service.names(&service.namespace, true);
        self.objects.iter().flat_map(roots).any(|name| names.iter().any(|own| own == name))
    }

    /// Whether all its components are databases or queues.
    fn is_store(&self, service: &Service) -> bool {
        let mut components = self.components.iter().filter(|component| service.components.contains(&component.name));
        components.all(is_store)
    }
}

/// Whether a component is a database or a queue.
pub(crate) fn is_store(component: &Component) -> bool {
    // The others are sidecars.
    component.pod.containers.first().is_some_and(|container| {
        let path = Path::new(ImageName::new(&container.image).name);
        STORES.iter().any(|store| path.ends_with(store))
    })
}

/// The names of Services to which a route leads for the root of a host, or for everything.
fn roots(object: &Object) -> Vec<&str> {
    let spec = &object.json["spec"];
    match (object.kind.as_str(), object.group()) {
        ("Ingress", group) if kinds::is_own_group(group) => of_ingress(spec),
        ("HTTPRoute", "gateway.networking.k8s.io") => {
            // Without a path it is `/` and all below.
            let is_root = |path: &Value| match path["type"].as_str() {
                Some("RegularExpression") => takes_root(&path["value"]),
                _ => is_root_or_none(&path["value"]),
            };
            let rules = list(&spec["rules"]).filter(|rule| is_any(&rule["matches"], |one| is_root(&one["path"])));
            rules.flat_map(|rule| list(&rule["backendRefs"])).filter_map(|backend| backend["name"].as_str()).collect()
        }
        // Without a gateway it is for pods among themselves.
        ("VirtualService", "networking.istio.io") if list(&spec["gateways"]).any(|gateway| gateway != "mesh") => {
            let is_root =
                |uri: &Value| uri.is_null() || uri["prefix"] == "/" || uri["exact"] == "/" || takes_root(&uri["regex"]);
            let rules = list(&spec["http"]).filter(|rule| is_any(&rule["match"], |one| is_root(&one["uri"])));
            let routes = rules.flat_map(|rule| list(&rule["route"]));
            routes.filter_map(|route| route["destination"]["host"].as_str()).collect()
        }
        ("IngressRoute", "traefik.io" | "traefik.containo.us") => {
            let is_root = |route: &&Value| {
                let rule = route["match"].as_str().unwrap_or_default();
                !rule.contains("Path") || ["PathPrefix(`/`)", "Path(`/`)"].iter().any(|path| rule.contains(path))
            };
            let services = list(&spec["routes"]).filter(is_root).flat_map(|route| list(&route["services"]));
            services.filter_map(|service| service["name"].as_str()).collect()
        }
        ("Route", "route.openshift.io") if is_root_or_none(&spec["path"]) => {
            spec["to"]["name"].as_str().into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn of_ingress(spec: &Value) -> Vec<&str> {
    // Controllers such as ingress-nginx read it as a pattern: `/?(.*)`.
    let is_root = |path: &&Value| {
        let pattern = Regex::new(&format!("^(?:{})", path["path"].as_str().unwrap_or_default()));
        pattern.is_ok_and(|pattern| pattern.is_match("/"))
    };
    let paths = list(&spec["rules"]).flat_map(|rule| list(&rule["http"]["paths"])).filter(is_root);
    let backends = [&spec["defaultBackend"], &spec["backend"]].into_iter().chain(paths.map(|path| &path["backend"]));
    // `v1beta1` has the name without a map around it.
    let names = backends.filter_map(|backend| backend.pointer("/service/name").or(backend.get("serviceName")));
    names.filter_map(Value::as_str).collect()
}

/// Whether one of several alternatives holds, as it does where there is none.
fn is_any(alternatives: &Value, holds: impl Fn(&Value) -> bool) -> bool {
    list(alternatives).next().is_none() || list(alternatives).any(holds)
}

/// Whether a pattern matches the whole of `/`.
fn takes_root(pattern: &Value) -> bool {
    let pattern = pattern.as_str().and_then(|pattern| Regex::new(&format!("^(?:{pattern})$")).ok());
    pattern.is_some_and(|pattern| pattern.is_match("/"))
}

fn is_root_or_none(path: &Value) -> bool {
    path.as_str().is_none_or(|path| matches!(path, "" | "/"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use crate::{Manifest, Objects, Plan};

    /// Components `web`, `api` and `db` with a Service each, of which `web` refers to `api` and `api` to `db`.
    fn plan(more: &str, types: [&str; 3]) -> Plan {
        let mut text = more.to_owned();
        for ((name, refers_to), kind) in [("web", "api:80"), ("api", "db:80"), ("db", "")].into_iter().zip(types) {
            text += &format!(
                "---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{type: {kind}, selector: {{app: {name}}}, ports: [{{port: 80}}]}}}}\n\
                 ---\n{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}}}, spec: {{selector: {{matchLabels: {{app: {name}}}}}, template: \
                 {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: c, image: x, env: [{{name: URL, value: '{refers_to}'}}]}}]}}}}}}}}\n"
            );
        }
        Plan::of(Objects::read(&[Manifest { file: "app.yaml".into(), text }])).unwrap()
    }

    fn ingress(paths: &str) -> String {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: i}}, spec: {{rules: [{{http: {{paths: [{paths}]}}}}]}}}}\n"
        )
    }

    fn path(path: &str, service: &str) -> String {
        format!("{{path: {path}, pathType: Prefix, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}, ")
    }

    fn route(api_version: &str, kind: &str, spec: &str) -> String {
        format!("{{apiVersion: {api_version}, kind: {kind}, metadata: {{name: r}}, spec: {{{spec}}}}}\n")
    }

    const CLOSED: [&str; 3] = ["ClusterIP"; 3];

    #[rstest]
    #[case::the_outermost("", CLOSED, &["web"])]
    #[case::an_ingress(&ingress(&(path("/", "api") + &path("/db", "db"))), CLOSED, &["api"])]
    #[case::before_a_load_balancer(&ingress(&path("/", "api")), ["LoadBalancer", "ClusterIP", "ClusterIP"], &["api"])]
    #[case::a_pattern(&ingress(&(path("'/?(.*)'", "api") + &path("'/db(/|$)(.*)'", "db"))), CLOSED, &["api"])]
    #[case::an_older_ingress(
        "{apiVersion: networking.k8s.io/v1beta1, kind: Ingress, metadata: {name: i}, spec: {rules: [{http: {paths: [{path: /, backend: \
         {serviceName: api, servicePort: 80}}]}}]}}\n",
        CLOSED,
        &["api"]
    )]
    #[case::a_gateway(
        &route("gateway.networking.k8s.io/v1", "HTTPRoute", "rules: [{matches: [{path: {value: /db}}], backendRefs: [{name: db}]}, \
         {backendRefs: [{name: api, port: 80}]}]"),
        CLOSED,
        &["api"]
    )]
    #[case::istio(
        &route("networking.istio.io/v1", "VirtualService", "hosts: ['*'], gateways: [g], http: [{match: [{uri: {prefix: /db}}], route: \
         [{destination: {host: db}}]}, {route: [{destination: {host: api.default.svc.cluster.local}}]}]"),
        CLOSED,
        &["api"]
    )]
    #[case::istio_exactly(
        &route("networking.istio.io/v1", "VirtualService", "hosts: ['*'], gateways: [g], http: [{match: [{uri: {exact: /}}, {uri: {prefix: /s}}], \
         route: [{destination: {host: api}}]}, {match: [{uri: {exact: /db}}], route: [{destination: {host: db}}]}]"),
        CLOSED,
        &["api"]
    )]
    #[case::istio_by_a_pattern(
        &route("networking.istio.io/v1", "VirtualService", "hosts: ['*'], gateways: [g], http: [{match: [{uri: {regex: '^/.*'}}], \
         route: [{destination: {host: api}}]}, {match: [{uri: {regex: /db/.*}}], route: [{destination: {host: db}}]}]"),
        CLOSED,
        &["api"]
    )]
    #[case::a_gateway_by_a_pattern(
        &route("gateway.networking.k8s.io/v1", "HTTPRoute", "rules: [{matches: [{path: {type: RegularExpression, value: /db.*}}], \
         backendRefs: [{name: db}]}, {matches: [{path: {type: RegularExpression, value: '.*'}}], backendRefs: [{name: api}]}]"),
        CLOSED,
        &["api"]
    )]
    #[case::istio_among_pods(
        &route("networking.istio.io/v1", "VirtualService", "hosts: [api], http: [{route: [{destination: {host: api}}]}]"),
        CLOSED,
        &["web"]
    )]
    #[case::traefik(
        &route("traefik.io/v1alpha1", "IngressRoute", "routes: [{match: 'Host(`a`) && PathPrefix(`/db`)', services: [{name: db}]}, \
         {match: 'Host(`a`)', services: [{name: api}]}]"),
        CLOSED,
        &["api"]
    )]
    #[case::traefik_exactly(
        &route("traefik.io/v1alpha1", "IngressRoute", "routes: [{match: 'Host(`a`) && Path(`/db`)', services: [{name: db}]}, \
         {match: 'Host(`a`) && Path(`/`)', services: [{name: api}]}]"),
        CLOSED,
        &["api"]
    )]
    #[case::openshift(&route("route.openshift.io/v1", "Route", "to: {kind: Service, name: api}"), CLOSED, &["api"])]
    #[case::openshift_below(&route("route.openshift.io/v1", "Route", "path: /api, to: {kind: Service, name: api}"), CLOSED, &["web"])]
    #[case::a_client_of_all(
        "---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: load}, spec: {selector: {matchLabels: {app: load}}, template: \
         {metadata: {labels: {app: load}}, spec: {containers: [{name: c, image: x, args: ['web:80', 'api:80', 'db:80']}]}}}}\n",
        CLOSED,
        &["web"]
    )]
    #[case::of_no_root(&ingress(&path("/api", "api")), CLOSED, &["web"])]
    #[case::a_load_balancer("", ["NodePort", "LoadBalancer", "ClusterIP"], &["api"])]
    #[case::a_node_port("", ["ClusterIP", "NodePort", "ClusterIP"], &["api"])]
    #[case::the_outermost_of_several("", ["NodePort", "NodePort", "ClusterIP"], &["web"])]
    #[case::one_with_an_address(
        "---\n{apiVersion: v1, kind: Service, metadata: {name: peers}, spec: {clusterIP: None, selector: {app: web}, ports: [{port: 81}]}}\n",
        CLOSED,
        &["web"]
    )]
    #[case::several("", ["ClusterIP", "NodePort", "NodePort"], &["api", "db"])]
    fn the_manifests_tell_which_service_is_for_clients(
        #[case] more: &str,
        #[case] types: [&str; 3],
        #[case] expected: &[&str],
    ) {
        let plan = plan(more, types);
        let found: Vec<&str> = plan.entrances().into_iter().map(|service| service.name.as_str()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn databases_are_for_applications() {
        let text = "{apiVersion: v1, kind: Service, metadata: {name: NAME}, spec: {selector: {app: NAME}, ports: [{port: 80}]}}\n---\n\
                    {apiVersion: v1, kind: Pod, metadata: {name: NAME, labels: {app: NAME}}, spec: {containers: [{name: c, image: 'IMAGE:1'}]}}\n---\n";
        let entrances = |images: &[(&str, &str)]| {
            let text = images.iter().map(|(name, image)| text.replace("NAME", name).replace("IMAGE", image)).collect();
            let plan = Plan::of(Objects::read(&[Manifest { file: "app.yaml".into(), text }])).unwrap();
            plan.entrances().into_iter().map(|service| service.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(entrances(&[("db", "bitnami/postgresql"), ("web", "web"), ("queue", "rabbitmq")]), ["web"]);
        assert_eq!(entrances(&[("db", "postgres")]), ["db"]);
        assert_eq!(entrances(&[("db", "mcr.microsoft.com/mssql/server"), ("web", "shop/server")]), ["web"]);
        assert_eq!(entrances(&[("db", "my-minio"), ("web", "valkey/valkey")]), ["db"]);
    }
}
