//! The order of the search: the experiments for each observation. Main function: [`search`].

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Flip},
    observation::{Kind, Observation},
};
use e2e_plan::ProbeAction;

use super::{
    Claim, Found,
    fix::Change,
    lab::{Experiment, Lab, Sends},
};
use crate::{http::Route, probe::Prepared};

/// Sends the probe and searches for the cause of its failure.
pub(super) async fn search(lab: &mut Lab<'_>) -> (Observation, Option<Found>) {
    let (observation, found) = match lab.prepared.clone() {
        Some(prepared) => of_http(lab, &prepared).await,
        None => of_action(lab).await,
    };
    if found.is_some() {
        return (observation, found);
    }
    if !observation.success() {
        lab.repeat_while_quick().await;
    }
    match lab.of_wavering().await {
        // A rate limit that only the doctor's requests reach is not a failure of the probe.
        Some((_, found)) if observation.success() && found.cause == Cause::RateLimited => (observation, None),
        Some((failure, found)) if observation.success() => (failure, Some(found)),
        Some((_, found)) => (observation, Some(found)),
        None => (observation, None),
    }
}

async fn of_http(lab: &mut Lab<'_>, prepared: &Prepared) -> (Observation, Option<Found>) {
    let (observation, late) = lab.probe_patiently(prepared).await;
    let found = match (late, observation.kind) {
        (None, _) if observation.answered() => {
            lab.is_steady().await;
            None
        }
        (None, _) if observation.success() => lab.redirect_that_hides(prepared, &observation).await,
        (Some(_), _) if lab.has_wavered() => match lab.has_recovered().await {
            // Only the first request hit a cold app.
            Some(now) => return (now, None),
            None => None,
        },
        (Some(late), _) => {
            let mut found = lab.too_slow(&late).await;
            if found.is_none() && !observation.followed.is_empty() {
                found = lab.redirect_to_nothing(prepared, &observation).await;
            }
            match found {
                Some(found) => Some(found),
                None => lab.of_silence(prepared, &observation, &late).await,
            }
        }
        (None, _) => of_failure(lab, prepared, &observation).await,
    };
    (observation, found)
}

/// The probe failed within its timeout.
async fn of_failure(lab: &mut Lab<'_>, prepared: &Prepared, observation: &Observation) -> Option<Found> {
    let is_redirected = !observation.followed.is_empty();
    match observation.kind {
        Kind::Unsupported if !is_redirected => None,
        Kind::Refused | Kind::Unreachable if !is_redirected => lab.of_no_listener(prepared, observation).await,
        Kind::Response if observation.status == Some(429) => of_everyone(lab, prepared, observation, &[]).await,
        Kind::Tls if observation.wants_certificate => lab.client_certificate(observation).await,
        // A refusal followed by a reset is a refusal.
        Kind::Truncated if observation.status.is_some_and(|status| status < 400) => {
            lab.truncated(prepared, observation).await
        }
        Kind::Redirects => lab.redirect_in_a_circle(prepared, observation).await,
        _ => {
            if let Some(found) = of_works(lab, prepared, observation).await {
                return Some(found);
            }
            if is_redirected && let Some(found) = lab.redirect_to_nothing(prepared, observation).await {
                return Some(found);
            }
            of_answer(lab, prepared, observation).await
        }
    }
}

/// Compares with the working request.
async fn of_works(lab: &mut Lab<'_>, prepared: &Prepared, observation: &Observation) -> Option<Found> {
    let works = lab.case.known.works.clone()?;
    let works = lab.working(prepared, &works);
    let before = lab.begin_with_works();
    let experiment = Experiment::new("the request of --works", works.clone());
    let found = match lab.ask(experiment).await {
        Some(answer) if answer.answered() => lab.narrow(prepared, &works, observation).await,
        _ => None,
    };
    lab.end_with_works(before);
    found
}

/// The response is a failure.
async fn of_answer(lab: &mut Lab<'_>, prepared: &Prepared, observation: &Observation) -> Option<Found> {
    if observation.kind == Kind::Tls {
        if let Some(found) = lab.server_name(prepared, observation).await {
            return Some(found);
        }
        if let Some(found) = lab.another_protocol(prepared, observation).await {
            return Some(found);
        }
        return lab.not_http(prepared, observation).await;
    }
    let hosts = lab.hosts(prepared);
    let first = hosts.first()?;
    let plain = lab.plain(prepared, first);
    let how = format!("as curl sends it, with Host {first}");
    let answer = lab.ask(Experiment::plain(how, plain.clone())).await?;
    if answer.answered()
        && let Some(found) = lab.narrow(prepared, &plain, observation).await
    {
        return Some(found);
    }
    let mut seen = vec![observation.status, answer.status];
    let status = observation.status;
    if status.is_none() {
        return of_no_response(lab, prepared, observation, &hosts).await;
    }
    // Without own headers, the probe with the first Host almost equals the plain request, which failed.
    let is_tried = prepared.request.headers.is_empty() && !answer.answered() && !answer.success();
    if let Some(found) = lab.another_host(prepared, &hosts[usize::from(is_tried)..], &mut seen).await {
        return Some(found);
    }
    let is = |wanted: &[u16]| status.is_some_and(|status| wanted.contains(&status));
    let is_refusal = status.is_some_and(|status| (400..500).contains(&status));
    if prepared.url.scheme == "https"
        && is_refusal
        && let Some(found) = lab.server_name(prepared, observation).await
    {
        return Some(found);
    }
    if let Some(found) = lab.odd_path(prepared, observation).await {
        return Some(found);
    }
    if is(&[404, 405])
        && let Some(found) = lab.another_path(prepared).await
    {
        return Some(found);
    }
    if is(&[404, 405])
        && let Some(found) = lab.another_port(prepared, observation).await
    {
        return Some(found);
    }
    if is(&[400])
        && let Some(found) = lab.another_protocol(prepared, observation).await
    {
        return Some(found);
    }
    if is(&[403])
        && let Some(found) = lab.another_source(prepared).await
    {
        return Some(found);
    }
    if is_refusal
        && !is(&[404, 405])
        && let Some(found) = lab.wanted_header(prepared).await
    {
        return Some(found);
    }
    if let Some(found) = lab.client_certificate(observation).await {
        return Some(found);
    }
    if is(&[503])
        && let Some(found) = lab.wait_for_start().await
    {
        return Some(found);
    }
    of_everyone(lab, prepared, observation, &seen).await
}

