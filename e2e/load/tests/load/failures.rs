//! Servers that fail: each failure is counted as what it is, nothing hangs and nothing spins.

use std::future::pending;
use std::time::{Duration, Instant};

use e2e_load::load::scenarios::Fixed;
use e2e_load::load::{self, ClientReport, Failure, LoadResult, Outcome, RequestHead, Settings};

use crate::engine::{get, settings};
use crate::servers::{OK, nobody, server, slow};

/// Runs 3 clients for 300 ms against a server that does the same to each connection, after its first request.
async fn against(answer: &'static [u8]) -> LoadResult<ClientReport> {
    let address = server(move |mut peer, _| async move {
        peer.request().await;
        peer.write(answer).await;
    })
    .await;
    load::run(settings(address, 3, 300), get()).await.unwrap()
}

/// The only error of the run is this one. Between 3 clients' first requests and what the back-off allows: in 300 ms each
/// client sends at most 1 + 6 requests, with waits of at least 5, 10, 20, 40, 80 and 160 ms between them.
fn assert_only(result: &LoadResult<ClientReport>, failure: Failure) {
    let errors: Vec<_> = result.measured.by_error.keys().copied().collect();
    assert_eq!(errors, [Outcome::Failure(failure)], "{:?}", result.first_errors);
    assert_eq!(result.measured.succeeded, 0);
    assert!((3..=21).contains(&result.measured.requests), "{:?}", result.measured);
    assert_eq!(result.first_errors.len(), 1);
}

#[tokio::test]
async fn nobody_listens() {
    let result = load::run(settings(nobody(), 3, 300), get()).await.unwrap();
    assert_only(&result, Failure::ConnectionRefused);
    assert_eq!((result.connections.opened, result.connections.failed), (0, result.measured.requests));
}

#[tokio::test]
async fn closes_without_a_response() {
    let result = against(b"").await;
    assert_only(&result, Failure::ClosedEarly);
    assert_eq!(result.first_errors[0].detail, "closed without a response");
    assert_eq!(result.connections.abandoned, result.measured.requests);
}

#[tokio::test]
async fn closes_within_a_response() {
    for (answer, detail) in [
        (&b"HTTP/1.1 200 OK\r\ncont"[..], "closed within the head"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nOK", "closed within the body"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nOK\r\n", "closed within the body"),
    ] {
        let result = against(answer).await;
        assert_only(&result, Failure::ClosedEarly);
        assert_eq!(result.first_errors[0].detail, detail);
    }
}

#[tokio::test]
async fn resets_the_connection() {
    let address = server(|mut peer, _| async move {
        peer.request().await;
        // A close with a linger of zero sends a reset.
        peer.stream.set_zero_linger().unwrap();
    })
    .await;
    assert_only(&load::run(settings(address, 3, 300), get()).await.unwrap(), Failure::ConnectionReset);
}

#[tokio::test]
async fn answers_garbage() {
    for answer in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n12",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ] {
        assert_only(&against(answer).await, Failure::MalformedResponse);
    }
}

#[tokio::test]
async fn answers_too_much() {
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(20_000)).leak();
    let headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(101)).leak();
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "y".repeat(1_100_000)).leak();
    let length = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n";
    assert_only(&against(head.as_bytes()).await, Failure::ResponseTooLarge);
    assert_only(&against(headers.as_bytes()).await, Failure::ResponseTooLarge);
    assert_only(&against(endless.as_bytes()).await, Failure::ResponseTooLarge);
    // A number that no machine can count to is malformed rather than large.
    assert_only(&against(length.as_bytes()).await, Failure::MalformedResponse);
    assert_only(&against(b"HTTP/1.1 200 OK\r\ncontent-length: 1048577\r\n\r\n").await, Failure::ResponseTooLarge);
}

#[tokio::test]
async fn never_answers() {
    for first_bytes in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nO"] {
        let address = server(move |mut peer, _| async move {
            peer.request().await;
            peer.write(first_bytes).await;
            pending().await
        })
        .await;
        let settings = Settings { request_timeout: Duration::from_millis(100), ..settings(address, 3, 250) };
        let started = Instant::now();
        let result = load::run(settings, get()).await.unwrap();
        assert_only(&result, Failure::TimedOut);
        let step = &result.steps[0];
        assert!((100.0..500.0).contains(&step.latency_ms.p50), "{:?}", step.latency_ms);
        assert!(started.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn answers_slowly_but_in_time() {
    // A byte each 2 ms: 41 bytes take 80 ms and more, within the timeout of 2 s.
    let address = server(|mut peer, _| async move {
        while peer.request().await.is_some() {
            for byte in OK.as_bytes() {
                peer.write([*byte]).await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    })
    .await;
    let settings = Settings { request_timeout: Duration::from_secs(2), ..settings(address, 2, 300) };
    let result = load::run(settings, get().expect_body("OK")).await.unwrap();
    assert_eq!(result.measured.errors, 0, "{:?}", result.first_errors);
    assert!(result.measured.latency_ms.unwrap().min > 80.0);
}

#[tokio::test]
async fn the_deadline_moves_with_each_request() {
    // Each answer takes 100 ms of the 300 ms that a request has, for longer than any single deadline.
    let address = slow(|_| 100).await;
    let settings = Settings { request_timeout: Duration::from_millis(300), ..settings(address, 2, 1000) };
    let result = load::run(settings, get()).await.unwrap();
    assert_eq!(result.measured.errors, 0, "{:?}", result.first_errors);
    assert_eq!(result.connections.opened, 2);
}

#[tokio::test]
async fn says_more_than_it_was_asked() {
    let address = server(|mut peer, _| async move {
        while peer.request().await.is_some() {
            peer.write(format!("{OK}{OK}")).await;
        }
    })
    .await;
    let result = load::run(settings(address, 2, 100), get()).await.unwrap();
    // The second response answers nothing: it must not be taken for the next request's.
    assert_eq!(result.connections.unsolicited, result.measured.requests, "{:?}", result.connections);
    assert_eq!(result.measured.errors, 0);
}

#[tokio::test]
async fn recovers_when_the_server_does() {
    // The first two connections are closed at once, the third one serves.
    let address = server(|mut peer, number| async move {
        while number >= 2 && peer.request().await.is_some() {
            peer.write(OK).await;
        }
    })
    .await;
    let result = load::run(settings(address, 1, 300), get()).await.unwrap();
    assert_eq!(result.measured.errors, 2, "{:?}", result.measured);
    assert!(result.measured.succeeded > 0);
    assert_eq!((result.connections.opened, result.connections.abandoned), (3, 2));
}

#[tokio::test]
async fn an_answer_before_the_request_is_whole_counts() {
    // 8 MB do not fit into the sockets' buffers, so that the request is never sent whole.
    let body = vec![b'y'; 8_000_000];
    for closes in [true, false] {
        let address = server(move |mut peer, _| async move {
            peer.stream.readable().await.unwrap();
            peer.write("HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n").await;
            if !closes {
                pending().await
            }
        })
        .await;
        let head = RequestHead::new("POST", "/", "test").unwrap();
        let result = load::run(settings(address, 1, 200), Fixed::new(&head, Some(&body))).await.unwrap();
        assert!(result.measured.by_error[&Outcome::Status(413)] > 0, "{:?}", result.first_errors);
        assert_eq!(result.measured.by_error.len(), 1, "{:?}", result.first_errors);
        assert_eq!(result.connections.opened, result.measured.requests);
    }
}
