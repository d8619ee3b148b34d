//! Experiments with the protocol: TLS, HTTP/2, gRPC, a PROXY header, a server name.

use std::time::Duration;

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Flip},
    observation::{Kind, Observation},
    protocol::Protocol,
};
use tokio::time::sleep;

use super::{
    Claim, Found,
    differences::{SAID_TLS, of_this_host, similar, with_host},
    fix::{Change, scheme},
    lab::{Experiment, Lab, Sends},
    path::{UNSERVED, of_this_path, with_target, with_these},
    rounds::STARTED,
    words::{is_like_a_response, of_nothing},
};
use crate::{
    greeting,
    http::{Route, host_of},
    probe::Prepared,
    request::authority,
};

/// A PROXY header of version 1 (the PROXY protocol's specification, section 2.1), with meaningless addresses.
const PROXY_1: &[u8] = b"PROXY TCP4 127.0.0.1 127.0.0.1 40000 80\r\n";
/// One of version 2 (section 2.2): the signature, PROXY over TCP and IPv4, twelve bytes of the same addresses and ports.
const PROXY_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\x9c\x40\0\x50";

/// The pause before a refused greeting is repeated.
const AGAIN: Duration = Duration::from_millis(20);

/// What resembles a PROXY header and is none: a server that answers behind it, too, answers anything, for example another path.
pub(super) fn control(experiment: &Experiment) -> Option<Experiment> {
    let mut spoilt = experiment.http()?.clone();
    let signature = if spoilt.route.preamble.starts_with(b"PROXY") { 2 } else { PROXY_2.len() - 19 };
    *spoilt.route.preamble.get_mut(signature)? = b'X';
    Some(Experiment::new(format!("{}, spoilt", experiment.change), spoilt))
}

