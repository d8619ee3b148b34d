//! Experiments with the request: its differences from a working one, one at a time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Flip},
    observation::Observation,
};

use super::{
    Claim, Found, WorkingRequest,
    fix::Change,
    lab::{Experiment, Lab},
    path::{is_odd, same_path},
    secrets::listed,
    words::WORKS,
};
use crate::{
    http::{Route, Url, host_of},
    probe::Prepared,
    request::{HttpRequest, as_written, authority},
};

/// A name that no allow-list has, as an example of such: RFC 2606 reserves `.invalid`.
const UNLISTED: &str = "unlisted.invalid";

/// The parts of a request that the doctor exchanges.
pub(super) const PARTS: [Axis; 6] =
    [Axis::Host, Axis::Path, Axis::Headers, Axis::UserAgent, Axis::Connection, Axis::Accept];

impl Lab<'_> {
    /// The working request, as curl sends it.
    pub(super) fn working(&self, prepared: &Prepared, works: &WorkingRequest) -> Prepared {
        let mut plain = self.plain(prepared, &works.host);
        plain.request.target.clone_from(&works.target);
        let (target, explicit_port) = (works.target.clone(), Some(works.address.port()));
        plain.url = Url { target, explicit_port, ..plain.url.over_tls(works.https) };
        plain.route = Route::to(works.address);
        if works.https {
            plain.route.server_name = Some(host_of(&works.host)).filter(|name| name.parse::<IpAddr>().is_err());
        }
        for (name, value) in &works.headers {
            plain.request.set(name, value.clone());
        }
        plain
    }

    /// The names under which clients call the app, without the probe's.
    pub(super) fn hosts(&self, prepared: &Prepared) -> Vec<String> {
        let port = self.port();
        // A client leaves the default port out.
        let host =
            |name: &str| if port == prepared.url.default_port() { name.to_owned() } else { authority(name, port) };
        let names = ["localhost"].into_iter().chain(self.case.known.services.iter().map(String::as_str));
        let mut hosts: Vec<String> = self.case.known.works.iter().map(|works| works.host.clone()).collect();
        hosts.extend(names.chain(["127.0.0.1"]).map(host));
        let mut seen = std::collections::BTreeSet::from([prepared.request.host.clone()]);
        hosts.retain(|host| seen.insert(host.clone()));
        hosts.truncate(4);
        // An app may know its name without the port.
        let bare = "localhost".to_owned();
        hosts.extend(seen.insert(bare.clone()).then_some(bare));
        hosts
    }

    /// Another request succeeds: searches for the difference that matters.
    pub(super) async fn narrow(
        &mut self,
        prepared: &Prepared,
        works: &Prepared,
        observation: &Observation,
    ) -> Option<Found> {
        let elsewhere = self.in_the_place_of(prepared, works);
        return_first!(
            elsewhere != *prepared => self.of_place(prepared, &elsewhere, observation),
            elsewhere != *prepared => self.of_place_and_part(prepared, &elsewhere, works, observation),
        );
        for axis in PARTS {
            let mut there = prepared.clone();
            let Some((from, to)) = take(axis, &mut there, works) else { continue };
            let experiment = Experiment::new(format!("the probe with {}", named(axis, &to)), there);
            if !self.ask(experiment.clone()).await?.answered() {
                continue;
            }
            let flip = Flip { axis, from, to };
            return_first!(self.of_difference(prepared, works, observation, flip, experiment));
        }
        None
    }

    /// The cause for one difference.
    pub(super) async fn of_difference(
        &mut self,
        prepared: &Prepared,
        works: &Prepared,
        observation: &Observation,
        flip: Flip,
        experiment: Experiment,
    ) -> Option<Found> {
        let Flip { axis, from, to } = &flip;
        let explanation = format!("it fails with {} and succeeds with {}", named(*axis, from), named(*axis, to));
        let changes = changes(*axis, to, works).unwrap_or_default();
        let (cause, changes) = match axis {
            Axis::Host => return self.of_host(prepared, to.clone(), None).await,
            Axis::Path => return self.of_another_path(prepared, observation, flip, explanation, experiment).await,
            Axis::Headers if works.request.headers.is_empty() => {
                let own = &prepared.request.headers;
                return self.of_own_headers(prepared, own, flip, explanation, experiment).await;
            }
            Axis::Headers => return self.of_headers(prepared, &works.request.headers, experiment).await,
            // Go adds Connection in spite of httpHeaders.
            Axis::UserAgent | Axis::Accept | Axis::Connection => (Cause::HeaderRefused, changes),
            _ => return None,
        };
        self.prove_flip(cause, flip, explanation, changes, experiment).await
    }

    /// Another path or query makes the probe succeed. A status that clients get for other reasons than the path does not say that it is one.
    async fn of_another_path(
        &mut self,
        prepared: &Prepared,
        observation: &Observation,
        flip: Flip,
        explanation: String,
        experiment: Experiment,
    ) -> Option<Found> {
        let changes = vec![Change::Path(flip.to.clone())];
        let cause = of_path(&flip.from, &flip.to, observation.status)?;
        let fails = match cause {
            Cause::MalformedPath => self.is_for_its_bytes(prepared, observation).await?,
            Cause::MissingHeader => vec![self.refused_with_another_query(prepared, &flip.to).await?],
            _ => Vec::new(),
        };
        let found = Found::of_flip(cause, flip, explanation, changes);
        self.prove(Claim { fails, ..Claim::of(found, experiment) }).await
    }

    /// The app requires headers of the working request: one of them, if one is enough.
    async fn of_headers(
        &mut self,
        prepared: &Prepared,
        headers: &[(String, String)],
        all: Experiment,
    ) -> Option<Found> {
        let own = &prepared.request.headers;
        let mut wanted: Vec<_> = headers.iter().filter(|header| !own.contains(header)).cloned().collect();
        let mut experiment = all;
        for header in wanted.clone().iter().filter(|_| wanted.len() > 1) {
            let mut changed = prepared.clone();
            changed.request.set(&header.0, header.1.clone());
            let alone = Experiment::new(format!("the probe with {}", header.0), changed);
            if self.ask(alone.clone()).await?.answered() {
                (wanted, experiment) = (vec![header.clone()], alone);
                break;
            }
        }
        let names = names_of(&wanted);
        let is_sent = |(name, _): &(String, String)| own.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        let (explanation, from) = match wanted.iter().any(is_sent) {
            true => {
                (format!("the app refuses what the probe says in {names} and accepts that of {WORKS}"), names.clone())
            }
            false => {
                (format!("the app refuses requests without {names} and accepts them with it"), format!("no {names}"))
            }
        };
        let flip = Flip::new(Axis::Headers, from, names);
        let signs_in = wanted.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let changes = wanted.into_iter().map(Change::added).collect();
        let found = Found::of_flip(Cause::MissingHeader, flip, explanation, changes);
        match signs_in {
            // Other credentials, again and again, are an attack.
            true => self.prove(Claim::of(found, experiment)).await,
            false => self.prove_for_other_values(found, experiment).await,
        }
    }

    /// Other Hosts with the probe's own headers: an app that requires one of those refuses plain requests.
    pub(super) async fn another_host(
        &mut self,
        prepared: &Prepared,
        hosts: &[String],
        seen: &mut Vec<Option<u16>>,
    ) -> Option<Found> {
        for host in hosts {
            let answer = self.ask(of_this_host(prepared, host, None)).await?;
            if answer.answered() {
                return self.of_host(prepared, host.clone(), None).await;
            }
            // The app accepts the Host and redirects to TLS, which a proxy terminates in production.
            let leads_to_tls = answer.header("location").is_some_and(|location| location.starts_with("https://"));
            if answer.success()
                && leads_to_tls
                && self.ask(of_this_host(prepared, host, Some(SAID_TLS))).await?.answered()
            {
                return self.of_host(prepared, host.clone(), Some(SAID_TLS)).await;
            }
            seen.push(answer.status);
        }
        None
    }

    /// The probe with a Host that no app knows, of the form of another Host.
    pub(super) fn stranger(&self, prepared: &Prepared, like: &str) -> Experiment {
        let unlisted = as_written(like, UNLISTED, self.port());
        let change = format!("the probe with unknown Hosts, such as {unlisted}");
        Experiment::of_strangers(Axis::Host, &change, &with_host(prepared, &unlisted))
    }

    /// Another Host makes the probe succeed, with an additional header if needed. An unknown name distinguishes an allow-list from
    /// a rule about syntax.
    pub(super) async fn of_host(
        &mut self,
        prepared: &Prepared,
        to: String,
        with: Option<(&str, &str)>,
    ) -> Option<Found> {
        let from = prepared.request.host.clone();
        // Without the header: it may keep the app from looking at Host.
        let (known, stranger) = (of_this_host(prepared, &to, with), self.stranger(prepared, &to));
        let takes_any = self.ask(stranger.clone()).await?.success();
        let alike = of_this_host(prepared, &similar(&from), None);
        if takes_any && self.ask(alike.clone()).await?.success() {
            // Only this one is refused, so neither a rule about syntax nor a list of names is the reason.
            return self.by_its_quota(&alike).await;
        }
        let (cause, explanation) = match takes_any {
            true => {
                (Cause::HostSyntax, format!("the app refuses the syntax of Host {from} but accepts even {UNLISTED}"))
            }
            false => (Cause::HostAllowList, format!("the app refuses Host {from} and accepts {to}")),
        };
        let mut changes = vec![Change::Host(to.clone())];
        changes.extend(with.map(|(name, value)| Change::header(name, value)));
        let explanation = match with {
            None => explanation,
            Some((name, value)) => format!("{explanation}, if the request also has {name}: {value}"),
        };
        let found = Found::of_flip(cause, Flip::new(Axis::Host, from, to), explanation, changes);
        let (fails, succeeds) = match takes_any {
            true => (Vec::new(), vec![known, stranger]),
            false => (vec![stranger], vec![known]),
        };
        self.prove(Claim { found, fails, succeeds }).await
    }
}

