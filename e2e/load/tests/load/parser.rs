//! The response parser against arbitrary bytes and arbitrary splits.

use e2e_load::load::{Decoder, Failure, Limits, Progress, Rejected};
use proptest::prelude::*;

const LIMITS: Limits = Limits { head_bytes: 512, body_bytes: 2048 };
/// Enough for what is kept within the limits.
const SPACE: usize = 16 * 1024;

/// Everything that a response tells: status, body, one header, and whether the connection lives on.
#[derive(Debug, PartialEq)]
pub(crate) struct Parsed {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    header: Option<Vec<u8>>,
}

/// Feeds the bytes in pieces, each at most as long as the next of `sizes`, and then the end of the stream.
fn parse(bytes: &[u8], sizes: &[usize], head_only: bool) -> Result<Parsed, Rejected> {
    parse_with(&mut Decoder::new(LIMITS), bytes, sizes, head_only, SPACE)
}

/// [`parse`] with a decoder that may have read responses before, and that has at most so much space.
pub(crate) fn parse_with(
    decoder: &mut Decoder,
    bytes: &[u8],
    sizes: &[usize],
    head_only: bool,
    most_space: usize,
) -> Result<Parsed, Rejected> {
    decoder.begin(head_only);
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            decoder.end_of_stream()?;
            break;
        }
        let space = decoder.space();
        assert!(!space.is_empty() && space.len() <= most_space, "space of {}", space.len());
        let taken = (*size).min(rest.len()).min(space.len());
        space[..taken].copy_from_slice(&rest[..taken]);
        rest = &rest[taken..];
        if decoder.advance(taken)? == Progress::Complete {
            break;
        }
    }
    let response = decoder.response().expect("a response that is complete");
    Ok(Parsed {
        status: response.status,
        body: response.body.to_vec(),
        header: response.header("x").map(<[u8]>::to_vec),
    })
}

fn whole(bytes: &[u8]) -> Result<Parsed, Rejected> {
    parse(bytes, &[bytes.len().max(1)], false)
}

/// Bytes that are often nearly a response: pieces of responses in any order, with arbitrary bytes among them.
pub(crate) fn nearly_http() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        4 => proptest::sample::select(vec![
            &b"HTTP/1.1 200 OK\r\n"[..], b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.0 500 \r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
            b"content-length: 5\r\n", b"Content-Length: 0\r\n", b"transfer-encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n",
            b"connection: close\r\n", b"x: y\r\n", b"\r\n", b"\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\nx: y\r\n\r\n", b"hello",
            b"fff\r\n", b"ffffffffffffffff\r\n", b"1;a=b\r\nz\r\n", b"HTTP/1.1 ",
        ]).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 0..3000usize).prop_map(|(byte, length)| vec![byte; length]),
    ];
    proptest::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn any_bytes_give_a_verdict_that_no_split_changes(
        bytes in nearly_http(),
        sizes in proptest::collection::vec(1..64usize, 1..8),
        head_only: bool,
    ) {
        let at_once = parse(&bytes, &[bytes.len().max(1)], head_only);
        prop_assert_eq!(&parse(&bytes, &sizes, head_only), &at_once);
        prop_assert_eq!(&parse(&bytes, &[1], head_only), &at_once);
    }

    #[test]
    fn responses_before_change_nothing(
        kinds in proptest::collection::vec(nearly_http(), 1..4),
        order in proptest::collection::vec((any::<proptest::sample::Index>(), any::<bool>()), 1..12),
        sizes in proptest::collection::vec(1..64usize, 1..8),
    ) {
        let mut decoder = Decoder::new(LIMITS);
        for (index, head_only) in order {
            let bytes = index.get(&kinds);
            prop_assert_eq!(parse_with(&mut decoder, bytes, &sizes, head_only, SPACE), parse(bytes, &sizes, head_only));
        }
    }

    #[test]
    fn what_is_written_is_read(
        status in 200..600u16,
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..200), 0..10),
        chunked: bool,
        sizes in proptest::collection::vec(1..64usize, 1..8),
    ) {
        prop_assume!(status != 204 && status != 304);
        let body = chunks.concat();
        let mut bytes = format!("HTTP/1.1 {status} Reason\r\nX: y\r\n").into_bytes();
        if chunked {
            bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in &chunks {
                bytes.extend(format!("{:X}\r\n", chunk.len()).into_bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        } else {
            bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes());
            bytes.extend(&body);
        }
        let expected = Parsed { status, body, header: Some(b"y".to_vec()) };
        prop_assert_eq!(parse(&bytes, &sizes, false), Ok(expected));
    }
}

#[test]
fn limits_are_exact() {
    // Around the letters there are 17 + 19 + 3 bytes before and 4 after: 469 letters make 512 bytes.
    let head = |letters: usize| format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: {}\r\n\r\n", "y".repeat(letters));
    assert!(whole(head(469).as_bytes()).is_ok());
    assert_eq!(whole(head(470).as_bytes()).unwrap_err().failure, Failure::ResponseTooLarge);
    let body = |letters: usize| {
        format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{letters:x}\r\n{}\r\n0\r\n\r\n",
            "y".repeat(letters)
        )
    };
    assert_eq!(whole(body(2048).as_bytes()).unwrap().body.len(), 2048);
    assert_eq!(whole(body(2049).as_bytes()).unwrap_err().detail, "body too large");
    // A chunk's size line has 1024 bytes, of which "2;" and the line end take 4.
    let line = |letters: usize| {
        let extension = "y".repeat(letters);
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;{extension}\r\nOK\r\n0\r\n\r\n")
    };
    assert_eq!(whole(line(1020).as_bytes()).unwrap().body, b"OK");
    assert_eq!(whole(line(1021).as_bytes()).unwrap_err().detail, "chunk size line too long");
}

#[test]
fn retry_after_is_seconds() {
    let retry_after = |value: &str| {
        let bytes = format!("HTTP/1.1 503 X\r\nretry-after: {value}\r\ncontent-length: 0\r\n\r\n");
        let mut decoder = Decoder::new(Limits::default());
        decoder.space()[..bytes.len()].copy_from_slice(bytes.as_bytes());
        decoder.advance(bytes.len()).unwrap();
        decoder.response().unwrap().retry_after().map(|delay| delay.as_secs())
    };
    assert_eq!(retry_after("0"), Some(0));
    assert_eq!(retry_after("120"), Some(120));
    for none in ["", "+1", "-1", "1.5", "99999999999", "Wed, 21 Oct 2015 07:28:00 GMT"] {
        assert_eq!(retry_after(none), None, "{none}");
    }
}
