//! Experiments with the request: what it says otherwise than one that works, one thing at a time.

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Flip, PLAIN},
    observation::Observation,
};

use super::{
    Found, Works,
    fix::Change,
    lab::Lab,
    path::{is_odd, same_path},
};
use crate::{
    http::Way,
    probe::Prepared,
    request::{HttpRequest, authority},
};

/// A name that no allow-list has: RFC 2606 keeps `.invalid` from ever being one.
const UNLISTED: &str = "unlisted.invalid";

impl Lab<'_> {
    /// The request that is said to work, as curl sends it.
    pub(super) fn working(&self, prepared: &Prepared, works: &Works) -> Prepared {
        let mut plain = self.plain(prepared, &works.host);
        plain.request.target.clone_from(&works.target);
        plain.url.target.clone_from(&works.target);
        plain.url.scheme = if works.https { "https" } else { "http" }.to_owned();
        plain.way = Way::to(works.address);
        plain
    }

    /// A plain request succeeds: which one of its differences does it?
    pub(super) async fn narrow(
        &mut self,
        prepared: &Prepared,
        plain: &Prepared,
        observation: &Observation,
    ) -> Option<Found> {
        if self.again().await?.success() {
            // It fails now and then; nothing can be told from single requests.
            return None;
        }
        if plain.way.address != prepared.way.address {
            let mut elsewhere = prepared.clone();
            elsewhere.way = plain.way.clone();
            elsewhere.url.scheme.clone_from(&plain.url.scheme);
            if let Some(found) = self.of_destination(prepared, &elsewhere, observation).await {
                return Some(found);
            }
        }
        for axis in [Axis::Host, Axis::Path, Axis::UserAgent, Axis::Connection, Axis::Accept, Axis::Headers] {
            let (mut there, mut back) = (prepared.clone(), plain.clone());
            let Some((from, to)) = swap(axis, &mut there.request, &mut back.request) else {
                continue;
            };
            there.url.target.clone_from(&there.request.target);
            back.url.target.clone_from(&back.request.target);
            if !self.send(&format!("the probe with {}", named(axis, &to)), there).await?.success() {
                continue;
            }
            let changed = format!("{PLAIN} with {}", named(axis, &from));
            if self.send(&changed, back).await?.success() {
                continue;
            }
            // Two failures in a row tell this from an app that fails every other time.
            if self.again().await?.success() {
                return None;
            }
            return self.of_difference(prepared, plain, observation, Flip { axis, from, to }).await;
        }
        None
    }

    /// One difference makes the difference: what it is called.
    async fn of_difference(
        &mut self,
        prepared: &Prepared,
        plain: &Prepared,
        observation: &Observation,
        flip: Flip,
    ) -> Option<Found> {
        let Flip { axis, from, to } = &flip;
        let explanation = format!("it fails with {} and succeeds with {}", named(*axis, from), named(*axis, to));
        let header = |name: &str| Change::Header { name: name.to_owned(), value: to.clone() };
        let (cause, change) = match axis {
            Axis::Host => return self.of_host(prepared, to.clone()).await,
            Axis::Path => (of_path(from, to, observation.status)?, Some(Change::Path(to.clone()))),
            Axis::Headers => match self.is_too_large(prepared, plain).await {
                true => (Cause::HeaderTooLarge, Some(Change::WithoutLongestHeader)),
                false => (Cause::HeaderRefused, Some(Change::WithoutHeaders)),
            },
            Axis::UserAgent => (Cause::HeaderRefused, Some(header("User-Agent"))),
            Axis::Accept => (Cause::HeaderRefused, Some(header("Accept"))),
            // Go adds it to whatever httpHeaders say.
            Axis::Connection => (Cause::HeaderRefused, None),
            _ => return None,
        };
        Some(Found { cause, flip: Some(flip), confirmed: true, explanation, change })
    }

    /// Other Hosts with the probe's own headers: an app that wants one of those refuses plain requests.
    pub(super) async fn another_host(
        &mut self,
        prepared: &Prepared,
        hosts: &[String],
        seen: &mut Vec<Option<u16>>,
    ) -> Option<Found> {
        // Without headers of its own the probe with the first Host is next to the plain request, which failed.
        let is_tried = usize::from(prepared.request.headers.is_empty());
        for host in hosts.iter().skip(is_tried) {
            let changed = with_host(prepared, host);
            let answer = self.send(&format!("the probe with Host {host}"), changed).await?;
            if answer.success() {
                let holds = self.holds(&format!("the probe with Host {host}"), &with_host(prepared, host)).await;
                return if holds { self.of_host(prepared, host.clone()).await } else { None };
            }
            seen.push(answer.status);
        }
        None
    }

    /// Another Host makes the probe succeed. A name that nobody knows tells a list of names from a rule about their form.
    async fn of_host(&mut self, prepared: &Prepared, to: String) -> Option<Found> {
        let unlisted = authority(UNLISTED, self.port());
        let stranger = self.send(&format!("the probe with Host {unlisted}"), with_host(prepared, &unlisted)).await;
        let from = prepared.request.host.clone();
        let (cause, explanation) = match stranger.is_some_and(|stranger| stranger.success()) {
            true => (Cause::HostSyntax, format!("the app refuses the form of Host {from} and takes even {unlisted}")),
            false => (Cause::HostAllowList, format!("the app refuses Host {from} and accepts {to}")),
        };
        let change = Some(Change::Host(to.clone()));
        let flip = Some(Flip { axis: Axis::Host, from, to });
        Some(Found { cause, flip, confirmed: true, explanation, change })
    }

    /// Whether the headers are refused for their length alone: another one that is as long as all of them is refused too.
    async fn is_too_large(&mut self, prepared: &Prepared, plain: &Prepared) -> bool {
        let length = prepared.request.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>();
        let mut padded = plain.clone();
        padded.request.headers = vec![("X-Padding".to_owned(), "x".repeat(length))];
        let change = format!("{PLAIN} with {length} bytes in another header");
        self.send(&change, padded).await.is_some_and(|answer| !answer.success())
    }
}