/// The header of a proxy that terminates TLS.
pub(super) const SAID_TLS: (&str, &str) = ("X-Forwarded-Proto", "https");

/// Another path or query succeeds.
pub(super) fn of_path(from: &str, to: &str, status: Option<u16>) -> Option<Cause> {
    match status {
        Some(404 | 405) if !(same_path(from, to) && to.contains('?')) => Some(Cause::MethodOrPath),
        Some(400..=499) | None if is_odd(from) => Some(Cause::MalformedPath),
        Some(400..=499) if same_path(from, to) && to.contains('?') => Some(Cause::MissingHeader),
        // The app refuses or fails this path; another path would not explain that.
        _ => None,
    }
}

/// The probe with another Host, and an optional additional header.
pub(super) fn of_this_host(prepared: &Prepared, host: &str, with: Option<(&str, &str)>) -> Experiment {
    let mut changed = with_host(prepared, host);
    let mut change = format!("the probe with Host {host}");
    if let Some((name, value)) = with {
        changed.request.set(name, value.to_owned());
        change += &format!(" and {name}: {value}");
    }
    Experiment::new(change, changed)
}

/// Another Host with the same syntax: of an address, the first and the last bit are others, so that it is in another network too.
pub(super) fn similar(host: &str) -> String {
    match host.parse::<SocketAddr>() {
        Ok(SocketAddr::V4(address)) => {
            authority(&Ipv4Addr::from(u32::from(*address.ip()) ^ (1 << 31 | 1)).to_string(), address.port())
        }
        Ok(SocketAddr::V6(address)) => {
            authority(&Ipv6Addr::from(u128::from(*address.ip()) ^ (1 << 127 | 1)).to_string(), address.port())
        }
        Err(_) => format!("x{host}"),
    }
}

