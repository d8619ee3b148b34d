//! Services in the pods' own networks. Each has an address at the end of the run's subnet, which the kernel translates to the ready pods,
//! and its names stand in `/etc/hosts`; no process is in the way. Main type: [`Services`].

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, OnceLock},
};

use e2e_plan::Service;
use tokio::sync::watch;

use super::{
    disturb::{Disturbance, obstacles},
    nft::{Route, Rules},
};
use crate::provider::pods::PodSpec;

/// The Services of a run, the pods that they lead to, and what lies between these.
#[derive(Debug)]
pub(super) struct Services {
    services: Vec<Addressed>,
    now: watch::Sender<Now>,
    namespace: String,
    /// Why Services have no addresses here, where that is so.
    without: OnceLock<String>,
}

#[derive(Debug)]
struct Addressed {
    service: Service,
    /// None for a headless one, and where the subnet is too small.
    address: Option<Ipv4Addr>,
}

/// What changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Now {
    pods: BTreeMap<String, Member>,
    disturbances: Vec<Disturbance>,
}

/// A pod, as Services see it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    component: String,
    namespace: String,
    /// The name that a StatefulSet's Service gives it.
    governed_by: Option<String>,
    /// None until its sandbox is there.
    address: Option<Ipv4Addr>,
    ready: bool,
}

impl Member {
    fn of(pod: &PodSpec) -> Self {
        let e2e_plan::Component { name, namespace, governed_by, .. } = pod.component.clone();
        Self { component: name, namespace, governed_by, address: None, ready: false }
    }
}

impl Services {
    /// The Services of pods in a network with this subnet, such as `172.20.0.0/16`.
    pub(super) fn new(services: &[Service], pods: &[PodSpec], subnet: Option<&str>, run_id: &str) -> Arc<Self> {
        let count = services.iter().filter(|service| !service.headless).count();
        let mut addresses = subnet.map(|subnet| last_addresses(subnet, count)).unwrap_or_default().into_iter();
        let without = OnceLock::new();
        if addresses.len() < count {
            let subnet = subnet.unwrap_or("none for IPv4");
            let _ = without.set(format!("the engine's network is too small for their addresses ({subnet})"));
        }
        let mut address = |service: &Service| if service.headless { None } else { addresses.next() };
        let members = pods.iter().map(|pod| (pod.name.clone(), Member::of(pod)));
        Arc::new(Self {
            services: services
                .iter()
                .map(|service| Addressed { address: address(service), service: service.clone() })
                .collect(),
            now: watch::channel(Now { pods: members.collect(), disturbances: Vec::new() }).0,
            namespace: crate::provider::pods::namespace(run_id),
            without,
        })
    }

    /// Knows of a pod that was not there at first.
    pub(super) fn admit(&self, pod: &PodSpec) {
        self.now.send_modify(|now| drop(now.pods.insert(pod.name.clone(), Member::of(pod))));
    }

    /// Why Services have no addresses of their own: their names then lead to pods, at the pods' ports and whether they are ready or not.
    pub(super) fn without_addresses(&self) -> Option<&str> {
        self.without.get().map(String::as_str)
    }

    /// The names that the engine's DNS gives a pod, for programs that ask it themselves and do not read `/etc/hosts`. It cannot take
    /// a name back, so a Service that has no address, and that leads to ready pods only, is not among them.
    pub(super) fn dns_names(&self, pod: &PodSpec) -> Vec<String> {
        let selects = |service: &Service| service.components.contains(&pod.component.name);
        let lasting = |service: &&Service| !service.headless || service.publish_not_ready;
        let services = self.services.iter().map(|addressed| &addressed.service);
        let names = services.filter(|service| selects(service)).filter(lasting);
        names.flat_map(|service| self.names(service, "")).chain([pod.name.clone()]).collect()
    }

    /// What pods of a namespace call a Service; the engine's DNS knows no namespace.
    fn names(&self, service: &Service, namespace: &str) -> Vec<String> {
        service.names(&self.namespace, self.is_meant(service, namespace))
    }

    fn is_meant(&self, service: &Service, namespace: &str) -> bool {
        service.is_meant_in(namespace, self.services.iter().map(|addressed| &addressed.service))
    }

    /// Variables such as `BACKEND_SERVICE_HOST`, for pods of a namespace.
    pub(super) fn links(&self, namespace: &str) -> Vec<(String, String)> {
        if self.without_addresses().is_some() {
            return Vec::new();
        }
        let meant = |addressed: &&Addressed| self.is_meant(&addressed.service, namespace);
        let links = self.services.iter().filter(meant).filter_map(|addressed| {
            Some(addressed.service.links(&addressed.address?.to_string(), |port| Some(port.port)))
        });
        links.flatten().collect()
    }

    /// A pod became ready or ceased to be.
    pub(super) fn set_ready(&self, pod: &str, ready: bool) {
        self.change(pod, |member| member.ready = ready);
    }

    /// A pod lost its network.
    pub(super) fn leave(&self, pod: &str) {
        self.change(pod, |member| (member.ready, member.address) = (false, None));
    }

