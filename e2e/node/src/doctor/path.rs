//! Experiments with the path and the query: other encodings of unusual bytes, other paths, and headers that an app may require.

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Flip},
    observation::Observation,
};
use e2e_plan::ProbeKind;

use super::{
    Claim, Found,
    fix::Change,
    lab::{Experiment, Lab},
};
use crate::{
    probe::Prepared,
    request::{escape_target, split},
};

/// Customary health paths, best match for the probe first.
fn usual(which: ProbeKind) -> [&'static str; 3] {
    let own = if which == ProbeKind::Readiness { "/readyz" } else { "/livez" };
    [own, "/healthz", "/health"]
}

/// The maximum number of other paths: the path spelt as it may be meant, with or without its trailing slash, the customary ones, those of the
/// pod's other probes.
const OTHER_PATHS: usize = 5;

/// A path that no app serves: a success here means that the port answers everything.
pub(super) const UNSERVED: &str = "/no-app-serves-this-path";

/// Headers that apps and proxies require, and a User-Agent that filters of bots accept.
const WANTED: [(&str, &str); 6] = [
    ("X-Forwarded-Proto", "https"),
    ("Accept", "application/json"),
    ("Content-Type", "application/json"),
    ("X-Requested-With", "XMLHttpRequest"),
    ("Accept-Language", "en"),
    ("User-Agent", "Mozilla/5.0"),
];

/// Credentials. No value is a secret, so none can grant access; an app that knows better refuses them.
const CREDENTIALS: [(&str, &str); 3] =
    [("Authorization", "Bearer probe"), ("X-Api-Key", "probe"), ("Cookie", "probe=1")];

/// A header that no app knows.
const UNKNOWN: [(&str, &str); 1] = [("X-Unknown", "probe")];

/// What proxies add, with an address that RFC 5737 reserves for examples; some apps refuse a client whose address they do not know.
const OF_PROXIES: [(&str, &str); 3] =
    [("X-Forwarded-For", "192.0.2.1"), ("X-Request-Id", "probe"), ("Accept-Encoding", "gzip")];

