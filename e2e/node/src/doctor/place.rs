//! Experiments with the place: another port, a loopback address, another source address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Flip},
    observation::{Kind, Observation},
};
use e2e_plan::ProbeAction;

use super::{Found, fix::Change, lab::Lab};
use crate::{http::Way, probe::Prepared};

impl Lab<'_> {
    /// Nobody listens where the probe goes.
    pub(super) async fn of_no_listener(&mut self, prepared: &Prepared) -> Option<Found> {
        if let Some(found) = self.loopback(prepared).await {
            return Some(found);
        }
        if let Some(found) = self.another_port(prepared).await {
            return Some(found);
        }
        self.wait_for_start().await
    }

    /// Another port may give the answer.
    async fn another_port(&mut self, prepared: &Prepared) -> Option<Found> {
        let declared = self.port();
        let others = self.target.ports.iter().filter(|(port, _)| **port != declared);
        let mut others: Vec<(u16, SocketAddr)> = others.map(|(port, dial)| (*port, *dial)).collect();
        let works = self.case.known.works.as_ref().map(|works| (works.address.port(), works.address));
        others.extend(works.filter(|(port, _)| *port != declared));
        for (port, dial) in others {
            let mut changed = Prepared { way: Way::to(dial), ..prepared.clone() };
            changed.url.explicit_port = Some(port);
            if prepared.request.host == prepared.url.authority() {
                changed.request.host = changed.url.authority();
            }
            let change = format!("port {port}");
            if !self.send(&change, changed.clone()).await?.success() {
                continue;
            }
            if !self.holds(&change, &changed).await {
                return None;
            }
            return Some(wrong_port(declared, port));
        }
        None
    }

    /// The same for a tcpSocket or grpc probe.
    pub(super) async fn another_port_of_action(&mut self, action: &ProbeAction) -> Option<Found> {
        let declared = self.port();
        let others: Vec<u16> = self.target.ports.keys().copied().filter(|port| *port != declared).collect();
        for other in others {
            let mut changed = action.clone();
            if let ProbeAction::TcpSocket { port, .. } | ProbeAction::Grpc { port, .. } = &mut changed {
                *port = other;
            }
            if !self.send_action(&format!("port {other}"), &changed).await?.success() {
                continue;
            }
            let back = self.again().await?;
            return (back.kind == Kind::Refused).then(|| wrong_port(declared, other));
        }
        None
    }

    /// An address of this machine that refuses may have a listener on a loopback address, or on one of the other family.
    async fn loopback(&mut self, prepared: &Prepared) -> Option<Found> {
        let refused = prepared.way.address;
        let is_own = std::net::TcpListener::bind((refused.ip(), 0)).is_ok();
        let works = self.case.known.works.as_ref().map(|works| works.address);
        let candidates = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let mut candidates: Vec<SocketAddr> = match is_own {
            true => candidates.map(|ip| SocketAddr::new(ip, refused.port())).to_vec(),
            false => Vec::new(),
        };
        candidates.extend(works.filter(|works| works.ip().is_loopback() && works.port() == refused.port()));
        candidates.retain(|candidate| *candidate != refused);
        for candidate in candidates {
            let changed = Prepared { way: Way::to(candidate), ..prepared.clone() };
            let change = format!("the probe sent to {candidate}");
            // Any answer shows that it listens there.
            let answer = self.send(&change, changed).await?;
            if answer.kind != Kind::Response {
                continue;
            }
            if self.again().await?.kind != Kind::Refused {
                return None;
            }
            let explanation = format!("nobody listens on {refused}, and the app answers on {candidate}");
            let flip = Flip { axis: Axis::Destination, from: refused.to_string(), to: candidate.to_string() };
            let cause = Cause::BoundToLoopback;
            return Some(Found { cause, flip: Some(flip), confirmed: true, explanation, change: None });
        }
        None
    }

    /// Another address of this machine to come from.
    pub(super) async fn another_source(&mut self, prepared: &Prepared) -> Option<Found> {
        let sources = sources(prepared.way.address.ip());
        let sources: Vec<IpAddr> = sources.into_iter().take(3).collect();
        for source in sources {
            let way = Way { source: Some(source), ..prepared.way.clone() };
            let changed = Prepared { way, ..prepared.clone() };
            let change = format!("the probe from {source}");
            if !self.flips(&change, &changed).await {
                continue;
            }
            let explanation = format!("the app refuses requests from the probe's address and takes them from {source}");
            let flip = Flip { axis: Axis::Source, from: "the system's choice".to_owned(), to: source.to_string() };
            let cause = Cause::SourceBlocked;
            return Some(Found { cause, flip: Some(flip), confirmed: true, explanation, change: None });
        }
        None
    }

    /// The request that works goes elsewhere: what the way there and the way of the probe differ in.
    pub(super) async fn of_destination(
        &mut self,
        prepared: &Prepared,
        elsewhere: &Prepared,
        observation: &Observation,
    ) -> Option<Found> {
        let (from, to) = (prepared.way.address, elsewhere.way.address);
        let change = format!("the probe sent to {to}");
        if !self.flips(&change, elsewhere).await {
            return None;
        }
        let flip = Flip { axis: Axis::Destination, from: from.to_string(), to: to.to_string() };
        let mut without_host = elsewhere.clone();
        without_host.request.without_host = true;
        let bare = self.send(&format!("{change} without Host"), without_host).await?;
        if bare.success() || bare.status != observation.status {
            return None;
        }
        let explanation = format!(
            "the app at {to} answers the probe, and without Host it answers as {from} does: something between drops Host"
        );
        let cause = Cause::Http10OrMissingHost;
        Some(Found { cause, flip: Some(flip), confirmed: true, explanation, change: None })
    }
}

fn wrong_port(declared: u16, port: u16) -> Found {
    Found {
        cause: Cause::WrongPort,
        flip: Some(Flip { axis: Axis::Port, from: declared.to_string(), to: port.to_string() }),
        confirmed: true,
        explanation: format!("nobody listens on port {declared}, and port {port} gives the right answer"),
        change: Some(Change::Port(port)),
    }
}

/// Addresses of this machine from which `destination` can be reached, beside the one that the system would choose.
fn sources(destination: IpAddr) -> Vec<IpAddr> {
    if destination.is_loopback() && destination.is_ipv4() {
        // All of 127.0.0.0/8 is this machine's.
        return [2, 3].map(|last| IpAddr::from([127, 0, 0, last])).to_vec();
    }
    let own = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        // Nothing is sent: it only makes the system choose.
        socket.connect((destination, 9))?;
        socket.local_addr()
    });
    let chosen = own.map(|own| own.ip()).ok();
    let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let mut found = local_addresses(&table);
    found.retain(|address| Some(*address) != chosen && *address != destination);
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
    fn local_addresses_are_read_from_the_routing_table() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.7\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        assert_eq!(local_addresses(table), [IpAddr::from([10, 0, 0, 7]), IpAddr::from([127, 0, 0, 1])]);
    }
}
