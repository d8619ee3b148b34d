//! The order of the search: which experiments an observation calls for. Main function: [`search`].

use e2e_kubelet::{
    diagnosis::{Cause, PLAIN},
    observation::{Kind, Observation, Verdict},
};
use e2e_plan::ProbeAction;

use super::{Found, lab::Lab};
use crate::probe::Prepared;

/// Sends the probe and searches for the reason of its failure.
pub(super) async fn search(lab: &mut Lab<'_>) -> (Observation, Option<Found>) {
    let Some(prepared) = lab.prepared.clone() else {
        return of_other_probe(lab).await;
    };
    let (observation, late) = lab.probe_patiently(&prepared).await;
    let found = match (late, observation.kind) {
        _ if observation.verdict == Verdict::NotMeasured => None,
        _ if observation.success() => lab.redirect_that_hides(&prepared, &observation).await,
        (Some(late), _) => match lab.too_slow(&observation, &late) {
            Some(found) => Some(found),
            None => lab.of_silence(&prepared, &observation).await,
        },
        (None, Kind::Refused | Kind::Unreachable) => lab.of_no_listener(&prepared).await,
        // A refusal whose connection is reset behind it is a refusal.
        (None, Kind::Truncated) if observation.status.is_some_and(|status| status < 400) => {
            lab.truncated(&prepared, &observation).await
        }
        (None, Kind::Redirects) => lab.redirect_in_a_circle(&prepared, &observation).await,
        (None, _) => of_answer(lab, &prepared, &observation).await,
    };
    (observation, found)
}

/// A tcpSocket or grpc probe: all that can be changed is the port.
async fn of_other_probe(lab: &mut Lab<'_>) -> (Observation, Option<Found>) {
    let action = lab.case.probe.action.clone();
    let first = lab.send_action("the probe", &action).await;
    let observation = first.unwrap_or_else(|| {
        Observation::new(Verdict::NotMeasured, Kind::Unsupported, "a timeout of zero leaves no time for a probe")
    });
    let found = match observation.kind {
        Kind::Refused => match &action {
            ProbeAction::TcpSocket { .. } | ProbeAction::Grpc { .. } => lab.another_port_of_action(&action).await,
            ProbeAction::HttpGet { .. } | ProbeAction::Exec { .. } => None,
        },
        _ => None,
    };
    (observation, found)
}

/// Something came back, and it is a failure.
async fn of_answer(lab: &mut Lab<'_>, prepared: &Prepared, observation: &Observation) -> Option<Found> {
    if observation.kind == Kind::Tls {
        return match lab.server_name(prepared).await {
            Some(found) => Some(found),
            None => lab.another_protocol(prepared, observation).await,
        };
    }
    let mut seen = vec![observation.status];
    if let Some(works) = lab.case.known.works.clone() {
        let plain = lab.working(prepared, &works);
        let answer = lab.send("the request that is said to work", plain.clone()).await?;
        if answer.success() {
            return lab.narrow(prepared, &plain, observation).await;
        }
        seen.push(answer.status);
    }
    let hosts = lab.hosts(prepared);
    let first = hosts.first()?;
    let plain = lab.plain(prepared, first);
    let answer = lab.send(&format!("{} as curl sends it, with Host {first}", PLAIN), plain.clone()).await?;
    if answer.success() {
        return lab.narrow(prepared, &plain, observation).await;
    }
    seen.push(answer.status);
    if let Some(found) = lab.another_host(prepared, &hosts, &mut seen).await {
        return Some(found);
    }
    let is_tls = prepared.url.scheme == "https";
    let status = observation.status;
    if is_tls
        && status.is_some_and(|status| (400..500).contains(&status))
        && let Some(found) = lab.server_name(prepared).await
    {
        return Some(found);
    }
    if let Some(found) = lab.odd_path(prepared, observation).await {
        return Some(found);
    }
    if let Some(404 | 405) = status
        && let Some(found) = lab.another_path(prepared).await
    {
        return Some(found);
    }
    if (status.is_none() || status == Some(400))
        && let Some(found) = lab.another_protocol(prepared, observation).await
    {
        return Some(found);
    }
    if (status.is_none() || status == Some(403))
        && let Some(found) = lab.another_source(prepared).await
    {
        return Some(found);
    }
    if status.is_some_and(|status| (400..500).contains(&status) && !matches!(status, 404 | 405))
        && let Some(found) = lab.wanted_header(prepared).await
    {
        return Some(found);
    }
    if status == Some(503)
        && lab.case.known.may_be_starting
        && let Some(found) = lab.wait_for_start().await
    {
        return Some(found);
    }
    of_everyone(prepared, observation, &seen)
}

/// Everyone gets the same status, and the status itself says what is wrong (RFC 9110, section 15).
fn of_everyone(prepared: &Prepared, observation: &Observation, seen: &[Option<u16>]) -> Option<Found> {
    let all = |wanted: &[u16]| seen.iter().all(|status| status.is_some_and(|status| wanted.contains(&status)));
    let path = &prepared.url.target;
    let status = observation.status?;
    let (cause, explanation) = if all(&[404, 405]) {
        (Cause::MethodOrPath, format!("GET {path} gets {status} whoever asks"))
    } else if all(&[503]) {
        (Cause::DependencyDown, format!("GET {path} gets 503 whoever asks: something behind the app is away"))
    } else if all(&[401]) {
        (Cause::MissingHeader, format!("GET {path} gets 401 whoever asks: it wants credentials"))
    } else {
        return None;
    };
    Some(Found { cause, flip: None, confirmed: false, explanation, change: None })
}
