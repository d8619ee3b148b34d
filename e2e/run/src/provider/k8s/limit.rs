//! No request to an API server waits for ever: one that takes connections and says nothing would hold a run for good. Main function:
//! [`limited`].

use std::{fmt, time::Duration};

use http::{Method, Request, Response, StatusCode};
use kube::{Client, client::Body};

/// How long the API server may take for a whole answer to a question.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The same for a change, in the way of which may stand an admission webhook: one has 30 s at most (`timeoutSeconds`).
pub(super) const CHANGE_LIMIT: Duration = Duration::from_secs(30);

/// The API server said nothing, or not all, in time.
#[derive(Debug)]
struct Silent {
    server: String,
    limit: Duration,
}

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} did not answer within {}", self.server, e2e_plan::duration::human(self.limit))
    }
}

impl std::error::Error for Silent {}

/// The same client, whose requests fail when they are not answered in time. Of what goes on for long (watches, logs, and
/// connections to pods) only the beginning has to come.
pub(super) fn limited(client: Client, server: &str) -> Client {
    let (server, namespace) = (server.trim_end_matches('/').to_owned(), client.default_namespace().to_owned());
    let service = tower::service_fn(move |request: Request<Body>| {
        let limit = limit(request.method());
        let silent = Silent { server: server.clone(), limit };
        let answered = tokio::time::timeout(limit, answer(client.clone(), request));
        async move {
            match answered.await {
                Ok(answered) => answered,
                Err(_) => Err(kube::Error::Service(Box::new(silent))),
            }
        }
    });
    Client::new(service, namespace)
}

fn limit(method: &Method) -> Duration {
    if *method == Method::GET { ANSWER_LIMIT } else { CHANGE_LIMIT }
}

async fn answer(client: Client, request: Request<Body>) -> kube::Result<Response<Body>> {
    let is_watch = request.uri().query().is_some_and(|query| query.split('&').any(|part| part.starts_with("watch=")));
    let is_long = is_watch || request.uri().path().ends_with("/log");
    let response = client.send(request).await?;
    if is_long || response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    Ok(Response::from_parts(head, body.collect_bytes().await?.into()))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::{
        Api, Config,
        api::{ListParams, LogParams, WatchParams},
    };
    use probed::{Reply, Server};

    use super::*;
    use crate::provider::k8s::error::reason;

    async fn pods(reply: Reply) -> (Api<Pod>, String, Server) {
        let server = Server::start(move |_| reply.clone()).await;
        let address = format!("http://{}", server.address);
        let config = Config::new(address.parse().unwrap());
        let client = limited(Client::try_from(config).unwrap(), &format!("{address}/"));
        (Api::namespaced(client, "x"), address, server)
    }

    #[rstest::rstest]
    #[case::nothing("")]
    #[case::half_an_answer("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")]
    #[tokio::test]
    async fn a_server_that_stops_talking_is_named(#[case] text: &str) {
        let (pods, address, _server) = pods(Reply::ThenNothing(text.into())).await;
        let everything = ListParams::default();
        let asked = tokio::time::timeout(2 * ANSWER_LIMIT, pods.list(&everything)).await;
        let error = asked.expect("it ends by itself").unwrap_err();
        assert_eq!(reason(&error), format!("{address} did not answer within 10.0 s"));
    }

    #[tokio::test]
    async fn a_watch_may_say_nothing_for_long() {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (pods, _, _server) = pods(Reply::ThenNothing(head.into())).await;
        let everything = WatchParams::default();
        let mut news = Box::pin(pods.watch(&everything, "0").await.expect("it begins"));
        let next = futures_util::StreamExt::next(&mut news);
        let longer = ANSWER_LIMIT + Duration::from_secs(1);
        assert!(tokio::time::timeout(longer, next).await.is_err(), "nothing came, and nothing ended it");
    }

    #[tokio::test]
    async fn a_log_is_there_with_its_beginning() {
        let begun = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nfirst";
        let (pods, _, _server) = pods(Reply::ThenNothing(begun.into())).await;
        let mut log = Box::pin(pods.log_stream("a", &LogParams::default()).await.expect("it begins"));
        let mut bytes = [0; 5];
        futures_util::AsyncReadExt::read_exact(&mut log, &mut bytes).await.expect("what came");
        assert_eq!(&bytes, b"first");
    }

    #[test]
    fn a_change_may_wait_for_a_webhook() {
        assert_eq!(
            [limit(&Method::GET), limit(&Method::PATCH), limit(&Method::DELETE)].map(|l| l.as_secs()),
            [10, 30, 30]
        );
    }
}
