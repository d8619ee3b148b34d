//! Experiments with what is spoken: TLS or not, HTTP/2, gRPC, a PROXY header, a server name.

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Flip, PLAIN},
    observation::{Kind, Observation},
};

use super::{Found, differences::with_host, fix::Change, lab::Lab};
use crate::{
    http::{self, Url, Way},
    probe::Prepared,
    request::authority,
};

/// A PROXY header of version 1 (the PROXY protocol's specification, section 2.1), with addresses that mean nothing.
const PROXY_1: &[u8] = b"PROXY TCP4 127.0.0.1 127.0.0.1 40000 80\r\n";
/// One of version 2 (section 2.2): the signature, PROXY over TCP and IPv4, twelve bytes of the same addresses and ports.
const PROXY_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\x9c\x40\0\x50";

/// A change of what is spoken, and its name.
struct Variant {
    change: String,
    prepared: Prepared,
    cause: Cause,
    flip: Flip,
    fix: Option<Change>,
}

impl Lab<'_> {
    /// The same request in other protocols, side by side, since each may meet silence.
    pub(super) async fn another_protocol(&mut self, prepared: &Prepared, observation: &Observation) -> Option<Found> {
        let mut variants = variants(prepared);
        if observation.kind == Kind::Response {
            // What wants a PROXY header does not answer without one.
            variants.retain(|variant| variant.cause != Cause::ProxyProtocolExpected);
        }
        let requests = variants.iter().map(|variant| (variant.change.clone(), variant.prepared.clone())).collect();
        let answers = self.send_all(requests).await;
        let hit = variants.into_iter().zip(&answers).find(|(_, answer)| answer.success());
        if let Some((variant, _)) = hit {
            let holds = self.holds(&variant.change, &variant.prepared).await;
            return holds.then(|| variant.found());
        }
        let speaks_http2 = answers.iter().any(|answer| answer.http2 && answer.status.is_some());
        if prepared.url.scheme == "https" || !speaks_http2 {
            return None;
        }
        let way = Way { http2: true, ..prepared.way.clone() };
        let health = self.send_grpc(&way).await?;
        (health.kind == Kind::Health).then_some(())?;
        if self.again().await?.success() {
            return None;
        }
        let serves = health.success();
        let explanation = match serves {
            true => "the port does not answer HTTP/1.1, and gRPC's health service on it says SERVING".to_owned(),
            false => format!(
                "the port does not answer HTTP/1.1, and over HTTP/2 gRPC answers {}",
                health.grpc.unwrap_or_default()
            ),
        };
        let flip = Flip { axis: Axis::Protocol, from: "HTTP/1.1".to_owned(), to: "gRPC".to_owned() };
        let change = serves.then_some(Change::Grpc);
        Some(Found { cause: Cause::Http1ToHttp2Only, flip: Some(flip), confirmed: true, explanation, change })
    }

    /// The probe meets silence: what it meets with one change, tried side by side while the probe is tried again.
    pub(super) async fn of_silence(&mut self, prepared: &Prepared, in_time: &Observation) -> Option<Found> {
        if in_time.kind == Kind::Truncated {
            let explanation = "the response stops before it is whole, and the connection stays open".to_owned();
            let cause = Cause::TruncatedResponse;
            return Some(Found { cause, flip: None, confirmed: false, explanation, change: None });
        }
        let silence = std::mem::take(&mut self.silence);
        let (index, _) = silence.iter().enumerate().find(|(_, answer)| answer.success())?;
        if in_time.success() {
            return None;
        }
        let mut changes = silence_variants(prepared, &self.hosts(prepared));
        (index < changes.len()).then(|| changes.swap_remove(index).found())
    }

    /// Sends the variants that may break a silence; see [`Lab::of_silence`].
    pub(super) fn silence_requests(&self, prepared: &Prepared) -> Vec<(String, Prepared)> {
        let variants = silence_variants(prepared, &self.hosts(prepared));
        variants.into_iter().map(|variant| (variant.change, variant.prepared)).collect()
    }

    /// A name in the TLS handshake: those of the certificate, and those under which the app is called.
    pub(super) async fn server_name(&mut self, prepared: &Prepared) -> Option<Found> {
        let declared = prepared.request.host.split(':').next().unwrap_or_default().to_owned();
        let mut names = vec![declared];
        names.extend(self.names_in_certificate(prepared).await);
        names.extend(self.case.known.services.iter().cloned());
        names.push("localhost".to_owned());
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| is_dns_name(name) && seen.insert(name.clone()));
        for name in names.into_iter().take(2) {
            let alone = named(prepared, &name);
            let both = with_host(&alone, &authority(&name, self.port()));
            let changes = [
                (format!("the probe with server name {name}"), alone),
                (format!("the probe with server name and Host {name}"), both),
            ];
            let answers = self.send_all(changes.to_vec()).await;
            let Some(index) = answers.iter().position(Observation::success) else {
                continue;
            };
            let (change, prepared) = &changes[index];
            if !self.holds(change, prepared).await {
                return None;
            }
            if index == 1 {
                // With this Host alone it is a matter of Host.
                let host_only = Prepared { way: self.prepared.clone()?.way, ..prepared.clone() };
                if self.send(&format!("the probe with Host {name}"), host_only).await?.success() {
                    return None;
                }
            }
            let explanation =
                format!("the server refuses TLS clients that ask for no name and takes those that ask for {name}");
            let flip = Flip { axis: Axis::ServerName, from: "none".to_owned(), to: name };
            let cause = Cause::SniRequired;
            return Some(Found { cause, flip: Some(flip), confirmed: true, explanation, change: None });
        }
        None
    }

    /// The names in the server's certificate, which it may show to anybody.
    async fn names_in_certificate(&mut self, prepared: &Prepared) -> Vec<String> {
        let work = async {
            let wire = http::connect(&prepared.way, &prepared.url.dialled()).await.ok()?;
            Some(http::names_in_certificate(wire, &prepared.url.host).await)
        };
        let names = tokio::time::timeout(self.timeout(), work).await.ok().flatten().unwrap_or_default();
        let text =
            format!("the certificate names {}", if names.is_empty() { "nothing".to_owned() } else { names.join(", ") });
        self.note(
            &format!("a look at the certificate: {text}"),
            &Observation::new(e2e_kubelet::observation::Verdict::NotMeasured, Kind::Connected, ""),
        );
        names
    }
}

