//! What is said of a failure that has no cause. Main functions: [`of_nothing`], [`advice`].

use e2e_kubelet::observation::{Kind, Observation, Verdict};

/// What was seen, as a clause that can follow `because`; empty for a success.
pub(super) fn of_nothing(observation: &Observation) -> String {
    let Observation { verdict, kind, status, message, spoke, .. } = observation;
    match (verdict, kind) {
        (Verdict::Success, _) => String::new(),
        (_, Kind::Closed | Kind::Reset | Kind::Malformed | Kind::Timeout) if is_grpc(observation) => {
            "the port does not answer gRPC".to_owned()
        }
        (Verdict::NotMeasured, _) => format!("the probe was not measured: {message}"),
        (_, Kind::Refused) => "nobody listens on the port".to_owned(),
        (_, Kind::Timeout) if message.starts_with("command") => {
            "the command is still running at the timeout".to_owned()
        }
        (_, Kind::Timeout) if observation.connect_ms.is_none() => "no connection was made in time".to_owned(),
        (_, Kind::Timeout) => "the connection is accepted, and no answer comes in time".to_owned(),
        (_, Kind::Closed) => "the connection is closed without an answer".to_owned(),
        (_, Kind::Reset) => "the connection is reset without an answer".to_owned(),
        (_, Kind::Tls) => match &observation.tls_alert {
            Some(alert) => format!("the server ends the TLS handshake with the alert `{alert}`"),
            None => "the TLS handshake fails".to_owned(),
        },
        (_, Kind::Response) => match status {
            Some(status) => format!("the app answers {status}, and no single change of the request makes it succeed"),
            None => "the answer is a failure".to_owned(),
        },
        (_, Kind::Malformed | Kind::Http2) => match spoke {
            Some(spoke) => format!("the port speaks {spoke}"),
            None => "the answer is no response of HTTP".to_owned(),
        },
        (_, Kind::Truncated) => "the response breaks off".to_owned(),
        (_, Kind::CannotExec) => "the command cannot be run in the container".to_owned(),
        (_, Kind::Exited) => match observation.exit_code {
            // What shells say of a command that they do not find or may not run (POSIX, Shell Command Language, 2.8.2).
            Some(127) => "the command, or one that it starts, is not found in the container".to_owned(),
            Some(126) => "the command, or one that it starts, cannot be executed".to_owned(),
            Some(code) => format!("the command ends with exit status {code}"),
            None => "the command fails".to_owned(),
        },
        _ => "the probe comes to nothing".to_owned(),
    }
}

/// Whether it is of a grpc probe that nobody answered.
fn is_grpc(observation: &Observation) -> bool {
    observation.grpc.is_none() && !observation.http2 && observation.request.starts_with(":method: POST")
}

/// Where to look next; `None` for a success.
pub(super) fn advice(observation: &Observation) -> Option<&'static str> {
    let Observation { verdict, kind, .. } = observation;
    if *verdict == Verdict::Success {
        return None;
    }
    Some(match kind {
        Kind::Refused => {
            "see in the app's log whether it has started and on which address and port it listens, and let the probe ask that port"
        }
        Kind::Timeout if observation.connect_ms.is_none() => {
            "see whether the address and the port are those of the pod"
        }
        Kind::Timeout => "see what the app waits for: a lock, a connection of a pool, a worker that is busy",
        Kind::Closed | Kind::Reset | Kind::Malformed | Kind::Http2 => {
            "see what the app's log says of these connections, and which protocol the port speaks"
        }
        Kind::Tls => "compare the server's TLS versions, ciphers and certificates with those of Go's client",
        Kind::Response => {
            "see what the app's log says of this request; --works names one that succeeds, to compare with"
        }
        _ => "see what the app's log says of this request",
    })
}
