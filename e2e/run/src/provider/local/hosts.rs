//! A loopback address of its own for each Service that a text names without a port, as `DB_HOST=postgres` does: it listens at the ports
//! that the Service declares. Main type: [`Hosts`].

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
};

use e2e_plan::{
    Plan, Service,
    references::{Mention, mentions, texts},
};
use parking_lot::RwLock;

use super::{ports, services::ServicePorts};
use crate::provider::{
    Error,
    balancer::{self, Balancer},
};

/// Addresses that are tried for a Service: another run may have one of them, and a process that listens on all addresses has them all.
const TRIES: usize = 8;

/// The Services that have an address of their own.
#[derive(Debug)]
pub(super) struct Hosts(BTreeMap<String, Host>);

#[derive(Debug)]
struct Host {
    address: Ipv4Addr,
    _balancers: Vec<Balancer>,
}

impl Hosts {
    /// Listens for each Service that a text of the plan names without a port.
    pub(super) fn listen(plan: &Plan, services: &ServicePorts) -> Result<Self, Error> {
        let mut hosts = BTreeMap::new();
        for (service, named_by) in named(plan, lowest_port()) {
            let (address, listeners) = bind(service, &named_by)?;
            let balancers = listeners.into_iter().filter_map(|(port, listener)| {
                let port = services.get(&(service.name.clone(), port))?;
                let one_replica = || Arc::new(RwLock::new(vec![port.address]));
                let ready = port.balanced.as_ref().map_or_else(one_replica, |(_, ready, _)| Arc::clone(ready));
                Some(balancer::serve(listener, ready))
            });
            hosts.insert(service.name.clone(), Host { address, _balancers: balancers.collect() });
        }
        Ok(Self(hosts))
    }

    /// A text with addresses in place of hosts without ports. `key` is the variable or option whose value it is, and `within` the
    /// namespace of the pod that reads it and all Services.
    pub(super) fn text(&self, key: Option<&str>, text: &str, within: (&str, &[Service])) -> String {
        let (mut translated, mut from) = (String::new(), 0);
        for mention in mentions(key, text, within) {
            let Some(host) = self.0.get(&mention.service.name) else { continue };
            if needs_address(&mention, text) && from <= mention.host.start {
                translated.push_str(&text[from..mention.host.start]);
                translated.push_str(&host.address.to_string());
                from = mention.host.end;
            }
        }
        translated + &text[from..]
    }
}

/// Whether a whole Service stands there without a port.
fn needs_address(mention: &Mention<'_>, text: &str) -> bool {
    mention.is_alone(text) && !mention.is_pod(text)
}

/// Whether a host that stands without a port becomes an address: it is a whole Service, at ports that this machine gives out.
pub(super) fn has_address(mention: &Mention<'_>, text: &str, lowest_port: u16) -> bool {
    needs_address(mention, text) && mention.service.ports.iter().all(|port| port.port >= lowest_port)
}

/// The lowest port of any loopback address that a process of this user may listen at.
pub(crate) fn lowest_port() -> u16 {
    if !cfg!(target_os = "linux") {
        // Elsewhere 127.0.0.1 is the only one.
        return u16::MAX;
    }
    if rustix::process::geteuid().is_root() {
        return 0;
    }
    let start = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    start.ok().and_then(|start| start.trim().parse().ok()).unwrap_or(1024)
}

/// Services that need an address of their own, each with who names it.
fn named(plan: &Plan, lowest_port: u16) -> Vec<(&Service, String)> {
    let mut found: BTreeMap<&str, (&Service, String)> = BTreeMap::new();
    for component in plan.components.iter().chain(plan.cron_jobs.iter().map(|cron_job| &cron_job.job)) {
        for (key, text) in texts(&component.pod) {
            let mentions = mentions(key, text, (&component.namespace, &plan.services));
            for mention in mentions.into_iter().filter(|mention| has_address(mention, text, lowest_port)) {
                let named_by = || key.map_or(component.name.clone(), |key| format!("{key} of {}", component.name));
                found.entry(&mention.service.name).or_insert_with(|| (mention.service, named_by()));
            }
        }
    }
    found.into_values().filter(|(service, _)| !service.ports.is_empty()).collect()
}

