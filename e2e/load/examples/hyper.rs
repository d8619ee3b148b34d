//! A server for measurements: `hyper ADDRESS ANSWER` reads the body of each request and answers with the JSON. One thread.

use std::{convert::Infallible, error::Error};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(answer)) = (arguments.next(), arguments.next()) else {
        return Err("usage: hyper ADDRESS ANSWER".into());
    };
    let (listener, answer) = (TcpListener::bind(address).await?, Bytes::from(answer));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        let service = service_fn(move |request| respond(request, answer.clone()));
        // A client that goes away ends its connection and nothing else.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn respond(request: Request<Incoming>, answer: Bytes) -> Result<Response<Full<Bytes>>, Infallible> {
    // One that cannot be read is answered all the same: its client counts what it gets.
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Full::new(answer));
    response.headers_mut().insert(CONTENT_TYPE, "application/json".parse().expect("a header value"));
    Ok(response)
}
