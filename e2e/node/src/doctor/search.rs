//! The order of the search: the experiments for each observation. Main function: [`search`].

use e2e_kubelet::{
    diagnosis::Cause,
    observation::{Kind, Observation},
};
use e2e_plan::ProbeAction;

use super::{
    Found,
    lab::{Experiment, Lab},
    place::{OTHER_SOURCES, from_sources},
    words::WORKS,
};
use crate::probe::Prepared;

/// Sends the probe and searches for the cause of its failure.
pub(super) async fn search(lab: &mut Lab<'_>) -> (Observation, Option<Found>) {
    let (observation, found) = match lab.prepared.clone() {
        Some(prepared) => of_http(lab, &prepared).await,
        None => of_action(lab).await,
    };
    if found.is_some() {
        return (observation, found);
    }
    let mut limit = None;
    if !observation.success() {
        if observation.status == Some(429) {
            limit = lab.limit_of_every_path().await;
            lab.wait_for_a_quota().await;
        }
        lab.repeat_while_quick().await;
        let started = match lab.wavering.is_some() {
            true => lab.started_meanwhile().await,
            false => lab.wait_for_start().await,
        };
        if started.is_some() {
            return (observation, started);
        }
    }
    match lab.of_wavering().await {
        // A rate limit that only the doctor's requests reach is not a failure of the probe.
        Some((_, found)) if observation.success() && found.cause == Cause::RateLimited => (observation, None),
        Some((failure, found)) if observation.success() => (failure, Some(found)),
        Some((_, found)) => (observation, Some(found)),
        None if observation.success() => (lab.fails_since().await.unwrap_or(observation), None),
        None if lab.wavering.is_some() || !lab.has_seen_enough() => (observation, None),
        None => (observation, limit),
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
        (Some(_), _) if lab.wavering.is_some() => match lab.has_recovered().await {
            // Only the first request hit a cold app.
            Some(now) => return now,
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
    if observation.wants_certificate && observation.status.is_none() {
        let told = lab.with_alert(observation).await;
        return_first!(lab.client_certificate(&told));
    }
    match observation.kind {
        Kind::Unsupported if !is_redirected => None,
        Kind::Refused | Kind::Unreachable if !is_redirected => lab.of_no_listener(prepared, observation).await,
        Kind::Response if observation.status == Some(429) && lab.is_of_a_limit(prepared, observation).await => {
            lab.of_a_limit(prepared).await
        }
        // A refusal followed by a reset is a refusal.
        Kind::Truncated if observation.status.is_some_and(|status| status < 400) => {
            lab.truncated(prepared, observation).await
        }
        Kind::Redirects => {
            return_first!(true => of_works(lab, prepared, observation));
            lab.redirect_in_a_circle(prepared, observation).await
        }
        _ => {
            return_first!(
                true => of_works(lab, prepared, observation),
                is_redirected => lab.redirect_to_nothing(prepared, observation),
            );
            of_answer(lab, prepared, observation).await
        }
    }
}

/// Compares with the working request.
async fn of_works(lab: &mut Lab<'_>, prepared: &Prepared, observation: &Observation) -> Option<Found> {
    let works = lab.case.known.works.clone()?;
    let works = lab.working(prepared, &works);
    // A port that answers may have a reason of its own, which another place would hide.
    if observation.kind == Kind::Response && works.route.address.port() != prepared.route.address.port() {
        let hosts = lab.hosts(prepared);
        return_first!(lab.another_host(prepared, &hosts, &mut Vec::new()));
    }
    let before = lab.begin_with_works();
    let experiment = Experiment::new(WORKS, works.clone());
    let found = match lab.ask(experiment).await {
        Some(answer) if answer.answered() => match lab.narrow(prepared, &works, observation).await {
            None if works.route == prepared.route => lab.combined(prepared, &works).await,
            found => found,
        },
        _ => None,
    };
    lab.end_with_works(before);
    found
}

/// The response is a failure.
async fn of_answer(lab: &mut Lab<'_>, prepared: &Prepared, observation: &Observation) -> Option<Found> {
    if observation.kind == Kind::Tls {
        return_first!(
            true => lab.server_name(prepared, observation),
            true => lab.another_protocol(prepared, observation),
            // An alert is TLS.
            observation.tls_alert.is_none() => lab.not_http(prepared, observation),
        );
        return None;
    }
    let hosts = lab.hosts(prepared);
    let first = hosts.first()?;
    let plain = lab.plain(prepared, first);
    let how = format!("as curl sends it, with Host {first}");
    let answer = lab.ask(Experiment::plain(how, plain.clone())).await?;
    return_first!(
        answer.answered() => lab.narrow(prepared, &plain, observation),
        answer.answered() => lab.combined(prepared, &plain),
        speaks_grpc(observation) => lab.secured_health(prepared),
    );
    let Some(status) = observation.status else {
        return of_no_response(lab, prepared, observation, &hosts).await;
    };
    let mut seen = vec![Some(status), answer.status];
    // Without own headers, the probe with the first Host almost equals the plain request, which failed.
    let is_tried = prepared.request.headers.is_empty() && !answer.answered() && !answer.success();
    let is_refusal = (400..500).contains(&status);
    let is_unserved = matches!(status, 404 | 405);
    return_first!(
        true => lab.another_host(prepared, &hosts[usize::from(is_tried)..], &mut seen),
        prepared.url.is_tls() && is_refusal => lab.server_name(prepared, observation),
        is_refusal => lab.any_certificate(prepared, observation),
        true => lab.odd_path(prepared, observation),
    );
    if is_unserved && lab.is_of_a_cache(prepared, observation).await {
        return None;
    }
    if status == 404 {
        // The claim about every client needs it, and what follows may use up the requests.
        lab.beside(prepared, observation).await;
    }
    return_first!(
        is_unserved && !lab.another_client_succeeded() => lab.another_path(prepared),
        is_unserved && !lab.another_client_succeeded() => lab.another_port(prepared, observation),
        status == 400 => lab.another_protocol(prepared, observation),
        true => lab.client_certificate(observation),
        matches!(status, 403 | 503) => lab.another_source(prepared, OTHER_SOURCES),
        // Seldom the way to refuse an address.
        is_refusal && !is_unserved && status != 403 => lab.another_source(prepared, 1),
        is_refusal && !is_unserved => lab.one_own_header(prepared),
        true => lab.wanted_header(prepared, is_refusal && !is_unserved),
    );
    of_everyone(lab, prepared, observation, &seen).await
}

/// Whether a response within TLS is that of a gRPC server to a GET: of gRPC's media type, or 415.
fn speaks_grpc(observation: &Observation) -> bool {
    let is_grpc = observation.header("content-type").is_some_and(|kind| kind.starts_with("application/grpc"));
    observation.http2 && observation.tls_ms.is_some() && (is_grpc || observation.status == Some(415))
}

/// The connection is closed or reset, or the answer is not a response.
async fn of_no_response(
    lab: &mut Lab<'_>,
    prepared: &Prepared,
    observation: &Observation,
    hosts: &[String],
) -> Option<Found> {
    return_first!(
        prepared.url.is_tls() => lab.server_name(prepared, observation),
        true => lab.another_protocol(prepared, observation),
        true => lab.not_http(prepared, observation),
        true => lab.another_host(prepared, &hosts[1..], &mut Vec::new()),
        true => lab.odd_path(prepared, observation),
    );
    lab.another_source(prepared, OTHER_SOURCES).await
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
    let led = observation.followed.last().map_or(String::new(), |last| format!(", redirected to {last},"));
    let says = |what: &str| format!("GET {path}{led} returns {status} to every client{what}");
    let (cause, explanation) = match status {
        404 | 405 if all(&[404, 405]) => (Cause::MethodOrPath, says(&lab.under_these_hosts(prepared))),
        401 if all(&[401]) && lab.is_about_credentials(prepared, observation).await => {
            (Cause::MissingHeader, says(": it requires credentials"))
        }
        503 if all(&[503]) => {
            let Found { cause, explanation, .. } = lab.of_refusal(says(&lab.under_these_hosts(prepared)));
            (cause, explanation)
        }
        _ => return None,
    };
    // Without a patch, the request that is reserved for its check is free.
    lab.allowance += 1;
    if let Some((_, elsewhere)) = from_sources(prepared).next() {
        lab.ask(elsewhere).await;
    }
    if lab.another_client_succeeded() {
        return lab.another_source(prepared, 1).await;
    }
    if status == 404 && !lab.is_unserved(prepared, observation).await {
        return None;
    }
    lab.unless_it_starts(Found::of_everyone(cause, explanation), status == 503).await
}

/// A tcpSocket or grpc probe.
async fn of_action(lab: &mut Lab<'_>) -> (Observation, Option<Found>) {
    let observation = lab.first().await;
    let found = match (&lab.case.probe.action, observation.kind) {
        // A tcpSocket probe is not repeated: immediately closed connections fill the queue of a busy app.
        (ProbeAction::TcpSocket { port, .. }, Kind::Connected) => {
            lab.remark = lab.left_in_the_queue(*port).await;
            None
        }
        _ if observation.success() => {
            lab.is_steady().await;
            None
        }
        (ProbeAction::Grpc { service, port }, Kind::Refused) => match lab.of_no_grpc_listener(service).await {
            Some(found) => Some(found),
            None => lab.wait_for_listener(*port).await,
        },
        (ProbeAction::TcpSocket { port, .. }, Kind::Refused) => match lab.of_no_tcp_listener(*port).await {
            Some(found) => Some(found),
            None => lab.wait_for_start().await,
        },
        (ProbeAction::Grpc { service, port }, _) => lab.of_grpc(service, *port, &observation).await,
        _ => None,
    };
    (observation, found)
}
