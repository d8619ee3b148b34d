//! Which Services clients from outside use, as far as the manifests tell. Main function: [`Plan::entrances`].

use regex::Regex;
use serde_json::Value;

use super::{Component, Object, Plan, Service, kinds};

impl Plan {
    /// The Services that clients may use, one where the manifests say which: that of an Ingress for `/`, of type LoadBalancer, of type
    /// NodePort, or one whose components no other component refers to. The first of these that there is counts, and of several the one
    /// that no other component refers to. Where others refer to each of them, those behind no Service count as clients.
    #[must_use]
    pub fn entrances(&self) -> Vec<&Service> {
        let of_type = |wanted: &'static str| move |service: &Service| self.service_type(service) == Some(wanted);
        let rules: [&dyn Fn(&Service) -> bool; 6] = [
            &|service| self.is_behind_an_ingress(service),
            &of_type("LoadBalancer"),
            &of_type("NodePort"),
            // A headless one is for pods among themselves.
            &|service| self.is_outermost(service) && !service.headless,
            &|service| self.is_outermost(service),
            &|service| self.is_called_by_clients_alone(service),
        ];
        let found = rules.iter().map(|rule| self.services.iter().filter(|service| rule(service)).collect::<Vec<_>>());
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

    /// Whether an Ingress leads to it for the root of a host, or for everything.
    fn is_behind_an_ingress(&self, service: &Service) -> bool {
        let is_ingress = |object: &&Object| object.kind == "Ingress" && kinds::is_own_group(object.group());
        let leads_here = |backend: &Value| {
            // `v1beta1` has the name without a map around it.
            let name = backend.pointer("/service/name").or(backend.get("serviceName"));
            name.and_then(Value::as_str) == Some(service.host())
        };
        // Controllers such as ingress-nginx read it as a pattern: `/?(.*)`.
        let is_root = |path: &Value| {
            let pattern = Regex::new(&format!("^(?:{})", path["path"].as_str().unwrap_or_default()));
            pattern.is_ok_and(|pattern| pattern.is_match("/"))
        };
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        self.objects.iter().filter(is_ingress).map(|ingress| &ingress.json["spec"]).any(|spec| {
            let rules = list(&spec["rules"]);
            let mut paths = rules.iter().flat_map(|rule| list(&rule["http"]["paths"]));
            leads_here(&spec["defaultBackend"])
                || leads_here(&spec["backend"])
                || paths.any(|path| is_root(&path) && leads_here(&path["backend"]))
        })
    }
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
}
