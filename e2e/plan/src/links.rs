//! What pods call a Service: its names in DNS, and the variables that a kubelet sets for it.

use super::{Service, ServicePort};

impl Service {
    /// What pods of its own namespace call it.
    #[must_use]
    pub fn host(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }

    /// Whether it gives each pod of a component a name of its own, such as `db-0.db`: the headless Service that a StatefulSet names.
    #[must_use]
    pub fn names_pods_of(&self, component: &super::Component) -> bool {
        self.headless
            && component.governed_by.as_deref() == Some(self.host())
            && self.components.contains(&component.name)
    }

    /// Whether its short name means it to a pod of a namespace: that of the namespace does, or else the first one of that name.
    #[must_use]
    pub fn is_meant_in<'a>(&self, namespace: &str, all: impl IntoIterator<Item = &'a Self> + Clone) -> bool {
        let named = || all.clone().into_iter().filter(|other| other.host() == self.host());
        let meant = named().find(|other| other.namespace == namespace).or_else(|| named().next());
        meant.is_none_or(|meant| meant.name == self.name)
    }

    /// The names that lead to it, from short to long, in its own namespace and, where its short name means it, in `namespace`, that of
    /// the run. See "DNS for Services and Pods" in Kubernetes's documentation.
    #[must_use]
    pub fn names(&self, namespace: &str, is_meant: bool) -> Vec<String> {
        let (host, own) = (self.host(), self.namespace.as_str());
        let namespaces = [own, namespace].into_iter().take(if own == namespace || !is_meant { 1 } else { 2 });
        let long = |namespace| ["", ".svc", ".svc.cluster.local"].map(|rest| format!("{host}.{namespace}{rest}"));
        let short = is_meant.then(|| host.to_owned());
        short.into_iter().chain(namespaces.flat_map(long)).collect()
    }

    /// The variables with which pods find it, such as `BACKEND_SERVICE_HOST`, where `host` is its address and `port` tells under which
    /// number a port of it is reached there. None for a headless one, which has no address. The order and the forms are those of
    /// `FromServices` in Kubernetes's `pkg/kubelet/envvars`.
    #[must_use]
    pub fn links(&self, host: &str, port: impl Fn(&ServicePort) -> Option<u16>) -> Vec<(String, String)> {
        let upper = |text: &str| text.to_ascii_uppercase().replace('-', "_");
        let reached: Vec<(&ServicePort, u16)> =
            self.ports.iter().filter_map(|declared| Some((declared, port(declared)?))).collect();
        let Some((first, first_number)) = reached.first().filter(|_| !self.headless) else { return Vec::new() };
        let name = upper(self.host());
        let url =
            |declared: &ServicePort, number| format!("{}://{host}:{number}", declared.protocol.to_ascii_lowercase());
        let mut links = vec![
            (format!("{name}_SERVICE_HOST"), host.to_owned()),
            (format!("{name}_SERVICE_PORT"), first_number.to_string()),
        ];
        for (declared, number) in &reached {
            let port_name = declared.name.iter().map(|port| format!("{name}_SERVICE_PORT_{}", upper(port)));
            links.extend(port_name.map(|variable| (variable, number.to_string())));
        }
        links.push((format!("{name}_PORT"), url(first, first_number)));
        for (declared, number) in &reached {
            let prefix = format!("{name}_PORT_{}_{}", declared.port, declared.protocol);
            links.extend([
                (prefix.clone(), url(declared, number)),
                (format!("{prefix}_PROTO"), declared.protocol.to_ascii_lowercase()),
                (format!("{prefix}_PORT"), number.to_string()),
                (format!("{prefix}_ADDR"), host.to_owned()),
            ]);
        }
        links
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;

    fn service(name: &str, namespace: &str, ports: Vec<ServicePort>) -> Service {
        let source = Source { file: "a.yaml".into(), document: 1 };
        let (name, namespace) = (name.to_owned(), namespace.to_owned());
        let components = vec!["a".to_owned()];
        Service { name, namespace, components, ports, headless: false, publish_not_ready: false, source }
    }

    /// The Service of Kubernetes's own test (`envvars_test.go`) that has two ports, and its values there.
    #[test]
    fn variables_are_those_of_a_kubelet() {
        let port = |name: &str, port, protocol: &str| ServicePort {
            name: Some(name.to_owned()),
            port,
            target_port: port,
            protocol: protocol.to_owned(),
        };
        let mut service =
            service("super-duper", "default", vec![port("u-d-p", 8081, "UDP"), port("t-c-p", 8083, "TCP")]);
        let links = service.links("9.8.7.6", |port| Some(port.port));
        let links: Vec<(&str, &str)> = links.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected = [
            ("SUPER_DUPER_SERVICE_HOST", "9.8.7.6"),
            ("SUPER_DUPER_SERVICE_PORT", "8081"),
            ("SUPER_DUPER_SERVICE_PORT_U_D_P", "8081"),
            ("SUPER_DUPER_SERVICE_PORT_T_C_P", "8083"),
            ("SUPER_DUPER_PORT", "udp://9.8.7.6:8081"),
            ("SUPER_DUPER_PORT_8081_UDP", "udp://9.8.7.6:8081"),
            ("SUPER_DUPER_PORT_8081_UDP_PROTO", "udp"),
            ("SUPER_DUPER_PORT_8081_UDP_PORT", "8081"),
            ("SUPER_DUPER_PORT_8081_UDP_ADDR", "9.8.7.6"),
            ("SUPER_DUPER_PORT_8083_TCP", "tcp://9.8.7.6:8083"),
            ("SUPER_DUPER_PORT_8083_TCP_PROTO", "tcp"),
            ("SUPER_DUPER_PORT_8083_TCP_PORT", "8083"),
            ("SUPER_DUPER_PORT_8083_TCP_ADDR", "9.8.7.6"),
        ];
        assert_eq!(links, expected);
        service.headless = true;
        assert_eq!(service.links("9.8.7.6", |port| Some(port.port)), []);
    }

    #[test]
    fn a_name_stands_once_where_both_namespaces_are_one() {
        let service = service("backend", "shop", Vec::new());
        let names = ["backend", "backend.shop", "backend.shop.svc", "backend.shop.svc.cluster.local"];
        assert_eq!(service.names("shop", true), names);
        assert_eq!(service.names("run", true).len(), 7);
        assert_eq!(service.names("run", false), names[1..]);
    }

    #[test]
    fn a_short_name_means_the_service_of_the_own_namespace_or_the_first_one() {
        let all = [service("web", "a", Vec::new()), service("web.b", "b", Vec::new())];
        let meant = |namespace: &str| [0, 1].map(|index: usize| all[index].is_meant_in(namespace, &all));
        assert_eq!([meant("a"), meant("b"), meant("c")], [[true, false], [false, true], [true, false]]);
    }
}
