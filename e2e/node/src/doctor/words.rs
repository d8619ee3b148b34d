//! The words for a failure without a known cause. Main functions: [`of_nothing`], [`advice`].

use e2e_kubelet::{
    diagnosis::Trial,
    observation::{COMMAND_TIMED_OUT, Kind, Observation, Verdict},
};

use crate::grpc::NOT_CONNECTED;

/// The name of the request of `--works`.
pub(super) const WORKS: &str = "the request of --works";

/// The observation, as a clause that can follow `because`; empty for a success. `evidence` are the requests.
pub(super) fn of_nothing(observation: &Observation, evidence: &[Trial]) -> String {
    let clause = of_observation(observation);
    let clause = match (evidence.iter().skip(1).find(|trial| trial.succeeded > 0), observation.kind) {
        _ if clause.is_empty() => clause,
        (Some(Trial { change, sent, succeeded, .. }), _) => {
            format!("{clause}; {change} succeeded {succeeded} of {sent} times, which proves no cause")
        }
        (None, Kind::Response) if observation.status.is_some() => {
            format!("{clause}, and no change that was tried makes it succeed")
        }
        (None, _) => clause,
    };
    let clause = match observation.followed.last() {
        Some(last) if !clause.is_empty() => format!("it is redirected to {last}, and there {clause}"),
        _ => clause,
    };
    match evidence.first() {
        Some(Trial { sent, succeeded, .. }) if *succeeded > 0 && !observation.success() => {
            format!("{clause}; {succeeded} of {sent} tries succeeded")
        }
        _ => clause,
    }
}

fn of_observation(observation: &Observation) -> String {
    let Observation { verdict, kind, status, message, spoke, .. } = observation;
    match (verdict, kind) {
        (Verdict::Success, _) => String::new(),
        (_, Kind::Closed | Kind::Reset | Kind::Malformed | Kind::Http2 | Kind::Timeout) if is_grpc(observation) => {
            "the port does not answer gRPC".to_owned()
        }
        (Verdict::NotMeasured, _) => format!("the probe was not measured: {message}"),
        (_, Kind::Refused) => "nothing listens on the port".to_owned(),
        (_, Kind::Timeout) if message.starts_with(COMMAND_TIMED_OUT) => {
            "the command is still running at the timeout".to_owned()
        }
        (_, Kind::Timeout) if observation.connect_ms.is_none() => "the connection is not established within the \
        timeout"
            .to_owned(),
        (_, Kind::Timeout) => "the connection is accepted, but no answer arrives within the timeout".to_owned(),
        (_, Kind::Closed) => "the connection is closed without an answer".to_owned(),
        (_, Kind::Reset) => "the connection is reset without an answer".to_owned(),
        (_, Kind::Tls) => match &observation.tls_alert {
            Some(alert) => format!("the server ends the TLS handshake with the alert `{alert}`"),
            None => "the TLS handshake fails".to_owned(),
        },
        (_, Kind::Response) => match status {
            Some(status) => format!("the app answers {status}"),
            None => "the probe fails".to_owned(),
        },
        (_, Kind::Malformed | Kind::Http2) => match spoke {
            Some(spoke) => format!("the port speaks {spoke}"),
            None if is_like_a_response(observation) => format!("the response is malformed: {}", reason(message)),
            None => "the answer is not an HTTP response".to_owned(),
        },
        (_, Kind::Health) => match &observation.grpc {
            Some(says) => format!("the health service answers {says}"),
            None => "the health service's answer cannot be read".to_owned(),
        },
        (_, Kind::Truncated) => "the response ends early".to_owned(),
        (_, Kind::CannotExec) => "the command cannot be run in the container".to_owned(),
        (_, Kind::Exited) => match observation.exit_code {
            // A shell's exit status for a command that it cannot find or execute (POSIX, Shell Command Language, 2.8.2).
            Some(127) => {
                "the command ends with exit status 127, which a shell gives for a command that it does not find"
                    .to_owned()
            }
            Some(126) => {
                "the command ends with exit status 126, which a shell gives for a command that it cannot execute"
                    .to_owned()
            }
            Some(code) => format!("the command ends with exit status {code}"),
            None => "the command fails".to_owned(),
        },
        _ => "the probe fails".to_owned(),
    }
}

/// Whether an answer has the first line of a response of HTTP: in any letters, after other bytes, or with a wrong version or status.
pub(super) fn is_like_a_response(observation: &Observation) -> bool {
    observation.status.is_some() || has_status_line(&observation.body)
}