    fn change(&self, pod: &str, change: impl FnOnce(&mut Member)) {
        self.now.send_if_modified(|now| {
            let Some(member) = now.pods.get_mut(pod) else { return false };
            let before = member.clone();
            change(member);
            *member != before
        });
    }

    /// Packets between pods are disturbed from now on.
    pub(super) fn disturb(&self, disturbances: &[Disturbance]) {
        self.now.send_modify(|now| now.disturbances.extend_from_slice(disturbances));
    }

    /// They are so no more.
    pub(super) fn calm(&self, disturbances: &[Disturbance]) {
        self.now.send_modify(|now| {
            for over in disturbances {
                let place = now.disturbances.iter().position(|disturbance| disturbance == over);
                place.map(|place| now.disturbances.remove(place));
            }
        });
    }

    /// A pod's address is known.
    pub(super) fn set_address(&self, pod: &str, address: Ipv4Addr) {
        self.change(pod, |member| member.address = Some(address));
    }

    /// What changes, as it is.
    pub(super) fn now(&self) -> Now {
        self.now.borrow().clone()
    }

    /// Sees every change from now on.
    pub(super) fn changes(&self) -> watch::Receiver<Now> {
        self.now.subscribe()
    }

    /// Notes why the kernel, which all pods share, takes no addresses of Services.
    pub(super) fn give_up_addresses(&self, reason: String) {
        let _ = self.without.set(reason);
    }

    /// The rules of a pod's network.
    pub(super) fn rules(&self, pod: &str, now: &Now) -> Rules {
        let address = |pod: &str| now.pods.get(pod)?.address;
        Rules { routes: self.routes(&now.pods), obstacles: obstacles(&now.disturbances, pod, address) }
    }

    /// Where connections to the Services' addresses go.
    fn routes(&self, members: &BTreeMap<String, Member>) -> Vec<Route> {
        let mut routes = Vec::new();
        for Addressed { service, address } in &self.services {
            let Some(address) = *address else { continue };
            for port in &service.ports {
                let protocol = match port.protocol.as_str() {
                    "UDP" => 17,
                    "SCTP" => 132,
                    _ => 6,
                };
                let targets = reached(service, members).map(|(_, ip)| (ip, port.target_port)).collect();
                routes.push(Route { address, port: port.port, protocol, targets });
            }
        }
        routes
    }

    /// A pod's `/etc/hosts`: its own names, those of the Services, and those of pods in headless Services.
    pub(super) fn hosts(&self, pod: &str, Now { pods: members, .. }: &Now) -> String {
        let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
        let mut line = |ip: Ipv4Addr, names: &[String]| text.push_str(&format!("{ip}\t{}\n", names.join(" ")));
        if let Some(ip) = members.get(pod).and_then(|member| member.address) {
            line(ip, &[pod.to_owned()]);
        }
        for Addressed { service, address } in &self.services {
            let namespace = members.get(pod).map_or("", |member| &member.namespace);
            let names = self.names(service, namespace);
            if let Some(address) = address.filter(|_| self.without_addresses().is_none()) {
                line(address, &names);
            }
            if service.headless {
                for (pod, ip) in reached(service, members) {
                    let is_governed = members[pod].governed_by.as_deref() == Some(service.host());
                    let own = names.iter().filter(|_| is_governed).map(|name| format!("{pod}.{name}"));
                    line(ip, &names.iter().cloned().chain(own).collect::<Vec<_>>());
                }
            }
        }
        text
    }
}

/// The pods that a Service leads to now.
fn reached<'a>(
    service: &'a Service,
    members: &'a BTreeMap<String, Member>,
) -> impl Iterator<Item = (&'a str, Ipv4Addr)> {
    let members = members.iter().filter(|(_, member)| {
        service.components.contains(&member.component) && (member.ready || service.publish_not_ready)
    });
    members.filter_map(|(pod, member)| Some((pod.as_str(), member.address?)))
}