/// An address of 127.0.0.0/8 at which all ports of a Service are free, and listeners for them.
fn bind(service: &Service, named_by: &str) -> Result<(Ipv4Addr, Vec<(u16, tokio::net::TcpListener)>), Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        let address = random_address();
        let listener = |port: u16| {
            let listener = TcpListener::bind(SocketAddr::from((address, port))).and_then(ports::into_tokio);
            listener.map(|listener| (port, listener)).map_err(|error| (port, error))
        };
        match service.ports.iter().map(|port| listener(port.port)).collect() {
            Ok(listeners) => return Ok((address, listeners)),
            Err((_, error)) if error.kind() == ErrorKind::AddrInUse && tries < TRIES => {}
            Err((port, error)) => {
                let (service, named_by) = (service.name.clone(), named_by.to_owned());
                return Err(Error::Host { service, port, named_by, reason: error.to_string() });
            }
        }
    }
}

/// Not in 127.0.0.0/16, where programs of this machine listen.
fn random_address() -> Ipv4Addr {
    let [_, b, c, d] = (e2e_report::run_dir::random() as u32).to_be_bytes();
    Ipv4Addr::new(127, b | 1, c, d)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::provider::testing::{deployment, plan, service};

    /// A system in which one variable names the database.
    fn naming(variable: &str, value: &str) -> Plan {
        let spec =
            format!("{{ containers: [{{ name: app, image: app, env: [{{ name: {variable}, value: '{value}' }}] }}] }}");
        let db = deployment("db", "{ containers: [{ name: db, image: db }] }");
        plan(&[deployment("app", &spec), db, service("my-db", "db", 25_432), service("web", "app", 80)].join("---\n"))
    }

    #[rstest]
    #[case::alone("DB_HOST", "my-db", "ADDRESS")]
    #[case::in_its_namespace("DB_HOST", "my-db.default.svc.cluster.local", "ADDRESS")]
    #[case::in_an_address("DB_URL", "postgres://my-db/shop", "postgres://ADDRESS/shop")]
    #[case::before_a_blank("REPLICA", "replicaof my-db 25432", "replicaof ADDRESS 25432")]
    #[case::twice("DB_HOSTS", "my-db,my-db", "ADDRESS,ADDRESS")]
    #[case::with_its_port("DB_HOST", "my-db:25432", "my-db:25432")]
    #[case::one_pod("DB_HOST", "db-0.my-db", "db-0.my-db")]
    #[case::a_user("DB_USER", "my-db", "my-db")]
    #[case::the_web("WEB_URL", "http://web/", "http://web/")]
    fn a_host_without_a_port_becomes_an_address(#[case] variable: &str, #[case] value: &str, #[case] expected: &str) {
        let address = Ipv4Addr::new(127, 1, 2, 3);
        let plan = naming(variable, value);
        let named = named(&plan, 1024);
        assert_eq!(named.len(), usize::from(expected.contains("ADDRESS")));
        let host = |(service, _): (&Service, String)| (service.name.clone(), Host { address, _balancers: Vec::new() });
        let hosts = Hosts(named.into_iter().map(host).collect());
        let text = hosts.text(Some(variable), value, ("default", &plan.services));
        assert_eq!(text, expected.replace("ADDRESS", "127.1.2.3"));
    }

    #[test]
    fn a_port_of_root_needs_root() {
        let plan = naming("WEB_HOST", "web");
        assert_eq!([named(&plan, 1024).len(), named(&plan, 0).len()], [0, 1]);
    }

    #[tokio::test]
    async fn connections_reach_the_replica() {
        let replica = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, publish_not_ready) = (replica.local_addr().unwrap(), false);
        let port = super::super::ServicePort { address, balanced: None, publish_not_ready };
        let services = BTreeMap::from([(("my-db".to_owned(), 25_432), port)]);
        let hosts = Hosts::listen(&naming("DB_HOST", "my-db"), &services).unwrap();
        let mut client = tokio::net::TcpStream::connect((hosts.0["my-db"].address, 25_432)).await.unwrap();
        let (mut server, _) = replica.accept().await.unwrap();
        server.write_all(b"hello").await.unwrap();
        let mut answer = [0; 5];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"hello");
    }

    #[tokio::test]
    async fn a_port_that_is_taken_everywhere_is_named_with_the_variable() {
        let taken = TcpListener::bind("0.0.0.0:0").unwrap();
        let plan = naming("DB_HOST", "my-db");
        let mut service = plan.services.iter().find(|service| service.name == "my-db").unwrap().clone();
        service.ports[0].port = taken.local_addr().unwrap().port();
        let error = bind(&service, "DB_HOST of app").unwrap_err().to_string();
        assert!(error.contains("which DB_HOST of app names without a port") && error.contains("ss -ltnp"), "{error}");
    }
}
