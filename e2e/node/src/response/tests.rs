use e2e_kubelet::profile::Profile;
use proptest::prelude::*;
use rstest::rstest;

use super::*;

/// Feeds `bytes` in pieces of `step` and then ends the connection; the status and the body, or what is broken.
fn read(bytes: &[u8], step: usize) -> Result<(u16, Vec<u8>), Broken> {
    let mut reader = Reader::new(Tolerance::CURRENT);
    let mut whole = false;
    for piece in bytes.chunks(step.max(1)) {
        whole = reader.push(piece)?;
        if whole {
            break;
        }
    }
    if !whole {
        reader.end()?;
    }
    let status = reader.head().expect("a whole response has a head").status;
    Ok((status, reader.body().to_vec()))
}

#[rstest]
#[case::length("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOKmore", 200, "OK")]
#[case::until_close("HTTP/1.0 200 OK\r\n\r\nall of it", 200, "all of it")]
#[case::chunks(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n3;x=y\r\n, k\r\n0\r\nT: 1\r\n\r\n",
    200,
    "OK, k"
)]
#[case::bare_line_feeds("HTTP/1.1 200 OK\nContent-Length: 2\n\nOK", 200, "OK")]
#[case::no_reason("HTTP/1.1 204\r\n\r\n", 204, "")]
#[case::no_content("HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", 204, "")]
#[case::after_continue("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, "")]
#[case::other_version("HTTP/3.7 299 Odd\r\nContent-Length: 0\r\n\r\n", 299, "")]
#[case::same_length_twice("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nOK", 200, "OK")]
fn reads_responses(#[case] text: &str, #[case] status: u16, #[case] body: &str, #[values(1, 7, 4096)] step: usize) {
    assert_eq!(read(text.as_bytes(), step), Ok((status, body.as_bytes().to_vec())));
}

#[rstest]
#[case::nothing("", Broken::Empty)]
#[case::another_protocol("SSH-2.0-x\r\n", Broken::Head("malformed HTTP response \"SSH-2.0-x\"".into()))]
#[case::half_a_head("HTTP/1.1 200 OK\r\nContent-", Broken::CutOff)]
#[case::short_body("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nOK", Broken::BodyCutOff("unexpected EOF".into()))]
#[case::short_chunk("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nOK", Broken::BodyCutOff("unexpected EOF".into()))]
#[case::no_last_chunk("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n", Broken::BodyCutOff("unexpected EOF".into()))]
#[case::chunk_without_size("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", Broken::Body("invalid byte in chunk length".into()))]
#[case::cut_off_without_size("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nOK", Broken::Body("unexpected EOF".into()))]
#[case::not_chunked("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nOK all fine\n", Broken::Body("chunked line ends with bare LF".into()))]
#[case::chunked_twice("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", Broken::Head("too many transfer encodings: [\"chunked\" \"chunked\"]".into()))]
#[case::chunk_too_long("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK!\r\n", Broken::Body("malformed chunked encoding".into()))]
#[case::two_lengths("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Broken::Head("http: message cannot contain multiple Content-Length headers; got [\"1\" \"2\"]".into()))]
#[case::negative_length("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Broken::Head("bad Content-Length \"-1\"".into()))]
#[case::coding("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Broken::Head("unsupported transfer encoding: \"gzip\"".into()))]
fn names_what_is_broken(#[case] text: &str, #[case] broken: Broken, #[values(1, 4096)] step: usize) {
    assert_eq!(read(text.as_bytes(), step), Err(broken));
}

#[test]
fn a_body_is_cut_at_the_limit_and_that_is_no_error() {
    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n{}", "x".repeat(MAX_BODY + 1));
    let (status, body) = read(text.as_bytes(), 1000).unwrap();
    assert_eq!((status, body.len()), (200, MAX_BODY));
}

#[test]
fn an_endless_head_is_refused() {
    let mut reader = Reader::new(Tolerance::CURRENT);
    reader.push(b"HTTP/1.1 200 OK\r\n").unwrap();
    let lines = b"A: b\r\n".repeat(4096);
    let broken = (0..MAX_HEAD / lines.len() + 1).find_map(|_| reader.push(&lines).err());
    assert!(matches!(broken, Some(Broken::Head(text)) if text.contains("exceeded")));
}

#[test]
fn informational_responses_are_counted_before_go_1_24_and_limited_in_size_since_then() {
    let reads = |version: &str, times: usize| {
        let mut reader = Reader::new(Profile::of_version(version).tolerance);
        let text = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(times) + "HTTP/1.1 204 No Content\r\n\r\n";
        text.as_bytes().chunks(4096).find_map(|piece| reader.push(piece).map(|done| done.then_some(())).transpose())
    };
    assert_eq!([reads("1.32", 5), reads("1.33", 6)], [Some(Ok(())), Some(Ok(()))]);
    assert!(matches!(reads("1.32", 6), Some(Err(Broken::Head(text))) if text.contains("1xx")));
    assert!(matches!(reads("1.33", MAX_HEAD / 20), Some(Err(Broken::Head(text))) if text.contains("exceeded")));
}

/// Bytes that look enough like a response to get past the first checks.
fn almost_http() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Just(b"HTTP/1.1 ".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        Just(b"Content-Length: 18446744073709551615\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"ffffffffffffffff\r\n".to_vec()),
        Just(b"3\r\nabc\r\n0\r\n\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_mean_the_same(bytes in almost_http(), step in 1_usize..40) {
        prop_assert_eq!(read(&bytes, step), read(&bytes, bytes.len()));
    }
}