impl Lab<'_> {
    /// Bytes that some servers refuse, encoded differently.
    pub(super) async fn odd_path(&mut self, prepared: &Prepared, observation: &Observation) -> Option<Found> {
        let target = prepared.request.target.clone();
        if !is_odd(&target) || matches!(observation.status, Some(404 | 405)) {
            return None;
        }
        let mut tried = vec![target.clone()];
        let spellings =
            [escaped(&target), unescaped(&target), tidied(&target), without_parameters(&target), harmless(&target)];
        for spelt in spellings {
            if tried.contains(&spelt) {
                continue;
            }
            tried.push(spelt.clone());
            let experiment = of_this_path(prepared, &spelt);
            if !self.ask(experiment.clone()).await?.answered() {
                continue;
            }
            // Spelt so, it may ask for something else.
            let mut fails = Vec::new();
            if ![escaped(&target), tidied(&target)].contains(&spelt) {
                fails = self.refuses_the_bytes(prepared, observation).await?;
            }
            let explanation = format!("the server refuses bytes of the path {target} and accepts {spelt}");
            let flip = Flip::new(Axis::Path, target, &spelt);
            let found = Found::of_flip(Cause::MalformedPath, flip, explanation, vec![Change::Path(spelt)]);
            return self.prove(Claim { fails, ..Claim::of(found, experiment) }).await;
        }
        None
    }

    /// Requests with the same unusual bytes among other letters, if they are refused like the probe: what the letters mean is not the reason.
    async fn refuses_the_bytes(&mut self, prepared: &Prepared, observation: &Observation) -> Option<Vec<Experiment>> {
        let target = with_other_letters(&prepared.request.target);
        if target == prepared.request.target {
            return Some(Vec::new());
        }
        let experiment = of_this_path(prepared, &target);
        let answer = self.ask(experiment.clone()).await?;
        ((answer.kind, answer.status) == (observation.kind, observation.status)).then(|| vec![experiment])
    }

    /// Whether the server refuses the unusual bytes of the probe's path, for which another path succeeds: it answers the same path without them in
    /// another way, and these bytes among other letters like the probe.
    pub(super) async fn is_for_its_bytes(
        &mut self,
        prepared: &Prepared,
        observation: &Observation,
    ) -> Option<Vec<Experiment>> {
        let without = self.ask(of_this_path(prepared, &harmless(&prepared.request.target))).await?;
        match (without.kind, without.status) == (observation.kind, observation.status) {
            true => None,
            false => self.refuses_the_bytes(prepared, observation).await,
        }
    }

    /// Requests with queries that no app knows, unless one succeeds too: then it is not for what the query says.
    pub(super) async fn refused_with_another_query(&mut self, prepared: &Prepared, like: &str) -> Option<Experiment> {
        let unlisted = with_target(prepared, &with_unlisted_query(like));
        let experiment = Experiment::of_strangers(Axis::Path, "the probe with unknown queries", &unlisted);
        (!self.ask(experiment.clone()).await?.answered()).then_some(experiment)
    }

    /// Tries other paths.
    pub(super) async fn another_path(&mut self, prepared: &Prepared) -> Option<Found> {
        let target = prepared.request.target.clone();
        let toggled = match target.strip_suffix('/') {
            Some(without) => without.to_owned(),
            None => format!("{target}/"),
        };
        let known = self.case.known.paths.iter().map(|path| escape_target(path));
        let usual = usual(self.case.which).map(str::to_owned);
        let spelt = [tidied(&target), without_parameters(&target), unescaped(&target), toggled];
        // What another probe asks says less: it may be a page of the server in front of the app.
        let known: Vec<String> = known.collect();
        let mut candidates: Vec<String> = spelt.into_iter().chain(usual).chain(known.iter().cloned()).collect();
        let mut seen = std::collections::BTreeSet::from([target.clone(), String::new()]);
        candidates.retain(|candidate| seen.insert(candidate.clone()));
        for candidate in candidates.into_iter().take(OTHER_PATHS) {
            let experiment = of_this_path(prepared, &candidate);
            if !self.ask(experiment.clone()).await?.answered() {
                continue;
            }
            // An app that answers every path serves none of them as a health path.
            let unserved = of_this_path(prepared, UNSERVED);
            if self.ask(unserved.clone()).await?.answered() {
                return None;
            }
            let is_of_another_probe = known.contains(&candidate);
            let whose = if is_of_another_probe { ", which another probe asks for" } else { "" };
            let explanation = format!("the app does not serve GET {target}, but serves GET {candidate}{whose}");
            let flip = Flip::new(Axis::Path, target, &candidate);
            // Two probes with one path ask the same, which only the author can want.
            let changes = Vec::from_iter((!is_of_another_probe).then_some(Change::Path(candidate)));
            let found = Found::of_flip(Cause::MethodOrPath, flip, explanation, changes);
            return self.prove(Claim { fails: vec![unserved], ..Claim::of(found, experiment) }).await;
        }
        None
    }

    /// Whether 401 is about the client's credentials: it says so (RFC 9110, 11.6.1), every path answers it, or the answer heeds them and not
    /// just any header. An app may pass on what another service answered to it, and a server that asks for a client certificate may mean that.
    pub(super) async fn is_about_credentials(&mut self, prepared: &Prepared, observation: &Observation) -> bool {
        if observation.header("www-authenticate").is_some() {
            return true;
        }
        if !observation.wants_certificate {
            let elsewhere = self.ask(of_this_path(prepared, UNSERVED)).await;
            if elsewhere.is_some_and(|answer| answer.status == observation.status) {
                return true;
            }
        }
        let with = self.ask(with_these(prepared, &CREDENTIALS)).await;
        let unknown = self.ask(with_these(prepared, &UNKNOWN)).await;
        let (Some(with), Some(unknown), Some(again)) = (with, unknown, self.again().await) else { return false };
        let says = |answer: &Observation| (answer.status, answer.body.clone());
        let is_alike = |answer: &Observation| says(answer) == says(observation);
        is_alike(&again) && is_alike(&unknown) && !is_alike(&with)
    }

    /// All headers that an app may require at once; if that helps, bisects them to one. Credentials only where the answer may ask for them.
    pub(super) async fn wanted_header(&mut self, prepared: &Prepared, credentials: bool) -> Option<Found> {
        let missing = |(name, _): &&(&str, &str)| {
            matches!(*name, "Accept" | "User-Agent")
                || !prepared.request.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
        };
        let mut wanted = Vec::new();
        let groups = [(CREDENTIALS, "credentials"), (OF_PROXIES, "those of proxies")];
        for (others, whose) in groups.into_iter().skip(usize::from(!credentials)) {
            let all: Vec<(&str, &str)> = WANTED.iter().chain(&others).filter(missing).copied().collect();
            let change = format!("the probe with {} more headers, among them {whose}", all.len());
            if self.ask(Experiment::new(change, with_headers(prepared, &all))).await?.answered() {
                wanted = all;
                break;
            }
        }
        while wanted.len() > 1 {
            let second = wanted.split_off(wanted.len() / 2);
            if !self.ask(with_these(prepared, &wanted)).await?.answered() {
                wanted = second;
            }
        }
        let (name, value) = *wanted.first()?;
        let experiment = with_these(prepared, &wanted);
        if !self.ask(experiment.clone()).await?.answered() {
            return None;
        }
        let own = prepared.route.address;
        if name == "X-Forwarded-For" && own.ip().is_loopback() {
            // From this machine to itself, both ends have the same address. An app that knows no clients but those of its network refuses it here, too.
            let own = with_these(prepared, &[(name, &own.ip().to_string())]);
            if self.ask(own).await.is_some_and(|answer| !answer.answered()) {
                return None;
            }
        }
        let (cause, flip, explanation) = match (name, &prepared.request.user_agent) {
            ("User-Agent", Some(own)) => {
                let flip = Flip::new(Axis::UserAgent, own, value);
                let text = format!("the app refuses User-Agent {own} and accepts {value}");
                (Cause::HeaderRefused, flip, text)
            }
            ("Accept", _) => {
                let own = prepared.request.accept.clone().unwrap_or_default();
                let text = format!("the app refuses Accept `{own}` and accepts `{value}`");
                (Cause::MissingHeader, Flip::new(Axis::Accept, own, value), text)
            }
            _ => {
                let flip = Flip::new(Axis::Headers, format!("no {name}"), format!("{name}: {value}"));
                let text = format!("the app refuses requests without {name} and accepts them with `{name}: {value}`");
                (Cause::MissingHeader, flip, text)
            }
        };
        let change = Change::Header {
            name: name.to_owned(),
            value: value.to_owned(),
            placeholder: (value.contains("probe") || name == "X-Forwarded-For").then(|| value.to_owned()),
        };
        self.prove_for_other_values(Found::of_flip(cause, flip, explanation, vec![change]), experiment).await
    }
}

