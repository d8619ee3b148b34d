//! How a container ended, according to its engine. Main function: [`exit_of`].

use std::time::Duration;

use bollard::{Docker, errors::Error, query_parameters::WaitContainerOptionsBuilder};
use e2e_kubelet::status::Exit;
use futures_util::StreamExt;

/// How long to leave an engine alone that has not answered, or that has broken a wait off: a second is little beside the time
/// that one takes to start.
const PAUSE: Duration = Duration::from_secs(1);

/// The reason for a container that was removed from outside: a kubelet's word for a missing container (`ContainerStatusUnknown`).
pub(super) const REMOVED: Exit = Exit { code: 137, oom_killed: false };

/// Waits for the end of a container, whatever happens to the connection to its engine meanwhile.
pub(super) async fn exit_of(client: &Docker, id: &str) -> Exit {
    loop {
        let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
        // The answer is an error for every exit code but 0, and also where the wait broke off; the state tells these apart.
        let _ = client.wait_container(id, Some(options)).next().await;
        match client.inspect_container(id, None).await {
            Ok(container) => {
                let state = container.state.unwrap_or_default();
                if state.running != Some(true) {
                    let code = state.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(REMOVED.code);
                    return Exit { code, oom_killed: state.oom_killed.unwrap_or(false) };
                }
            }
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => return REMOVED,
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// An engine that gives these answers in turn, each on a connection of its own; an empty one breaks the connection off.
    async fn engine(answers: &[(&str, &'static str)]) -> Docker {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut answers: VecDeque<_> = answers.iter().map(|(asked, answer)| ((*asked).to_owned(), *answer)).collect();
        tokio::spawn(async move {
            while let Some((asked, answer)) = answers.pop_front() {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.expect("a request");
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                assert!(request.contains(&asked), "{asked} is expected: {request}");
                let (status, body) = answer.split_once(' ').unwrap_or(("", ""));
                if !status.is_empty() {
                    let length = body.len();
                    let head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
                    stream.write_all((head + body).as_bytes()).await.expect("an answer");
                }
            }
        });
        Docker::connect_with_http(&format!("http://{address}"), 5, bollard::API_DEFAULT_VERSION).expect("a client")
    }

    const WAIT: &str = "/containers/c/wait";
    const INSPECT: &str = "/containers/c/json";

    #[tokio::test]
    async fn a_wait_that_breaks_off_is_no_end() {
        let engine = engine(&[
            (WAIT, ""),
            (INSPECT, r#"200 {"State": {"Running": true, "ExitCode": 0}}"#),
            (WAIT, ""),
            (INSPECT, r#"500 {"message": "starting"}"#),
            (WAIT, r#"200 {"StatusCode": 3}"#),
            (INSPECT, r#"200 {"State": {"Running": false, "ExitCode": 3, "OOMKilled": true}}"#),
        ]);
        assert_eq!(exit_of(&engine.await, "c").await, Exit { code: 3, oom_killed: true });
    }

    #[tokio::test]
    async fn a_container_that_was_removed_has_ended() {
        let engine = engine(&[(WAIT, r#"404 {"message": "no such"}"#), (INSPECT, r#"404 {"message": "no such"}"#)]);
        assert_eq!(exit_of(&engine.await, "c").await, REMOVED);
    }
}
