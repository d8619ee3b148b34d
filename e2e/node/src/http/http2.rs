//! A GET over HTTP/2, which a kubelet uses if a TLS server chooses it. Main function: [`exchange`].

use ::http::{HeaderMap, Method, Request, Uri, Version};
use e2e_kubelet::observation::{Header, Kind};
use h2::client::SendRequest;
use prost::bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
};

use super::{Url, wire::Failure};
use crate::{
    request::HttpRequest,
    response::{Head, MAX_BODY},
};

/// The response so far.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    pub(super) head: Option<Head>,
    pub(super) body: Vec<u8>,
}

/// Sends the request and reads until the response is complete or has reached a kubelet's limit.
pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    url: &Url,
    request: &HttpRequest,
    arrived: &mut Arrived,
    on_head: impl FnOnce(),
) -> Result<(), Failure> {
    let request = message(url, request)?;
    let (mut sender, _driver) = begin(stream).await.map_err(|error| failure(&error))?;
    let (response, _) = sender.send_request(request, true).map_err(|error| failure(&error))?;
    let response = response.await.map_err(|error| failure(&error))?;
    on_head();
    let (status, version) = (response.status().as_u16(), (2, 0));
    arrived.head = Some(Head { status, version, headers: headers(response.headers()) });
    let mut body = response.into_body();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(|error| Failure { kind: Kind::Truncated, ..failure(&error) })?;
        // A failed window update shows in the next read.
        let _ = body.flow_control().release_capacity(chunk.len());
        let room = MAX_BODY - arrived.body.len();
        arrived.body.extend_from_slice(&chunk[..room.min(chunk.len())]);
        if arrived.body.len() == MAX_BODY {
            break;
        }
    }
    Ok(())
}

/// Begins HTTP/2 on a stream. The task drives the connection and ends with its set.
pub(crate) async fn begin<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
) -> Result<(SendRequest<Bytes>, JoinSet<()>), h2::Error> {
    let (sender, connection) = h2::client::handshake(stream).await?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // The end of the connection also ends the exchange, which reports it.
        let _ = connection.await;
    });
    Ok((sender.ready().await?, driver))
}

fn message(url: &Url, request: &HttpRequest) -> Result<Request<()>, Failure> {
    let invalid = |error: ::http::Error| Failure::new(Kind::InvalidRequest, format!("http2: {error}"));
    let uri = Uri::builder()
        .scheme(url.scheme.as_str())
        .authority(request.host.as_str())
        .path_and_query(request.target.as_str())
        .build()
        .map_err(invalid)?;
    let mut message = Request::builder().method(Method::GET).version(Version::HTTP_2).uri(uri);
    for (name, value) in request.http2_headers() {
        message = message.header(name, value);
    }
    message.body(()).map_err(invalid)
}

fn headers(map: &HeaderMap) -> Vec<Header> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    map.iter().map(|(name, value)| Header { name: name.to_string(), value: text(value.as_bytes()) }).collect()
}

/// A failure in words similar to Go's.
fn failure(error: &h2::Error) -> Failure {
    let reason = error.reason().map_or_else(String::new, |reason| format!("{reason:?}"));
    match error {
        error if error.is_go_away() && error.is_remote() => {
            let text = format!("http2: server sent GOAWAY and closed the connection; ErrCode={reason}");
            Failure::new(Kind::Http2, text)
        }
        error if error.is_reset() && error.is_remote() => {
            Failure::new(Kind::Http2, format!("stream error: {reason}; received from peer"))
        }
        error => match error.get_io() {
            Some(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => Failure::new(Kind::Closed, "unexpected EOF"),
            Some(io) => Failure::of_io("read", "", io),
            None => Failure::new(Kind::Http2, format!("http2: {error}")),
        },
    }
}