impl Lab<'_> {
    /// The same request in other protocols, in parallel because each may time out.
    pub(super) async fn another_protocol(&mut self, prepared: &Prepared, observation: &Observation) -> Option<Found> {
        let mut variants = variants(prepared);
        if observation.kind == Kind::Response {
            // A server that expects a PROXY header does not answer without one.
            variants.retain(|(_, found)| found.cause != Cause::ProxyProtocolExpected);
        }
        let answers = self.ask_all(variants.iter().map(|(variant, _)| variant.clone()).collect()).await;
        if let Some(hit) = answers.iter().position(Observation::answered) {
            return self.of_protocol(variants.swap_remove(hit)).await;
        }
        let speaks_http2 =
            |answer: &Observation| answer.spoke == Some(Protocol::Http2) || answer.http2 && answer.status.is_some();
        let plain = !prepared.url.is_tls();
        let refuses = |answer: &&Observation| answer.wants_certificate && answer.tls_alert.is_some();
        if let Some(secured) = answers.iter().find(refuses).filter(|_| plain) {
            let alert = secured.tls_alert.clone().unwrap_or_default();
            let text = format!(
                "the port speaks TLS and asks for a client certificate: without one it ends the connection ({alert})"
            );
            let always = self.keeps_failing().await;
            return always.then(|| Found::of_everyone(Cause::ClientCertificateRequired, text));
        }
        if plain && (speaks_http2(observation) || answers.iter().any(speaks_http2)) {
            return self.health(prepared, observation).await;
        }
        // Inside TLS the server chooses HTTP/2, and does not answer a GET.
        let picks_http2 = |answer: &Observation| answer.tls_ms.is_some() && answer.http2;
        if picks_http2(observation) || answers.iter().any(picks_http2) {
            return self.secured_health(prepared).await;
        }
        None
    }

    /// The same request in another protocol succeeds, and not for another reason.
    async fn of_protocol(&mut self, (experiment, found): (Experiment, Found)) -> Option<Found> {
        let fails = Vec::from_iter(control(&experiment));
        for control in &fails {
            if self.ask(control.clone()).await?.answered() {
                return None;
            }
        }
        self.prove(Claim { fails, ..Claim::of(found, experiment) }).await
    }

    /// The port speaks HTTP/2 over TLS, which gRPC's servers do.
    pub(super) async fn secured_health(&mut self, prepared: &Prepared) -> Option<Found> {
        let sends = Sends::Health { route: prepared.route.clone(), secured: true, authority: None };
        let experiment = Experiment::new("a grpc probe of the same port over TLS", sends);
        if self.ask(experiment.clone()).await?.kind != Kind::Health {
            return None;
        }
        let text = "the port speaks gRPC over TLS instead of HTTP";
        let flip = Flip::new(Axis::Protocol, "HTTP", "gRPC over TLS");
        self.prove_flip(Cause::GrpcOverTls, flip, text, Vec::new(), experiment).await
    }

    /// The port speaks HTTP/2: asks gRPC's health service.
    async fn health(&mut self, prepared: &Prepared, observation: &Observation) -> Option<Found> {
        let route = Route { http2: true, ..prepared.route.clone() };
        let sends = Sends::Health { route, secured: false, authority: None };
        let experiment = Experiment::new("a grpc probe of the same port", sends);
        let health = self.ask(experiment.clone()).await?;
        if health.kind != Kind::Health || self.answers_http(prepared, observation).await {
            return None;
        }
        let says = health.grpc.as_deref().unwrap_or_default();
        let explanation = format!("the port speaks gRPC instead of HTTP/1.1; its health service reports {says}");
        let flip = Flip::new(Axis::Protocol, "HTTP/1.1", "gRPC");
        // A probe cannot ask a missing health service either.
        let changes = Vec::from_iter((says != "Unimplemented").then_some(Change::Grpc));
        self.prove_flip(Cause::Http1ToHttp2Only, flip, explanation, changes, experiment).await
    }

    /// The answer is not an HTTP response. Its first bytes, or the answers to other protocols' greetings, may identify the
    /// protocol.
    pub(super) async fn not_http(&mut self, prepared: &Prepared, observation: &Observation) -> Option<Found> {
        let explained = |what: &str| format!("the port speaks {what} instead of HTTP");
        if let Some(spoke) = observation.spoke.filter(|spoke| !matches!(spoke, Protocol::Http2 | Protocol::Tls)) {
            let always = self.keeps_failing().await;
            return always.then(|| Found::of_everyone(Cause::NotHttp, explained(&spoke.to_string())));
        }
        let answer = self.ask(greetings(prepared, greeting::greeted())).await?;
        // What repeats everything repeats a greeting too.
        let echoes = observation.body.starts_with("GET ");
        if let Some(spoke) = answer.spoke.filter(|_| !echoes) {
            if self.answers_http(prepared, observation).await {
                return None;
            }
            let flip = Flip::new(Axis::Protocol, "HTTP", spoke.to_string());
            let text = explained(&spoke.to_string());
            let found = || Found::of_flip(Cause::NotHttp, flip.clone(), text.clone(), vec![Change::TcpSocket]);
            let greeting = greetings(prepared, vec![spoke]);
            return match self.prove(Claim::of(found(), greeting.clone())).await {
                None => self.understands(&greeting, spoke).await.then(found),
                proven => proven,
            };
        }
        let begins = observation.body.as_str();
        // TLS and HTTP/2 have causes of their own.
        let is_unknown = observation.kind == Kind::Malformed && observation.spoke.is_none();
        let is_other = is_unknown && !begins.is_empty() && !is_like_a_response(observation);
        (is_other && self.keeps_failing().await).then(|| {
            let text = format!("the port does not speak HTTP: its answer begins with `{}`", cut(begins));
            Found::of_everyone(Cause::NotHttp, text)
        })
    }

    /// Whether the port answers HTTP after all, to another path in another way: it speaks several protocols, and the path is the reason.
    async fn answers_http(&mut self, prepared: &Prepared, observation: &Observation) -> bool {
        let Some(elsewhere) = self.ask(of_this_path(prepared, UNSERVED)).await else { return false };
        let answers = elsewhere.status.is_some() && elsewhere.status != observation.status;
        if answers {
            let text = format!(
                "{}, but another path gets {}: the port speaks HTTP as well as another protocol",
                of_nothing(observation, &[]),
                elsewhere.outcome()
            );
            self.remark = Some((text, "find out from the app's log why it does not answer this path"));
        }
        answers
    }

    /// Whether a server that refuses some connections, for example while it serves another, understands a greeting again and again.
    async fn understands(&mut self, greeting: &Experiment, protocol: Protocol) -> bool {
        let Some(index) = self.index_of(&greeting.sends) else { return false };
        let mut understood = 0;
        while understood < STARTED && !self.is_over() {
            match self.repeat(index).await.spoke == Some(protocol) {
                true => understood += 1,
                false => sleep(AGAIN).await,
            }
        }
        understood == STARTED
    }

    /// The probe times out: tries single changes in parallel while the probe is repeated.
    pub(super) async fn of_silence(
        &mut self,
        prepared: &Prepared,
        in_time: &Observation,
        late: &Observation,
    ) -> Option<Found> {
        if in_time.kind == Kind::Truncated {
            return self.of_a_body_that_stays_open(prepared, in_time, late).await;
        }
        let silence = std::mem::take(&mut self.silence);
        self.remark = match late.kind {
            _ if self.wavering.is_some() => None,
            Kind::Response if !late.success() => Some(of_a_late_failure(late)),
            _ => in_time.connect_ms.is_some().then(|| of_another_path(silence.last())),
        };
        let hit = silence.iter().position(Observation::answered);
        let mut variants = variants(prepared);
        if let Some(index) = hit.filter(|index| *index < variants.len()) {
            return self.of_protocol(variants.swap_remove(index)).await;
        }
        if let Some(host) = self.hosts(prepared).into_iter().next().filter(|_| hit == Some(variants.len())) {
            return self.of_host(prepared, host, None).await;
        }
        if silence.iter().any(|answer| answer.spoke == Some(Protocol::Http2)) {
            return self.health(prepared, in_time).await;
        }
        return_first!(self.refused_late(prepared.clone().into(), late));
        self.not_http(prepared, in_time).await
    }

    /// Sends variants that may get an answer; see [`Lab::of_silence`].
    pub(super) fn silence_requests(&self, prepared: &Prepared) -> Vec<Experiment> {
        // The first other Host, then what tells a list from a rule.
        let first = self.hosts(prepared).into_iter().next().unwrap_or_default();
        let stranger = self.stranger(prepared, &first);
        let hosts = [first, similar(&prepared.request.host)].into_iter();
        variants(prepared)
            .into_iter()
            .map(|(variant, _)| variant)
            .chain(hosts.map(|host| of_this_host(prepared, &host, None)))
            .chain([stranger, greetings(prepared, greeting::greeted())])
            // A plain port to which a redirect leads may wait for more than a handshake.
            .chain((!prepared.url.is_tls()).then(|| with_these(prepared, &[SAID_TLS])))
            // The last: it tells a path that waits from an app that does.
            .chain([of_this_path(prepared, UNSERVED)])
            .collect()
    }

    /// Server names for the TLS handshake: those of the certificate and of the app's Services.
    pub(super) async fn server_name(&mut self, prepared: &Prepared, observation: &Observation) -> Option<Found> {
        let works = self.case.known.works.as_ref().map(|works| works.host.clone());
        let said = [Some(prepared.request.host.clone()), works].into_iter().flatten();
        let mut names: Vec<String> = said.map(|host| host_of(&host)).collect();
        names.extend(observation.certificate_names.iter().cloned());
        names.extend(self.case.known.services.iter().cloned());
        names.push("localhost".to_owned());
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| is_dns_name(name) && seen.insert(name.clone()));
        for name in names.into_iter().take(2) {
            let route = Route { server_name: Some(name.clone()), ..prepared.route.clone() };
            let alone = Prepared { route, ..prepared.clone() };
            let host = authority(&name, self.port());
            let both = with_host(&alone, &host);
            let experiments = vec![
                Experiment::new(format!("the probe with server name {name}"), alone),
                Experiment::new(format!("the probe with server name and Host {name}"), both),
            ];
            let answers = self.ask_all(experiments.clone()).await;
            let Some(index) = answers.iter().position(Observation::answered) else { continue };
            let mut fails = Vec::new();
            if index == 1 {
                // If this Host suffices, Host is the cause.
                let host_alone = of_this_host(prepared, &host, None);
                if self.ask(host_alone.clone()).await?.answered() {
                    return self.of_host(prepared, host, None).await;
                }
                fails.push(host_alone);
            }
            let explanation = format!(
                "the server refuses TLS clients without a server name (SNI) and accepts those that send \
                {name}"
            );
            let flip = Flip::new(Axis::ServerName, "none", name);
            let found = Found::of_flip(Cause::SniRequired, flip, explanation, Vec::new());
            return self.prove(Claim { found, fails, succeeds: vec![experiments[index].clone()] }).await;
        }
        // The alert is about the server name (RFC 6066, section 3), and the probe has none.
        let unnamed =
            prepared.route.server_name.is_none() && observation.tls_alert.as_deref() == Some("unrecognized name");
        (unnamed && self.keeps_failing().await).then(|| {
            let text = "the server refuses TLS clients without a server name (SNI) with the alert `unrecognized name`";
            Found::of_everyone(Cause::SniRequired, text)
        })
    }

    /// The probe's outcome with the alert, which is lost where the server resets the connection before it is read.
    pub(super) async fn with_alert(&mut self, observation: &Observation) -> Observation {
        let mut told = observation.clone();
        for _ in 0..STARTED {
            if told.tls_alert.is_some() {
                break;
            }
            match self.again().await {
                Some(again) => told = again,
                None => break,
            }
        }
        told
    }

    /// The server requested a client certificate. If the app accepts any, a self-signed one shows whether it insists on one.
    pub(super) async fn any_certificate(&mut self, prepared: &Prepared, observation: &Observation) -> Option<Found> {
        let status = observation.status.filter(|_| observation.wants_certificate)?;
        let with_one = with_certificate(prepared);
        if !self.ask(with_one.clone()).await?.answered() {
            self.remark = Some((
                format!("the app answers {status}; the server asks for a client certificate, and a kubelet has none"),
                "check in the app's log whether it refuses clients without a certificate; serve the health path to them, on a separate port if \
                 need be",
            ));
            return None;
        }
        let text = format!(
            "the app answers {status} to clients without a certificate and accepts those with a self-signed one"
        );
        let flip = Flip::new(Axis::Certificate, "none", "self-signed");
        self.prove_flip(Cause::ClientCertificateRequired, flip, text, Vec::new(), with_one).await
    }

    /// The server requested a client certificate, and ends the handshake or refuses the request without one.
    pub(super) async fn client_certificate(&mut self, observation: &Observation) -> Option<Found> {
        let refuses = match observation.kind {
            Kind::Tls => observation.tls_alert.is_some(),
            // A 400 may be a page of the server that ends TLS, and says so.
            Kind::Response => match observation.status {
                Some(400) => observation.body.to_ascii_lowercase().contains("certificate"),
                status => matches!(status, Some(495 | 496)),
            },
            _ => false,
        };
        if !observation.wants_certificate || !refuses {
            return None;
        }
        if let (Some(status), Some(prepared)) = (observation.status, self.prepared.clone()) {
            // A server that insists on a certificate, and answers instead of ending the handshake, answers a wrong one in the same way. The
            // app behind a server that does not insist answers in its own.
            let with_one = self.ask(with_certificate(&prepared)).await?;
            if form(&with_one) != form(observation) {
                return None;
            }
            // It refuses every path, too; the app knows some.
            let change = format!("the probe for {UNSERVED}");
            let elsewhere = self.ask(Experiment::new(change, with_target(&prepared, UNSERVED))).await?;
            if elsewhere.status != Some(status) || self.another_client_succeeded() {
                return None;
            }
        }
        if !self.keeps_failing().await {
            return None;
        }
        let how = match &observation.tls_alert {
            Some(alert) => format!("ends the connection without one: {alert}"),
            None => format!("answers {} without one", observation.status.unwrap_or_default()),
        };
        let text = format!("the server asks for a client certificate and {how}");
        Some(Found::of_everyone(Cause::ClientCertificateRequired, text))
    }
}