pub(super) fn with_host(prepared: &Prepared, host: &str) -> Prepared {
    let request = HttpRequest { host: host.to_owned(), ..prepared.request.clone() };
    Prepared { request, ..prepared.clone() }
}

/// Copies one part of another request, and returns the old value and the new one, but no secret value of a header; `None` if they are equal.
pub(super) fn take(axis: Axis, probe: &mut Prepared, works: &Prepared) -> Option<(String, String)> {
    let optional = |value: &Option<String>| value.clone().unwrap_or_default();
    let said = |request: &HttpRequest| match axis {
        Axis::Host => request.host.clone(),
        Axis::Path => request.target.clone(),
        Axis::UserAgent => optional(&request.user_agent),
        Axis::Accept => optional(&request.accept),
        Axis::Connection => listed(&request.trailing),
        Axis::Headers => listed(&request.headers),
        _ => String::new(),
    };
    let (from, to) = (said(&probe.request), said(&works.request));
    // What is said of headers is not all of them.
    let is_other = from != to || axis == Axis::Headers && probe.request.headers != works.request.headers;
    let request = &mut probe.request;
    match axis {
        Axis::Host => request.host.clone_from(&works.request.host),
        Axis::Path => {
            request.target.clone_from(&works.request.target);
            probe.url.target.clone_from(&works.request.target);
        }
        Axis::UserAgent => request.user_agent.clone_from(&works.request.user_agent),
        Axis::Accept => request.accept.clone_from(&works.request.accept),
        Axis::Connection => request.trailing.clone_from(&works.request.trailing),
        Axis::Headers if works.request.headers.is_empty() => request.headers.clear(),
        // The probe's own headers stay: the question is whether additional ones help.
        Axis::Headers => {
            for (name, value) in &works.request.headers {
                request.set(name, value.clone());
            }
        }
        _ => {}
    }
    let to = if axis == Axis::Headers { names_of(&works.request.headers) } else { to };
    is_other.then_some((from, to))
}

