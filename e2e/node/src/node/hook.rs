//! Runs one hook as a kubelet does: `pkg/kubelet/lifecycle/handlers.go`. Main function: [`run`].

use std::time::Duration;

use e2e_kubelet::observation::{Kind, Observation};
use e2e_plan::{Hook, ProbeAction};

use super::{ExecError, Runtime};
use crate::{
    http::NOT_TLS,
    probe::{self, Profile, Target},
};

/// A kubelet gives a hook no time of its own. A day ends no hook before its container does.
const NO_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs a hook to its end.
///
/// # Errors
///
/// Why it failed: the command's exit status or error, or a request without an answer. Any answer is one.
pub(super) async fn run<R: Runtime>(
    runtime: &R,
    profile: &Profile,
    pod: &str,
    container: &str,
    hook: &Hook,
) -> Result<(), String> {
    match hook {
        Hook::Sleep(time) => {
            tokio::time::sleep(*time).await;
            Ok(())
        }
        Hook::Run(ProbeAction::Exec { command }) => match runtime.exec(pod, container, command, NO_LIMIT).await {
            Ok(result) if result.exit_code == 0 => Ok(()),
            Ok(result) => {
                let said = Observation::of_exec(result.exit_code, &result.output, 0.0).message;
                Err(format!("command {command:?} exited with {}: {}", result.exit_code, said.trim_end()))
            }
            Err(ExecError::TimedOut) => Ok(()),
            Err(ExecError::Failed(message)) => Err(message),
        },
        Hook::Run(action) => {
            let target = runtime.target(pod).ok_or("failed to find networking container")?;
            answered(&send(action, &target, profile).await)
        }
    }
}

/// Sends the request of an httpGet hook; without TLS, if the server does not speak it.
async fn send(action: &ProbeAction, target: &Target, profile: &Profile) -> Observation {
    let action = as_hook(action, profile);
    let observation = probe::send(&action, target, NO_LIMIT, profile).await;
    match action {
        ProbeAction::HttpGet { https: true, host, port, path, headers } if observation.message.contains(NOT_TLS) => {
            let plain = ProbeAction::HttpGet { https: false, host, port, path, headers };
            probe::send(&plain, target, NO_LIMIT, profile).await
        }
        _ => observation,
    }
}

/// The request names its sender otherwise than a probe's.
fn as_hook(action: &ProbeAction, profile: &Profile) -> ProbeAction {
    let mut action = action.clone();
    if let ProbeAction::HttpGet { headers, .. } = &mut action
        && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent"))
    {
        headers.push(("User-Agent".to_owned(), format!("kube-lifecycle/{}", profile.version)));
    }
    action
}

fn answered(observation: &Observation) -> Result<(), String> {
    match observation.kind {
        // Nobody reads the body.
        Kind::Response | Kind::Truncated => Ok(()),
        Kind::Malformed if observation.status.is_some() => Ok(()),
        _ => Err(observation.message.clone()),
    }
}

#[cfg(test)]
mod tests {
    use probed::{Reply, Server, Speaks};

    use super::*;

    fn get(https: bool, port: u16, headers: &[(&str, &str)]) -> ProbeAction {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        ProbeAction::HttpGet { https, host: None, port, path: "/stop".to_owned(), headers }
    }

    #[tokio::test]
    async fn any_answer_is_one_and_no_answer_is_a_failure() {
        let server = Server::speaking(Speaks::Anything, |_| Reply::status(500, "")).await;
        let (profile, target) = (Profile::default(), Target::new(server.address.ip(), 80, server.address));
        for (https, headers, agent) in [
            (false, &[][..], format!("kube-lifecycle/{}", profile.version)),
            (false, &[("user-agent", "mine")][..], "mine".to_owned()),
        ] {
            let observation = send(&get(https, 80, headers), &target, &profile).await;
            assert_eq!(answered(&observation), Ok(()));
            let request = server.requests().pop().expect("a request");
            assert!(request.starts_with("GET /stop HTTP/1.1\r\n"), "{request}");
            assert!(request.contains(&format!("\r\nUser-Agent: {agent}\r\n")), "{request}");
        }
        // Without TLS after all.
        assert_eq!(answered(&send(&get(true, 80, &[]), &target, &profile).await), Ok(()));
        let closed = probed::closed_port();
        let target = Target::new(closed.ip(), 80, closed);
        let failure = answered(&send(&get(false, 80, &[]), &target, &profile).await).expect_err("nothing listens");
        assert!(failure.contains("refused"), "{failure}");
    }
}