fn has_status_line(answer: &str) -> bool {
    let answer = answer.to_ascii_uppercase();
    // A request has its version last.
    let (first, rest) = answer.split_once(' ').unwrap_or((&answer, ""));
    let is_status = rest.trim_start().starts_with(|c: char| c.is_ascii_digit());
    if first.starts_with("HTTP/") || is_status && (first.starts_with("HTTP") || first == "STATUS:") {
        return true;
    }
    // Before a status, unlike in a request.
    let is_status_line = |rest: &str| {
        let mut words = rest.split(' ');
        let is_version = words.next().is_some_and(|version| version.len() <= "HTTP/1.1".len());
        is_version && words.next().is_some_and(|status| status.starts_with(|c: char| c.is_ascii_digit()))
    };
    answer.match_indices("HTTP/").any(|(at, _)| is_status_line(&answer[at..]))
}

/// Go's reason, without the request and the layers that report it: `Get "URL": net/http: ... broken: reason`.
pub(super) fn reason(message: &str) -> &str {
    let reason = message.split_once("\": ").map_or(message, |(_, reason)| reason);
    reason.split_once("connection broken: ").map_or(reason, |(_, reason)| reason)
}

/// Whether it is a grpc probe without an answer.
fn is_grpc(observation: &Observation) -> bool {
    let connected = observation.connect_ms.is_some();
    connected && observation.grpc.is_none() && !observation.http2 && observation.message.starts_with(NOT_CONNECTED)
}

/// The next step; `None` for a success.
pub(super) fn advice(observation: &Observation, evidence: &[Trial]) -> Option<&'static str> {
    let Observation { verdict, kind, followed, .. } = observation;
    if *verdict == Verdict::Success {
        return None;
    }
    let has_answered = evidence.first().is_some_and(|probe| probe.succeeded > 0);
    Some(match kind {
        Kind::Timeout if has_answered => {
            "find out from the app's log what it waited for; if it was starting, add a startupProbe that waits for its start"
        }
        _ if !followed.is_empty() => {
            "answer this path without a redirect, or make the redirect's target answer: a kubelet follows it"
        }
        Kind::Refused => {
            "check in the app's log whether it has started and on which address and port it listens; point the \
             probe at that port"
        }
        Kind::Timeout if observation.connect_ms.is_none() => "check the pod's address and port",
        Kind::Timeout => "find out what the app waits for: a lock, a pool's connection, a busy worker",
        Kind::Closed | Kind::Reset | Kind::Malformed | Kind::Http2 => {
            "check the app's log for these connections, and the protocol of the port"
        }
        Kind::Tls => "compare the server's TLS versions, ciphers and certificates with those of Go's client",
        Kind::CannotExec => {
            "read the runtime's reason in the kubelet's words; the image must have the program, and the user may execute it"
        }
        Kind::Exited => "run the command in the container, and find out from its output and the app's log why it fails",
        Kind::Response => match evidence.iter().find(|trial| trial.change == WORKS) {
            None => "check the app's log for this request; name a request that succeeds with --works to compare",
            Some(works) if works.succeeded > 0 => {
                "compare what the app's log says of this request and of that of --works, which succeeds"
            }
            Some(_) => {
                "check the app's log for this request and for that of --works, which does not succeed here either"
            }
        },
        _ => "check the app's log for this request",
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::other_letters("http/1.1 200 ok\\r\\n", true)]
    #[case::after_a_line("\\r\\nHTTP/1.1 200 OK\\r\\n", true)]
    #[case::no_status("HTTP/1.1 OK\\r\\n", true)]
    #[case::no_version("HTTP 200 OK\\r\\n", true)]
    #[case::colon("HTTP/1.1: 200 OK\\r\\n", true)]
    #[case::of_cgi("Status: 200 OK\\r\\n", true)]
    #[case::request("GET /health HTTP/1.1\\r\\n", false)]
    #[case::words("HTTP is not spoken here", false)]
    #[case::another_protocol("-ERR unknown command\\r\\n", false)]
    fn a_response_has_a_first_line_of_its_own(#[case] answer: &str, #[case] is_response: bool) {
        let observation = Observation::new(Verdict::Failure, Kind::Malformed, "");
        assert_eq!(is_like_a_response(&Observation { body: answer.to_owned(), ..observation }), is_response);
    }
}