/// The probe with a self-signed client certificate.
fn with_certificate(prepared: &Prepared) -> Experiment {
    let route = Route { certificate: true, ..prepared.route.clone() };
    Experiment::new("the probe with a client certificate", Prepared { route, ..prepared.clone() })
}

/// The status and the headers of an answer, but for those that tell the time or the length.
fn form(answer: &Observation) -> (Option<u16>, Vec<(String, String)>) {
    let varies = |name: &str| ["date", "content-length"].contains(&name);
    let headers = answer.headers.iter().map(|header| (header.name.to_ascii_lowercase(), header.value.clone()));
    (answer.status, headers.filter(|(name, _)| !varies(name)).collect())
}

/// An answer that comes after the timeout and is a failure as well.
fn of_a_late_failure(late: &Observation) -> (String, &'static str) {
    (
        format!("no answer arrives within the timeout; the late one is a failure, too ({})", late.summary()),
        "find out from the app's log why it refuses this request, and why so late; a longer timeout does not help",
    )
}

/// What the answer for a path that no app serves says of an app that is silent, and the remedy.
fn of_another_path(answer: Option<&Observation>) -> (String, &'static str) {
    let silent = "the connection is accepted, but no answer arrives within the timeout";
    match answer.filter(|answer| answer.kind == Kind::Response) {
        Some(answer) => (
            format!("{silent}; another path is answered meanwhile ({})", answer.summary()),
            "find out what this path waits for: a lock, a pool's connection, another service",
        ),
        None => (
            format!("{silent}; no other path is answered meanwhile either"),
            "find out why the app does not answer: a process that is stopped or waits for a lock, or workers that are all busy",
        ),
    }
}