/// The connection is closed or reset, or the answer is not a response.
async fn of_no_response(
    lab: &mut Lab<'_>,
    prepared: &Prepared,
    observation: &Observation,
    hosts: &[String],
) -> Option<Found> {
    if let Some(found) = lab.another_protocol(prepared, observation).await {
        return Some(found);
    }
    if let Some(found) = lab.not_http(prepared, observation).await {
        return Some(found);
    }
    if let Some(found) = lab.another_host(prepared, &hosts[1..], &mut Vec::new()).await {
        return Some(found);
    }
    if let Some(found) = lab.odd_path(prepared, observation).await {
        return Some(found);
    }
    lab.another_source(prepared).await
}

/// Every client gets the same status, and the status names the cause (RFC 9110, section 15, and RFC 6585, section 4).
async fn of_everyone(
    lab: &mut Lab<'_>,
    prepared: &Prepared,
    observation: &Observation,
    seen: &[Option<u16>],
) -> Option<Found> {
    let all = |wanted: &[u16]| seen.iter().all(|status| status.is_some_and(|status| wanted.contains(&status)));
    let path = &prepared.url.target;
    let status = observation.status?;
    let says = |what: &str| format!("GET {path} returns {status} to every client{what}");
    let (cause, explanation) = match status {
        404 | 405 if all(&[404, 405]) => (Cause::MethodOrPath, says("")),
        401 if all(&[401]) => (Cause::MissingHeader, says(": it requires credentials")),
        429 if all(&[429]) => (Cause::RateLimited, says(": the app limits the request rate")),
        503 if all(&[503]) => match lab.case.known.away.as_slice() {
            [] => (Cause::Unavailable, says("")),
            away => (Cause::DependencyDown, says(&format!(", and no replica of {} is ready", away.join(" and ")))),
        },
        _ => return None,
    };
    lab.fails_always().await.then(|| Found::of_everyone(cause, explanation))
}

/// A tcpSocket or grpc probe.
async fn of_action(lab: &mut Lab<'_>) -> (Observation, Option<Found>) {
    let observation = lab.first().await;
    let found = match (&lab.case.probe.action.clone(), observation.kind) {
        // A tcpSocket probe is not repeated: immediately closed connections fill the queue of a busy app.
        (ProbeAction::TcpSocket { .. }, Kind::Connected) => None,
        _ if observation.success() => {
            lab.is_steady().await;
            None
        }
        (action, Kind::Refused) => match lab.another_port_of_action(action).await {
            Some(found) => Some(found),
            None => lab.wait_for_start().await,
        },
        (ProbeAction::Grpc { service, port }, _) => of_grpc(lab, service, *port, &observation).await,
        _ => None,
    };
    (observation, found)
}

/// A grpc probe, answered or not.
async fn of_grpc(lab: &mut Lab<'_>, service: &str, port: u16, observation: &Observation) -> Option<Found> {
    let says = observation.grpc.as_deref().unwrap_or_default();
    match says {
        "NOT_SERVING" => {
            let text = format!("the app reports NOT_SERVING for {}", named(service));
            lab.fails_always().await.then(|| Found::of_everyone(Cause::Unavailable, text))
        }
        "SERVICE_UNKNOWN" | "NotFound" if !service.is_empty() => {
            let action = ProbeAction::Grpc { port, service: String::new() };
            let change = "the probe without a service".to_owned();
            let experiment = Experiment::of(change, Sends::Action(action));
            if !lab.ask(experiment.clone()).await?.answered() {
                return None;
            }
            let text = format!(
                "the health service does not know {service}, and reports SERVING for the server as \
            a whole"
            );
            let flip = Flip { axis: Axis::Service, from: service.to_owned(), to: String::new() };
            let changes = vec![Change::Service(String::new())];
            lab.prove(Claim::of(Found::of_flip(Cause::UnknownService, flip, text, changes), experiment)).await
        }
        "Unimplemented" => {
            let text = "the server speaks gRPC but has no health service";
            lab.fails_always().await.then(|| Found::of_everyone(Cause::NoHealthService, text))
        }
        "" => {
            let address = lab.target.address(port)?;
            let sends = Sends::Health { route: Route::to(address), secured: true };
            let experiment = Experiment::of("the probe over TLS", sends);
            if lab.ask(experiment.clone()).await?.kind != Kind::Health {
                return None;
            }
            let text = "the port speaks gRPC over TLS, which a kubelet's grpc probe does not support";
            let flip = Flip { axis: Axis::Scheme, from: "plain".to_owned(), to: "TLS".to_owned() };
            lab.prove(Claim::of(Found::of_flip(Cause::GrpcOverTls, flip, text, Vec::new()), experiment)).await
        }
        _ => None,
    }
}

fn named(service: &str) -> String {
    if service.is_empty() { "the server as a whole".to_owned() } else { format!("the service {service}") }
}