/// The probe with these headers as well.
pub(super) fn with_these(prepared: &Prepared, headers: &[(&str, &str)]) -> Experiment {
    let named: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    Experiment::new(format!("the probe with {}", named.join(", ")), with_headers(prepared, headers))
}

pub(super) fn with_headers(prepared: &Prepared, headers: &[(&str, &str)]) -> Prepared {
    let mut changed = prepared.clone();
    for (name, value) in headers {
        changed.request.set(name, (*value).to_owned());
    }
    changed
}

/// The probe with another path.
pub(super) fn of_this_path(prepared: &Prepared, target: &str) -> Experiment {
    Experiment::new(format!("the probe with the path {target}"), with_target(prepared, target))
}

pub(super) fn with_target(prepared: &Prepared, target: &str) -> Prepared {
    let mut changed = prepared.clone();
    changed.request.target = target.to_owned();
    changed.url.target = target.to_owned();
    changed
}

/// Whether two targets differ only in their queries.
pub(super) fn same_path(a: &str, b: &str) -> bool {
    split(a).0 == split(b).0
}

/// Whether a target has bytes that some servers refuse: not allowed by RFC 3986, or needlessly escaped, parameters of the path, or dots that lead
/// to another path.
pub(super) fn is_odd(target: &str) -> bool {
    let (path, _) = split(target);
    let has_dots = path.split('/').any(|part| matches!(part, "." | ".."));
    target.contains('%')
        || path.contains("//")
        || path.contains(';')
        || has_dots
        || target.bytes().any(is_refused_by_some)
}

/// The same path with a query of the same form that no app knows.
pub(super) fn with_unlisted_query(target: &str) -> String {
    let (path, query) = split(target);
    let unlisted = if query.contains('=') { "unlisted=1" } else { "unlisted" };
    format!("{path}?{unlisted}")
}

/// The path without its parameters (RFC 3986, section 3.3): `/health;v=1`.
fn without_parameters(target: &str) -> String {
    let (path, query) = split(target);
    let parts = path.split('/').map(|part| part.split(';').next().unwrap_or_default());
    parts.collect::<Vec<_>>().join("/") + query
}

/// The path that `.` and `..` lead to (RFC 3986, section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." if kept.len() > 1 => drop(kept.pop()),
            ".." => {}
            _ => kept.push(part),
        }
    }
    kept.join("/")
}

