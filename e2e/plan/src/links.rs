//! What pods call a Service: its names in DNS, and the variables that a kubelet sets for it.

use super::{Service, ServicePort};

impl Service {
    /// The names that lead to it, from short to long, in the namespace that the manifests give it (`default` unless they do) and in
    /// `namespace`, that of the run. See "DNS for Services and Pods" in Kubernetes's documentation.
    #[must_use]
    pub fn names(&self, namespace: &str) -> Vec<String> {
        let Self { name, namespace: declared, .. } = self;
        let declared = declared.as_deref().unwrap_or("default");
        let mut names = vec![name.clone()];
        for namespace in [declared, namespace].into_iter().take(if declared == namespace { 1 } else { 2 }) {
            names.extend(["", ".svc", ".svc.cluster.local"].map(|rest| format!("{name}.{namespace}{rest}")));
        }
        names
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
        let name = upper(&self.name);
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

    fn service(name: &str, namespace: Option<&str>, ports: Vec<ServicePort>) -> Service {
        let source = Source { file: "a.yaml".into(), document: 1 };
        let (name, namespace) = (name.to_owned(), namespace.map(str::to_owned));
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
        let mut service = service("super-duper", None, vec![port("u-d-p", 8081, "UDP"), port("t-c-p", 8083, "TCP")]);
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
        let service = service("backend", Some("shop"), Vec::new());
        let names = ["backend", "backend.shop", "backend.shop.svc", "backend.shop.svc.cluster.local"];
        assert_eq!(service.names("shop"), names);
        assert_eq!(service.names("run").len(), 7);
    }
}