fn greetings(prepared: &Prepared, of: Vec<Protocol>) -> Experiment {
    let names: Vec<String> = of.iter().map(Protocol::to_string).collect();
    let sends = Sends::Greetings { route: prepared.route.clone(), of };
    Experiment::new(format!("greetings in {}", names.join(", ")), sends)
}

/// The beginning of a text, as part of a sentence.
fn cut(text: &str) -> &str {
    text.char_indices().nth(60).map_or(text, |(end, _)| &text[..end])
}

/// The cause where a request succeeds over TLS, or only without, and its words.
pub(super) fn of_tls(secured: bool) -> (Cause, &'static str) {
    match secured {
        true => (Cause::PlainToTls, "the port speaks TLS and the probe does not"),
        false => (Cause::TlsToPlain, "the probe speaks TLS and the port does not"),
    }
}

/// The probe in other protocols, and what a success of each means.
fn variants(prepared: &Prepared) -> Vec<(Experiment, Found)> {
    let by = |route| Prepared { route, ..prepared.clone() };
    let proxy = |header: &[u8], version: u8| {
        let name = format!("a PROXY header of version {version}");
        let sent = by(Route { preamble: header.to_vec(), ..prepared.route.clone() });
        let text = format!("the server expects {name} before the request");
        let flip = Flip::new(Axis::ProxyHeader, "none", &name);
        let found = Found::of_flip(Cause::ProxyProtocolExpected, flip, text, Vec::new());
        (Experiment::new(format!("the probe behind {name}"), sent), found)
    };
    let proxies = [proxy(PROXY_1, 1), proxy(PROXY_2, 2)];
    let (secured, change) = match prepared.url.is_tls() {
        true => (false, "the probe without TLS"),
        false => (true, "the probe over TLS"),
    };
    let (cause, text) = of_tls(secured);
    let flip = Flip::new(Axis::Scheme, scheme(!secured), scheme(secured));
    let found = Found::of_flip(cause, flip, text, vec![Change::Scheme(secured)]);
    let sent = Prepared { url: prepared.url.over_tls(secured), ..prepared.clone() };
    let other = (Experiment::new(change, sent), found);
    if !secured {
        return [other].into_iter().chain(proxies).collect();
    }
    let flip = Flip::new(Axis::Protocol, "HTTP/1.1", "HTTP/2");
    let text = "the port speaks HTTP/2 instead of HTTP/1.1";
    let found = Found::of_flip(Cause::Http1ToHttp2Only, flip, text, Vec::new());
    let http2 = by(Route { http2: true, ..prepared.route.clone() });
    let http2 = (Experiment::new("the probe over HTTP/2", http2), found);
    // A server that reads lines waits for the end of a handshake's: the last.
    proxies.into_iter().chain([http2, other]).collect()
}

fn is_dns_name(name: &str) -> bool {
    !name.starts_with("*.")
        && name.parse::<std::net::IpAddr>().is_err()
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}