/// The path without doubled slashes, without dots that lead elsewhere, and without white space at its end.
fn tidied(target: &str) -> String {
    const SPACES: [&str; 3] = ["%20", "%09", "%0A"];
    let (mut path, query) = split(target);
    while let Some(shorter) = SPACES.iter().find_map(|space| path.strip_suffix(space)) {
        path = shorter;
    }
    let mut tidy = String::with_capacity(target.len());
    for letter in path.chars() {
        if letter != '/' || !tidy.ends_with('/') {
            tidy.push(letter);
        }
    }
    without_dots(&tidy) + query
}

fn is_refused_by_some(byte: u8) -> bool {
    b"{}[]|\\^`\"<>".contains(&byte) || !byte.is_ascii_graphic()
}

fn escaped(target: &str) -> String {
    let bytes = target.as_bytes();
    let is_escape = |at: usize| bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    let is_odd = |(at, byte): (usize, u8)| is_refused_by_some(byte) || byte == b'%' && !is_escape(at);
    let spelt = |(at, byte)| if is_odd((at, byte)) { format!("%{byte:02X}") } else { char::from(byte).to_string() };
    bytes.iter().copied().enumerate().map(spelt).collect()
}

/// Escapes of printable characters as those characters.
fn unescaped(target: &str) -> String {
    replaced(target, |byte| byte.is_ascii_graphic().then(|| char::from(byte).to_string()))
}

/// The same without unusual bytes.
fn harmless(target: &str) -> String {
    let plain = replaced(target, |_| Some("x".to_owned()));
    let is_plain = |c: char| c.is_ascii() && !is_refused_by_some(c as u8) && c != '%';
    plain.chars().map(|c| if is_plain(c) { c } else { 'x' }).collect()
}

/// The same unusual bytes among other letters and digits: in the parts of the path and the values of the query that have such bytes.
fn with_other_letters(target: &str) -> String {
    let (path, query) = split(target);
    let parts = path.split_inclusive('/').chain(query.split_inclusive(['?', '&', '=']));
    parts.map(|part| if is_odd(part) { lettered(part) } else { part.to_owned() }).collect()
}

/// Letters and digits as `x`, but for those of escapes.
fn lettered(part: &str) -> String {
    let mut of_escape = 0;
    let other = |letter: char| {
        let kept = of_escape > 0 || !letter.is_ascii_alphanumeric();
        of_escape = if letter == '%' { 2 } else { i32::max(of_escape - 1, 0) };
        if kept { letter } else { 'x' }
    };
    part.chars().map(other).collect()
}

/// Replaces each escape by the function's result for its byte, if any.
fn replaced(target: &str, of: impl Fn(u8) -> Option<String>) -> String {
    let mut text = String::new();
    let mut rest = target;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let escape = rest.get(at..at + 3);
        let byte = escape.and_then(|escape| u8::from_str_radix(&escape[1..], 16).ok());
        match byte.and_then(&of) {
            Some(plain) => {
                text.push_str(&plain);
                rest = &rest[at + 3..];
            }
            None => {
                text.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_bytes_are_spelt_otherwise() {
        let target = "/a%2Fb[1]?x={y}";
        assert_eq!(escaped(target), "/a%2Fb%5B1%5D?x=%7By%7D");
        assert_eq!(unescaped(target), "/a/b[1]?x={y}");
        assert_eq!(harmless(target), "/axbx1x?x=xyx");
        assert!(is_odd(target) && !is_odd("/health?x=http://a"));
        assert!(is_odd("//health"));
        assert_eq!(with_other_letters("/api/a%2Fb1?of=c%2Cd&at=e&{f}"), "/api/x%2Fxx?of=x%2Cx&at=e&{x}");
        assert_eq!(tidied("//actuator//health/%20%0A?x=http://a%20"), "/actuator/health/?x=http://a%20");
        assert_eq!(unescaped("/%zz%2"), "/%zz%2");
        assert_eq!(escaped("/a?b=100%&c=%25%2"), "/a?b=100%25&c=%25%252");
        assert_eq!(harmless("/a?b=100%&c=%25%2"), "/a?b=100x&c=xx2");
        assert!(is_odd("/x/../health") && is_odd("/health;v=1") && !is_odd("/a..b/.hidden?x=;"));
        assert_eq!(tidied("/a/./x/../health"), "/a/health");
        assert_eq!(tidied("/../health/"), "/health/");
        assert_eq!(without_parameters("/a;b/health;v=1?x=;"), "/a/health?x=;");
        assert_eq!(with_unlisted_query("/health?token=t&x"), "/health?unlisted=1");
        assert_eq!(with_unlisted_query("/health?full"), "/health?unlisted");
    }
}
