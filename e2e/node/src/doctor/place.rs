//! Experiments with addresses: another port, a loopback address, another source address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Flip},
    observation::{Kind, Observation},
};
use e2e_plan::ProbeAction;

use super::{
    Claim, Found,
    differences::{changes, named, of_this_host, take},
    fix::{Change, scheme},
    lab::{Experiment, Lab, Sends},
    path::{UNSERVED, of_this_path, with_target},
    protocol::of_tls,
};
use crate::{http::Route, probe::Prepared, sockets::sockets};

/// The maximum number of other ports to try.
const OTHER_PORTS: usize = 3;
/// The maximum number of other source addresses to try.
pub(super) const OTHER_SOURCES: usize = 3;

impl Lab<'_> {
    /// Nothing listens on the probed port.
    pub(super) async fn of_no_listener(&mut self, prepared: &Prepared, observation: &Observation) -> Option<Found> {
        let to = |route| Prepared { route, ..prepared.clone() }.into();
        return_first!(self.loopback(prepared.route.address, to));
        if let Some(works) = self.case.known.works.clone() {
            let works = self.working(prepared, &works);
            let there = self.in_the_place_of(prepared, &works);
            // Of another path alone it is known that it works there.
            let says_nothing = works.request.target != prepared.request.target
                && self.answers_every_path(&there).await.unwrap_or(true);
            return_first!(
                !says_nothing => self.of_place(prepared, &there, observation),
                !says_nothing => self.of_place_and_part(prepared, &there, &works, observation),
            );
        }
        return_first!(self.another_port(prepared, observation));
        self.wait_for_start().await
    }

    /// The probe, sent to the address, port and scheme of another request.
    pub(super) fn in_the_place_of(&self, prepared: &Prepared, works: &Prepared) -> Prepared {
        let (from, to) = (&prepared.route.address, &works.route.address);
        let mut there = prepared.clone();
        if from == to && prepared.url.scheme == works.url.scheme {
            return there;
        }
        there.route = Route::to(*to);
        there.url.scheme.clone_from(&works.url.scheme);
        if from.port() != to.port() {
            set_port(&mut there, prepared, to.port());
        }
        there
    }

    /// Another place answers the probe.
    pub(super) async fn of_place(
        &mut self,
        prepared: &Prepared,
        there: &Prepared,
        observation: &Observation,
    ) -> Option<Found> {
        let experiment = in_place(prepared, there);
        if !self.ask(experiment.clone()).await?.answered() {
            return None;
        }
        // An app that requires a Host answers 400; then a proxy may have dropped the probe's Host.
        let same_port = same_port(prepared, there);
        if there.url.scheme == prepared.url.scheme && (same_port || observation.status == Some(400)) {
            let found = self.of_destination(prepared, there, observation, &experiment).await;
            if found.is_some() || same_port {
                return found;
            }
        }
        self.of_another_place(prepared, there, experiment, None).await
    }

    /// The port and scheme of the working request answer the probe once one part of it changes too, which alone is not enough.
    pub(super) async fn of_place_and_part(
        &mut self,
        prepared: &Prepared,
        there: &Prepared,
        works: &Prepared,
        observation: &Observation,
    ) -> Option<Found> {
        if same_port(prepared, there) && prepared.url.scheme == there.url.scheme
            || self.ask(in_place(prepared, there)).await?.answered()
        {
            return None;
        }
        for axis in [Axis::Path, Axis::Headers, Axis::Host] {
            let mut both = there.clone();
            let Some((_, to)) = take(axis, &mut both, works) else { continue };
            let change = format!("the probe sent to {} with {}", both.route.address, named(axis, &to));
            let experiment = Experiment::new(change, both);
            if !self.ask(experiment.clone()).await?.answered() {
                continue;
            }
            // The probe's own port may be the same app's.
            let mut alone = prepared.clone();
            if let Some((from, _)) = take(axis, &mut alone, works) {
                let alone = Experiment::new(format!("the probe with {}", named(axis, &to)), alone);
                if self.ask(alone.clone()).await?.answered() {
                    let flip = Flip { axis, from, to };
                    return self.of_difference(prepared, works, observation, flip, alone).await;
                }
            }
            let more = changes(axis, &to, works)?;
            return self.of_another_place(prepared, there, experiment, Some((named(axis, &to), more))).await;
        }
        None
    }

    /// The same for a port and a scheme, with an optional further change.
    pub(super) async fn of_another_place(
        &mut self,
        prepared: &Prepared,
        there: &Prepared,
        experiment: Experiment,
        more: Option<(String, Vec<Change>)>,
    ) -> Option<Found> {
        let (from, to) = (self.port(), there.url.explicit_port.unwrap_or_else(|| there.url.port()));
        if from != to && (self.is_the_apps(prepared).await || self.says_nothing(&experiment).await?) {
            return None;
        }
        let secured = there.url.is_tls();
        let changes_scheme = there.url.scheme != prepared.url.scheme;
        let with = more.as_ref().map_or(String::new(), |(what, _)| format!(" with {what}"));
        let (cause, flip, explanation) = if from == to {
            let flip = Flip::new(Axis::Scheme, scheme(!secured), scheme(secured));
            let (cause, what) = of_tls(secured);
            let needs = if with.is_empty() { String::new() } else { format!(", and it succeeds only{with}") };
            (cause, flip, format!("{what}{needs}"))
        } else {
            let flip = Flip::new(Axis::Port, from.to_string(), to.to_string());
            let over = if changes_scheme { format!(" over {}", scheme(secured)) } else { String::new() };
            match self.leads_to_tls() && secured {
                true => {
                    let text = format!("the app redirects port {from} to HTTPS, which port {to} speaks{with}");
                    (Cause::RedirectToHttps, flip, text)
                }
                false => {
                    let fails = match self.tried[0].first.kind {
                        Kind::Refused => format!("nothing listens on port {from}"),
                        _ => format!("port {from} gives a wrong answer"),
                    };
                    let text = format!("{fails}, and port {to} gives the right one{over}{with}");
                    (Cause::WrongPort, flip, text)
                }
            }
        };
        let mut changes = Vec::new();
        changes.extend((from != to).then_some(Change::Port(to)));
        changes.extend(changes_scheme.then_some(Change::Scheme(secured)));
        changes.extend(more.into_iter().flat_map(|(_, changes)| changes));
        self.prove_flip(cause, flip, explanation, changes, experiment).await
    }

    /// Whether the probe's port seems to be the right one of an app that fails: it ends each connection without a byte, like an app that
    /// crashes, or tells a path that it does not serve from this one. A port whose protocol ends connections is named by other experiments.
    async fn is_the_apps(&mut self, prepared: &Prepared) -> bool {
        let first = &self.tried[0].first;
        if !first.followed.is_empty() {
            return false;
        }
        if matches!(first.kind, Kind::Closed | Kind::Reset) && first.first_byte_ms.is_none() {
            return true;
        }
        if first.status.is_none_or(|status| matches!(status, ..400 | 404 | 405)) {
            return false;
        }
        let unserved = self.ask(of_this_path(prepared, UNSERVED)).await;
        unserved.is_some_and(|answer| matches!(answer.status, Some(404 | 405)))
    }

    /// Whether an answer beside that of the probe's port tells nothing of the path, since every path has it.
    async fn says_nothing(&mut self, experiment: &Experiment) -> Option<bool> {
        let first = &self.tried[0].first;
        match experiment.http() {
            Some(there) if first.kind != Kind::Refused && first.followed.is_empty() => {
                self.answers_every_path(there).await
            }
            _ => Some(false),
        }
    }

    /// Another port of the pod may give the answer.
    pub(super) async fn another_port(&mut self, prepared: &Prepared, observation: &Observation) -> Option<Found> {
        for (port, dial) in self.other_ports() {
            let mut there = Prepared { route: Route::to(dial), ..prepared.clone() };
            set_port(&mut there, prepared, port);
            if self.answers_every_path(&there).await? {
                continue;
            }
            return_first!(self.of_place(prepared, &there, observation));
        }
        None
    }

    /// Whether a place answers a path that no app serves.
    async fn answers_every_path(&mut self, there: &Prepared) -> Option<bool> {
        let change = format!("the probe sent to {} for {UNSERVED}", there.route.address);
        Some(self.ask(Experiment::new(change, with_target(there, UNSERVED))).await?.answered())
    }

    /// The pod's other ports that may be the container's, the first few of them.
    pub(super) fn other_ports(&self) -> Vec<(u16, SocketAddr)> {
        let (declared, of_others) = (self.port(), &self.case.known.ports_of_others);
        let others = self.target.ports.iter().filter(|(port, _)| **port != declared && !of_others.contains(port));
        others.map(|(port, dial)| (*port, *dial)).take(OTHER_PORTS).collect()
    }

    /// The same for a grpc probe of `service`. A connection alone does not show that a port is the right one.
    pub(super) async fn of_no_grpc_listener(&mut self, service: &str) -> Option<Found> {
        let declared = self.port();
        return_first!(self.loopback(self.target.address(declared)?, Sends::Connection));
        for (other, _) in self.other_ports() {
            let action = ProbeAction::Grpc { port: other, service: service.to_owned() };
            let experiment = Experiment::new(format!("port {other}"), Sends::Action(action));
            if !self.ask(experiment.clone()).await?.answered() {
                continue;
            }
            let flip = Flip::new(Axis::Port, declared.to_string(), other.to_string());
            let explanation = format!("nothing listens on port {declared}, and port {other} gives the right answer");
            return self.prove_flip(Cause::WrongPort, flip, explanation, vec![Change::Port(other)], experiment).await;
        }
        None
    }

    /// The same for a tcpSocket probe, of the same port alone.
    pub(super) async fn of_no_tcp_listener(&mut self, port: u16) -> Option<Found> {
        self.loopback(self.target.address(port)?, Sends::Connection).await
    }

    /// If an address of this machine refuses, the app may listen on a loopback address or on the other IP family.
    async fn loopback(&mut self, refused: SocketAddr, to: impl Fn(Route) -> Sends) -> Option<Found> {
        let is_own = std::net::TcpListener::bind((refused.ip(), 0)).is_ok();
        let works = self.case.known.works.as_ref().map(|works| works.address);
        let candidates = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let mut candidates: Vec<SocketAddr> = match is_own {
            true => candidates.map(|ip| SocketAddr::new(ip, refused.port())).to_vec(),
            false => Vec::new(),
        };
        candidates.extend(works.filter(|works| works.ip().is_loopback() && works.port() == refused.port()));
        candidates.retain(|candidate| *candidate != refused);
        candidates.dedup();
        for candidate in candidates {
            let experiment = Experiment::new(format!("the probe sent to {candidate}"), to(Route::to(candidate)));
            // Any answer proves a listener.
            if !matches!(self.ask(experiment.clone()).await?.kind, Kind::Response | Kind::Health | Kind::Connected) {
                continue;
            }
            let other_family = candidate.is_ipv6() != refused.is_ipv6() && !listens_on_loopback_alone(candidate);
            let (cause, but) = match (other_family, candidate.is_ipv6()) {
                (true, true) => (Cause::Ipv6Only, " but on no IPv4 address"),
                (true, false) => (Cause::Ipv4Only, " but on no IPv6 address"),
                (false, _) => (Cause::BoundToLoopback, ""),
            };
            let explanation = format!("nothing listens on {refused}, and the app listens on {candidate}{but}");
            let flip = Flip::new(Axis::Destination, refused.to_string(), candidate.to_string());
            return self.prove_flip(cause, flip, explanation, Vec::new(), experiment).await;
        }
        None
    }

    /// Another source address of this machine, the first few of them.
    pub(super) async fn another_source(&mut self, prepared: &Prepared, few: usize) -> Option<Found> {
        for (source, experiment) in from_sources(prepared).take(few) {
            if !self.ask(experiment.clone()).await?.answered() {
                continue;
            }
            return_first!(self.only_the_first(prepared, &experiment));
            let explanation =
                format!("the app refuses requests from the probe's address and accepts them from {source}");
            let flip = Flip::new(Axis::Source, "the system's choice", source.to_string());
            return self.prove_flip(Cause::SourceBlocked, flip, explanation, Vec::new(), experiment).await;
        }
        None
    }

    /// The working request goes to another address: a proxy in between may drop Host.
    async fn of_destination(
        &mut self,
        prepared: &Prepared,
        elsewhere: &Prepared,
        observation: &Observation,
        experiment: &Experiment,
    ) -> Option<Found> {
        let (from, to) = (prepared.route.address, elsewhere.route.address);
        let flip = Flip::new(Axis::Destination, from.to_string(), to.to_string());
        let mut without_host = elsewhere.clone();
        without_host.request.without_host = true;
        let bare = Experiment::new(format!("{} without Host", experiment.change), without_host);
        let answer = self.ask(bare.clone()).await?;
        if answer.answered() || answer.status != observation.status || answer.body != observation.body {
            return None;
        }
        // What comes through such a proxy has no Host, whichever one was sent.
        let host = self.hosts(prepared).into_iter().next()?;
        if self.ask(of_this_host(prepared, &host, None)).await?.answered() {
            return None;
        }
        let explanation = format!(
            "the app at {to} answers the probe, and without Host it answers like {from}: a proxy in between drops Host"
        );
        let found = Found::of_flip(Cause::Http10OrMissingHost, flip, explanation, Vec::new());
        self.prove(Claim { found, fails: vec![bare], succeeds: vec![experiment.clone()] }).await
    }
}