/// The last addresses of a subnet, without that for all; none where they would be more than a quarter of it, since the engine gives
/// pods the first ones.
fn last_addresses(subnet: &str, count: usize) -> Vec<Ipv4Addr> {
    let parsed = subnet.split_once('/').and_then(|(base, bits)| Some((base.parse().ok()?, bits.parse().ok()?)));
    let Some((base, bits)): Option<(Ipv4Addr, u32)> = parsed.filter(|(_, bits)| *bits <= 30) else { return Vec::new() };
    let size = 1_u64 << (32 - bits);
    if count as u64 > size / 4 {
        return Vec::new();
    }
    let all = u32::try_from(size - 1).unwrap_or(u32::MAX);
    let last = u32::from(base) | all;
    (1..).take(count).map(|step| Ipv4Addr::from(last - step)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{pods, testing::plan};

    const SYSTEM: &str = "\
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db }
spec:
  replicas: 2
  serviceName: db
  selector: { matchLabels: { app: db } }
  template:
    metadata: { labels: { app: db } }
    spec: { containers: [{ name: db, image: x }] }
---
apiVersion: v1
kind: Service
metadata: { name: db }
spec: { clusterIP: None, selector: { app: db }, ports: [{ port: 5432 }] }
---
apiVersion: v1
kind: Service
metadata: { name: db-read, namespace: shop }
spec: { selector: { app: db }, ports: [{ name: sql, port: 80, targetPort: 5432 }, { name: dns, port: 53, protocol: UDP }] }
";

    fn services(text: &str) -> Arc<Services> {
        let plan = plan(text);
        let services = Services::new(&plan.services, &pods::of(&plan, "1"), Some("172.20.0.0/16"), "1");
        for (pod, last) in [("db-0", 2), ("db-1", 3)] {
            services.set_address(pod, Ipv4Addr::new(172, 20, 0, last));
        }
        services
    }

    /// Port, protocol and targets of every route, as text.
    fn routes(services: &Services) -> Vec<String> {
        let target = |(ip, port): &(Ipv4Addr, u16)| format!(" {ip}:{port}");
        let show = |route: Route| {
            format!("{} {} ->{}", route.port, route.protocol, route.targets.iter().map(target).collect::<String>())
        };
        services.routes(&services.now.borrow().pods).into_iter().map(show).collect()
    }

    #[test]
    fn an_address_leads_to_ready_pods_at_their_port() {
        let services = services(SYSTEM);
        assert_eq!(routes(&services), ["80 6 ->", "53 17 ->"], "the headless one has no address");
        services.set_ready("db-1", true);
        assert_eq!(routes(&services), ["80 6 -> 172.20.0.3:5432", "53 17 -> 172.20.0.3:53"]);
        services.set_ready("db-1", false);
        assert_eq!(routes(&services), ["80 6 ->", "53 17 ->"]);
        let published = SYSTEM.replace("ports: [{ name: sql", "publishNotReadyAddresses: true, ports: [{ name: sql");
        assert_eq!(routes(&self::services(&published))[0], "80 6 -> 172.20.0.2:5432 172.20.0.3:5432");
    }

    #[test]
    fn names_are_those_of_a_cluster() {
        let services = services(SYSTEM);
        services.set_ready("db-1", true);
        let hosts = services.hosts("db-0", &services.now());
        let lines: Vec<&str> = hosts.lines().skip(2).collect();
        let expected = [
            "172.20.0.2\tdb-0",
            "172.20.0.3\tdb db.default db.default.svc db.default.svc.cluster.local db.e2e-1 db.e2e-1.svc \
             db.e2e-1.svc.cluster.local db-1.db db-1.db.default db-1.db.default.svc db-1.db.default.svc.cluster.local \
             db-1.db.e2e-1 db-1.db.e2e-1.svc db-1.db.e2e-1.svc.cluster.local",
            "172.20.255.254\tdb-read db-read.shop db-read.shop.svc db-read.shop.svc.cluster.local db-read.e2e-1 \
             db-read.e2e-1.svc db-read.e2e-1.svc.cluster.local",
        ];
        assert_eq!(lines, expected);
    }

    /// The same StatefulSet and Service in another namespace.
    #[test]
    fn a_short_name_leads_to_the_pods_own_namespace() {
        let other = SYSTEM.replace("name: db }", "name: db, namespace: other }");
        let services =
            services(&format!("{SYSTEM}---\n{}", other.split("---\n").take(2).collect::<Vec<_>>().join("---\n")));
        for (pod, last) in [("db-other-0", 4), ("db-other-1", 5)] {
            services.set_address(pod, Ipv4Addr::new(172, 20, 0, last));
        }
        ["db-1", "db-other-1"].into_iter().for_each(|pod| services.set_ready(pod, true));
        let addresses = |pod: &str, name: &str| {
            let hosts = services.hosts(pod, &services.now());
            let named = hosts.lines().filter(|line| line.split(['\t', ' ']).any(|word| word == name));
            named.filter_map(|line| Some(line.split('\t').next()?.to_owned())).collect::<Vec<_>>()
        };
        let of = |pod: &str| ["db", "db.default.svc", "db.other"].map(|name| addresses(pod, name).join(","));
        assert_eq!(of("db-0"), ["172.20.0.3", "172.20.0.3", "172.20.0.5"]);
        assert_eq!(of("db-other-0"), ["172.20.0.5", "172.20.0.3", "172.20.0.5"]);
    }

    #[test]
    fn without_addresses_names_are_left_to_dns() {
        let services = services(SYSTEM);
        services.without.set("Operation not supported".to_owned()).expect("not said before");
        services.set_ready("db-1", true);
        let hosts = services.hosts("db-0", &services.now());
        assert!(hosts.contains("db-1.db") && !hosts.contains("db-read"), "{hosts}");
        assert_eq!(services.links("default"), []);
    }

    #[test]
    fn addresses_are_the_last_of_a_subnet_that_has_room() {
        let last = |subnet, count| last_addresses(subnet, count).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(last("172.20.0.0/16", 2), ["172.20.255.254", "172.20.255.253"]);
        assert_eq!(last("192.168.7.16/28", 1), ["192.168.7.30"]);
        assert_eq!(last("192.168.7.16/28", 5), [""; 0]);
        assert_eq!(last("fd00::/64", 1), [""; 0]);
    }
}
