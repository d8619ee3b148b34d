//! Experiments with a grpc probe: another service, TLS, more time. A part of [`Lab`].

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Flip},
    observation::{Kind, Observation},
};
use e2e_plan::{ProbeAction, ProbeKind};

use super::{
    Found,
    fix::Change,
    lab::{Experiment, Lab, Sends},
    time::patiently,
};
use crate::request::authority;

impl Lab<'_> {
    /// A grpc probe that failed, answered or not.
    pub(super) async fn of_grpc(&mut self, service: &str, port: u16, observation: &Observation) -> Option<Found> {
        let says = observation.grpc.as_deref().unwrap_or_default();
        if matches!(says, "Unimplemented" | "Unauthenticated" | "NotFound" | "PermissionDenied") {
            self.remark = self.of_authority(says, port).await;
            if self.remark.is_some() {
                return None;
            }
        }
        let (cause, text) = match says {
            "NOT_SERVING" | "UNKNOWN" => (Cause::Unavailable, format!("the app reports {says} for {}", named(service))),
            "SERVICE_UNKNOWN" | "NotFound" => {
                let which = match service {
                    "" => "the server as a whole, about which a probe without a service asks",
                    service => service,
                };
                (Cause::UnknownService, format!("the health service does not know {which}"))
            }
            "Unimplemented" => (Cause::NoHealthService, "the server speaks gRPC but has no health service".to_owned()),
            "Unauthenticated" => {
                let text = "the health service requires credentials, and a kubelet's grpc probe sends none";
                (Cause::MissingHeader, text.to_owned())
            }
            // It speaks HTTP/2, and its answer is still to come.
            "" if observation.kind == Kind::Timeout && observation.http2 => return self.late_health().await,
            "" => return self.secured(port).await,
            _ => return None,
        };
        let is_refusal = cause == Cause::Unavailable;
        let kills = self.case.which != ProbeKind::Readiness;
        let is_of_service = !service.is_empty() && (cause == Cause::UnknownService || is_refusal && kills);
        return_first!(is_of_service => self.without_service(cause, service, port, &text));
        self.unless_it_starts(Found::of_everyone(cause, text), is_refusal).await
    }

    async fn late_health(&mut self) -> Option<Found> {
        let action = Sends::Action(self.case.probe.action.clone());
        let probe = patiently(action.clone());
        let late = self.exchange(&probe.sends, self.patience()).await;
        self.note(probe, late.clone());
        match self.too_slow(&late).await {
            Some(found) => Some(found),
            None => self.refused_late(action, &late).await,
        }
    }

    /// The port speaks no HTTP/2 without TLS.
    async fn secured(&mut self, port: u16) -> Option<Found> {
        let experiment = Experiment::new("the probe over TLS", Sends::health(self.target.address(port)?, true, None));
        let answer = self.ask(experiment.clone()).await?;
        if answer.wants_certificate && answer.kind != Kind::Health {
            let text = "the port speaks TLS and requires a client certificate; a kubelet's grpc probe supports neither";
            let always = self.keeps_failing().await;
            return always.then(|| Found::of_everyone(Cause::ClientCertificateRequired, text));
        }
        if answer.kind != Kind::Health {
            self.remark = self.of_plain_http(port).await;
            return None;
        }
        let text = "the port speaks gRPC over TLS, which a kubelet's grpc probe does not support";
        self.prove_flip(Cause::GrpcOverTls, Flip::new(Axis::Scheme, "plain", "TLS"), text, Vec::new(), experiment).await
    }

    /// A server of several virtual hosts picks one by the authority, which is the pod's address in a probe.
    async fn of_authority(&mut self, says: &str, port: u16) -> Option<(String, &'static str)> {
        let host = authority("localhost", port);
        let sends = Sends::health(self.target.address(port)?, false, Some(host.clone()));
        let answer = self.ask(Experiment::new(format!("the probe with authority {host}"), sends)).await?;
        let other = answer.grpc.as_deref().filter(|other| *other != says)?;
        let text =
            format!("the server answers {says} to the authority of a probe, the pod's address, and {other} to {host}");
        Some((text, "let the server answer the health service for every authority; a grpc probe cannot set one"))
    }

    /// The port may speak HTTP/1.1, which needs another kind of probe.
    async fn of_plain_http(&mut self, port: u16) -> Option<(String, &'static str)> {
        let (path, headers) = ("/".to_owned(), Vec::new());
        let action = ProbeAction::HttpGet { https: false, host: None, port, path, headers };
        let answer = self.ask(Experiment::new("an httpGet probe of the same port", Sends::Action(action))).await?;
        let remedy = "use an httpGet probe for this port, or point the grpc probe at the port of the gRPC server";
        let text = format!("port {port} speaks HTTP/1.1 instead of gRPC");
        (answer.kind == Kind::Response && !answer.http2).then_some((text, remedy))
    }

    /// The server as a whole may be SERVING.
    async fn without_service(&mut self, cause: Cause, service: &str, port: u16, text: &str) -> Option<Found> {
        let action = ProbeAction::Grpc { port, service: String::new() };
        let experiment = Experiment::new("the probe without a service", Sends::Action(action));
        if !self.ask(experiment.clone()).await?.answered() {
            return None;
        }
        let text = format!("{text}, and reports SERVING for the server as a whole");
        let flip = Flip::new(Axis::Service, service, "");
        self.prove_flip(cause, flip, text, vec![Change::Service(String::new())], experiment).await
    }
}

fn named(service: &str) -> String {
    if service.is_empty() { "the server as a whole".to_owned() } else { format!("the service {service}") }
}