/// The probe, sent to another place.
fn in_place(prepared: &Prepared, there: &Prepared) -> Experiment {
    let scheme = &there.url.scheme;
    let how = if *scheme == prepared.url.scheme { String::new() } else { format!(" over {scheme}") };
    Experiment::new(format!("the probe sent to {}{how}", there.route.address), there.clone())
}

/// Whether a place has the probe's port, by its declaration.
fn same_port(prepared: &Prepared, there: &Prepared) -> bool {
    prepared.url.explicit_port == there.url.explicit_port
}

/// Sends a request to another port; its Host follows unless the probe declares one.
fn set_port(there: &mut Prepared, prepared: &Prepared, port: u16) {
    there.url.explicit_port = Some(port);
    if prepared.request.host == prepared.url.authority() {
        there.request.host = there.url.authority();
    }
}

/// Whether the listener at an address of this machine is on a loopback address only, by the kernel's table.
fn listens_on_loopback_alone(address: SocketAddr) -> bool {
    let table = if address.is_ipv6() { "/proc/net/tcp6" } else { "/proc/net/tcp" };
    let table = std::fs::read_to_string(table).unwrap_or_default();
    let mut listeners =
        sockets(&table).filter(|socket| socket.is_listener() && socket.local.port() == address.port()).peekable();
    listeners.peek().is_some() && listeners.all(|socket| socket.local.ip().is_loopback())
}