impl Variant {
    fn found(self) -> Found {
        let Flip { axis, from, to } = &self.flip;
        let explanation = match self.cause {
            Cause::PlainToTls => "the port speaks TLS and the probe does not".to_owned(),
            Cause::TlsToPlain => "the probe speaks TLS and the port does not".to_owned(),
            Cause::ProxyProtocolExpected => format!("the server wants {to} in front of the request"),
            Cause::HostAllowList => format!("the app refuses Host {from} and accepts {to}"),
            _ => format!("it fails with {axis} {from} and succeeds with {to}"),
        };
        Found { cause: self.cause, flip: Some(self.flip), confirmed: true, explanation, change: self.fix }
    }
}

fn variants(prepared: &Prepared) -> Vec<Variant> {
    let variant = |change: &str, prepared, cause, axis, from: &str, to: &str, fix| {
        let flip = Flip { axis, from: from.to_owned(), to: to.to_owned() };
        Variant { change: format!("the probe {change}"), prepared, cause, flip, fix }
    };
    let to = |scheme: &str| Url { scheme: scheme.to_owned(), ..prepared.url.clone() };
    if prepared.url.scheme == "https" {
        let plain = Prepared { url: to("http"), ..prepared.clone() };
        let fix = Some(Change::Scheme("HTTP"));
        return vec![variant("without TLS", plain, Cause::TlsToPlain, Axis::Scheme, "HTTPS", "HTTP", fix)];
    }
    let proxy = |header: &[u8], version: u8| {
        let way = Way { preamble: header.to_vec(), ..prepared.way.clone() };
        let name = format!("a PROXY header of version {version}");
        let prepared = Prepared { way, ..prepared.clone() };
        variant(
            &format!("behind {name}"),
            prepared,
            Cause::ProxyProtocolExpected,
            Axis::ProxyHeader,
            "none",
            &name,
            None,
        )
    };
    let secured = Prepared { url: to("https"), ..prepared.clone() };
    let way = Way { http2: true, ..prepared.way.clone() };
    let http2 = Prepared { way, ..prepared.clone() };
    vec![
        variant("over TLS", secured, Cause::PlainToTls, Axis::Scheme, "HTTP", "HTTPS", Some(Change::Scheme("HTTPS"))),
        proxy(PROXY_1, 1),
        proxy(PROXY_2, 2),
        variant("over HTTP/2", http2, Cause::Http1ToHttp2Only, Axis::Protocol, "HTTP/1.1", "HTTP/2", None),
    ]
}

/// The protocols, and the first other Host.
fn silence_variants(prepared: &Prepared, hosts: &[String]) -> Vec<Variant> {
    let mut all = variants(prepared);
    if let Some(host) = hosts.first() {
        let flip = Flip { axis: Axis::Host, from: prepared.request.host.clone(), to: host.clone() };
        all.push(Variant {
            change: format!("{PLAIN} with Host {host}"),
            prepared: with_host(prepared, host),
            cause: Cause::HostAllowList,
            flip,
            fix: Some(Change::Host(host.clone())),
        });
    }
    all
}

fn named(prepared: &Prepared, name: &str) -> Prepared {
    let way = Way { server_name: Some(name.to_owned()), ..prepared.way.clone() };
    Prepared { way, ..prepared.clone() }
}

fn is_dns_name(name: &str) -> bool {
    !name.starts_with("*.")
        && name.parse::<std::net::IpAddr>().is_err()
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}