/// The changes of the manifest for one part of the working request; `None` if a manifest cannot make them.
pub(super) fn changes(axis: Axis, to: &str, works: &Prepared) -> Option<Vec<Change>> {
    Some(match axis {
        Axis::Host => vec![Change::Host(to.to_owned())],
        Axis::Path => vec![Change::Path(to.to_owned())],
        Axis::Headers if works.request.headers.is_empty() => vec![Change::WithoutHeaders],
        Axis::Headers => works.request.headers.iter().cloned().map(Change::added).collect(),
        Axis::UserAgent => vec![Change::header("User-Agent", to)],
        Axis::Accept => vec![Change::header("Accept", to)],
        _ => return None,
    })
}

/// Only names: values may be secrets.
fn names_of(headers: &[(String, String)]) -> String {
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    names.join(" and ")
}

/// Sentences truncate longer values; the flip has the whole value.
const SHOWN: usize = 80;

/// An axis's value, as part of a sentence.
pub(super) fn named(axis: Axis, value: &str) -> String {
    let end = value.char_indices().nth(SHOWN).map(|(end, _)| end);
    let shown = end.map_or_else(|| value.to_owned(), |end| format!("{}... ({} bytes)", &value[..end], value.len()));
    match (axis, value) {
        (Axis::UserAgent, "") => "no User-Agent".to_owned(),
        (Axis::UserAgent, _) => format!("User-Agent {shown}"),
        (Axis::Accept, "") => "no Accept".to_owned(),
        (Axis::Accept, _) => format!("Accept {shown}"),
        (Axis::Host, _) => format!("Host {shown}"),
        (Axis::Path, _) => format!("the path {shown}"),
        (Axis::Connection, "") => "no Connection".to_owned(),
        (_, "") => "none of these headers".to_owned(),
        (_, _) => format!("`{shown}`"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;
    use crate::{
        doctor::tests::{POD, case},
        probe::{Profile, Target},
    };

    #[rstest]
    #[case("[::1]:8443", None)]
    #[case("app.example:8443", Some("app.example"))]
    #[tokio::test]
    async fn the_request_that_works_asks_for_its_server_by_name(#[case] host: &str, #[case] name: Option<&str>) {
        let address = probed::closed_port();
        let (case, target) = (case(&[], Duration::from_secs(1)), Target::new(POD, 8000, address));
        let profile = Profile::default();
        let lab = Lab::new(&case, &target, &profile).await.unwrap();
        let (host, target) = (host.to_owned(), "/health".to_owned());
        let works = WorkingRequest { address, https: true, host, target, headers: Vec::new() };
        let working = lab.working(lab.prepared.as_ref().unwrap(), &works);
        assert_eq!(working.route.server_name.as_deref(), name);
    }
}