/// The probe from other addresses of this machine.
pub(super) fn from_sources(prepared: &Prepared) -> impl Iterator<Item = (IpAddr, Experiment)> {
    sources(prepared.route.address.ip()).into_iter().map(move |source| {
        let route = Route { source: Some(source), ..prepared.route.clone() };
        (source, Experiment::new(format!("the probe from {source}"), Prepared { route, ..prepared.clone() }))
    })
}

/// Whether the probe goes to a loopback address of IPv4: all of 127.0.0.0/8 belongs to this machine.
pub(super) fn of_loopback(prepared: &Prepared) -> bool {
    let destination = prepared.route.address.ip();
    destination.is_loopback() && destination.is_ipv4()
}

/// The probe from loopback addresses that have sent nothing yet.
pub(super) fn from_strangers(prepared: &Prepared) -> Experiment {
    Experiment::of_strangers(Axis::Source, "the probe from other loopback addresses", prepared)
}

/// Addresses of this machine that reach `destination`, without the system's default choice.
fn sources(destination: IpAddr) -> Vec<IpAddr> {
    if destination.is_loopback() && destination.is_ipv4() {
        // 127.0.0.0/8 belongs to this machine. From its other addresses, a firewall may drop the answer, which would cost a timeout.
        return [2, 3].map(|last| IpAddr::from([127, 0, 0, last])).to_vec();
    }
    let own = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        // Sends nothing: it makes the system choose an address.
        socket.connect((destination, 9))?;
        socket.local_addr()
    });
    let chosen = own.map(|own| own.ip()).ok();
    let mut found = local_addresses(&std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default());
    found.retain(|address| {
        Some(*address) != chosen && *address != destination && address.is_ipv4() == destination.is_ipv4()
    });
    found
}

/// The addresses that the kernel's routing table calls local: a line with the address, then one with `/32 host LOCAL`.
fn local_addresses(table: &str) -> Vec<IpAddr> {
    let lines: Vec<&str> = table.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for pair in lines.windows(2) {
        let address = pair[0].strip_prefix("|-- ").and_then(|text| text.parse::<IpAddr>().ok());
        if let Some(address) =
            address.filter(|address| pair[1].starts_with("/32 host LOCAL") && !found.contains(address))
        {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_a_loopback_address_comes_from_one() {
        let found = sources(Ipv4Addr::LOCALHOST.into());
        assert_eq!(found, [IpAddr::from([127, 0, 0, 2]), IpAddr::from([127, 0, 0, 3])]);
    }

    #[test]
    fn local_addresses_are_read_from_the_routing_table() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.7\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        assert_eq!(local_addresses(table), [IpAddr::from([10, 0, 0, 7]), IpAddr::from([127, 0, 0, 1])]);
    }
}
