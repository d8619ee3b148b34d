//! The response parser against two others, on bytes that are often nearly a response: httparse for heads, hyper for whole
//! responses. They must accept the same bytes and read the same out of them.

use e2e_load::load::{Decoder, Limits, Rejected};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::parser::{nearly_http, parse_with};

/// Status and body.
type Read = (u16, Vec<u8>);

fn ours(bytes: &[u8]) -> Result<Read, Rejected> {
    let parsed = parse_with(&mut Decoder::new(Limits::default()), bytes, &[usize::MAX], false, usize::MAX)?;
    Ok((parsed.status, parsed.body))
}

/// What hyper's client makes of a server that sends these bytes and closes.
async fn hypers(bytes: &[u8]) -> Result<Read, hyper::Error> {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
    let connection = tokio::spawn(connection);
    let bytes = bytes.to_vec();
    let server = tokio::spawn(async move {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            if far.read_buf(&mut request).await.unwrap_or(0) == 0 {
                return;
            }
        }
        // A client that has read enough closes first.
        let _ = far.write_all(&bytes).await;
    });
    let request = hyper::Request::get("/").header("host", "test").body(Empty::<Bytes>::new()).expect("a fixed request");
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes().to_vec();
    connection.abort();
    server.abort();
    Ok((status, body))
}

/// Responses of which about half are whole: a head with some of these headers, and pieces of bodies.
fn likely_http() -> impl Strategy<Value = Vec<u8>> {
    let head = proptest::sample::select(vec!["200 OK", "204 No Content", "304 Not Modified", "404 X", "503 ", "999 Z"]);
    let version = proptest::sample::select(vec!["1.1", "1.1", "1.1", "1.0"]);
    let headers = proptest::sample::subsequence(
        vec![
            "content-length: 5\r\n",
            "Content-Length: 5\r\n",
            "content-length: 5, 5\r\n",
            "content-length: +5\r\n",
            "content-length: 12\r\n",
            "transfer-encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked, gzip\r\n",
            "connection: close\r\n",
            "x: y\r\n",
        ],
        0..4,
    );
    let bodies = proptest::sample::select(vec![
        "",
        "hello",
        "hello world!",
        "5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n7;a=b\r\n world!\r\n0\r\nt: u\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "0\r\n\r\n",
        "5\r\nhello",
        "05\r\nhello\r\n00\r\n\r\n",
        "5\nhello\n0\n\n",
        "-1\r\n",
    ]);
    (version, head, headers, bodies).prop_map(|(version, head, headers, body)| {
        format!("HTTP/{version} {head}\r\n{}\r\n{body}", headers.concat()).into_bytes()
    })
}

fn is_http_1_0(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).contains("HTTP/1.0")
}

/// hyper tells the kinds of its errors apart in their debug form only.
fn is_encoding_unexpected(error: &hyper::Error) -> bool {
    format!("{error:?}").contains("TransferEncodingUnexpected")
}

fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    match (ours(bytes), runtime.block_on(hypers(bytes))) {
        (Ok(ours), Ok(hypers)) => prop_assert_eq!(ours, hypers),
        (Err(ours), Ok(hypers)) => prop_assert!(false, "refused with {:?}, hyper read {:?}", ours, hypers),
        // RFC 9112, section 6.1, has such a message read and its connection closed; hyper does not read it.
        (Ok(_), Err(hypers)) if is_http_1_0(bytes) && is_encoding_unexpected(&hypers) => {}
        (Ok(ours), Err(hypers)) => prop_assert!(false, "read {:?}, hyper refused: {:?}", ours, hypers),
        (Err(_), Err(_)) => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn hyper_reads_the_same(bytes in prop_oneof![likely_http(), nearly_http()]) {
        check(&bytes)?;
    }

    #[test]
    fn httparse_reads_the_same_head(bytes in prop_oneof![likely_http(), nearly_http()]) {
        let Ok((status, _)) = ours(&bytes) else { return Ok(()) };
        // Past the interim responses, which are complete heads.
        let mut rest = &bytes[..];
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 100];
            let mut head = httparse::Response::new(&mut headers);
            let length = head.parse(rest).unwrap().unwrap();
            match head.code {
                Some(100..200) => rest = &rest[length..],
                code => {
                    prop_assert_eq!(code, Some(status));
                    break;
                }
            }
        }
    }
}