/// Another path or query succeeds.
fn of_path(from: &str, to: &str, status: Option<u16>) -> Option<Cause> {
    match status {
        Some(404 | 405) => Some(Cause::MethodOrPath),
        Some(503) => Some(Cause::DependencyDown),
        Some(400..=499) | None if is_odd(from) => Some(Cause::MalformedPath),
        Some(400..=499) if same_path(from, to) => Some(Cause::MissingHeader),
        _ => None,
    }
}

pub(super) fn with_host(prepared: &Prepared, host: &str) -> Prepared {
    let request = HttpRequest { host: host.to_owned(), ..prepared.request.clone() };
    Prepared { request, ..prepared.clone() }
}

/// Exchanges what two requests say on one axis, and returns what the first said and what the second said. `None` when they
/// say the same.
fn swap(axis: Axis, probe: &mut HttpRequest, plain: &mut HttpRequest) -> Option<(String, String)> {
    let optional = |value: &Option<String>| value.clone().unwrap_or_default();
    let listed = |headers: &[(String, String)]| {
        let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        lines.join(", ")
    };
    let said = |request: &HttpRequest| match axis {
        Axis::Host => request.host.clone(),
        Axis::Path => request.target.clone(),
        Axis::UserAgent => optional(&request.user_agent),
        Axis::Accept => optional(&request.accept),
        Axis::Connection => listed(&request.trailing),
        Axis::Headers => listed(&request.headers),
        _ => String::new(),
    };
    let (from, to) = (said(probe), said(plain));
    match axis {
        Axis::Host => std::mem::swap(&mut probe.host, &mut plain.host),
        Axis::Path => std::mem::swap(&mut probe.target, &mut plain.target),
        Axis::UserAgent => std::mem::swap(&mut probe.user_agent, &mut plain.user_agent),
        Axis::Accept => std::mem::swap(&mut probe.accept, &mut plain.accept),
        Axis::Connection => std::mem::swap(&mut probe.trailing, &mut plain.trailing),
        Axis::Headers => std::mem::swap(&mut probe.headers, &mut plain.headers),
        _ => {}
    }
    (from != to).then_some((from, to))
}

/// A longer value is cut in sentences; the flip has it whole.
const SHOWN: usize = 80;

/// A value of an axis for a sentence.
fn named(axis: Axis, value: &str) -> String {
    let end = value.char_indices().nth(SHOWN).map(|(end, _)| end);
    let shown = end.map_or_else(|| value.to_owned(), |end| format!("{}... ({} bytes)", &value[..end], value.len()));
    match (axis, value) {
        (Axis::UserAgent, "") => "no User-Agent".to_owned(),
        (Axis::UserAgent, _) => format!("User-Agent {shown}"),
        (Axis::Accept, "") => "no Accept".to_owned(),
        (Axis::Accept, _) => format!("Accept {shown}"),
        (Axis::Host, _) => format!("Host {shown}"),
        (Axis::Path, _) => format!("the path {shown}"),
        (_, "") => "none of these headers".to_owned(),
        (_, _) => format!("`{shown}`"),
    }
}
