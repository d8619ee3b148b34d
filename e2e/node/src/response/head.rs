//! Status line and headers of a response.

use e2e_kubelet::observation::Header;

/// A server with more headers than this is refused.
const MAX_HEADERS: usize = 1024;

/// Status and headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// The status code.
    pub(crate) status: u16,
    /// The headers, in order.
    pub(crate) headers: Vec<Header>,
}

impl Head {
    /// The values of a header.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let same = move |header: &&Header| header.name.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|header| header.value.as_str())
    }
}

/// Reads a head that ends with its empty line. Errors are worded as Go's.
pub(super) fn parse(bytes: &[u8]) -> Result<Head, String> {
    let end = bytes.iter().position(|&b| b == b'\n').unwrap_or(bytes.len());
    let status = status_of(&bytes[..end])?;
    // The status line is read as Go reads it, which takes more than httparse does; httparse reads the headers.
    let mut text = b"HTTP/1.1 200 OK\r\n".to_vec();
    text.extend_from_slice(bytes.get(end + 1..).unwrap_or_default());
    let mut slots = vec![httparse::EMPTY_HEADER; 64];
    loop {
        let mut response = httparse::Response::new(&mut slots);
        let result = httparse::ParserConfig::default()
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .parse_response(&mut response, &text);
        match result {
            Ok(httparse::Status::Complete(_)) => return Ok(Head { status, headers: owned(response.headers) }),
            Err(httparse::Error::TooManyHeaders) if slots.len() < MAX_HEADERS => {
                slots = vec![httparse::EMPTY_HEADER; slots.len() * 4];
            }
            Ok(httparse::Status::Partial) => return Err("unexpected EOF".to_owned()),
            Err(error) => return Err(broken(&format!("malformed MIME header: {error}"))),
        }
    }
}

fn owned(headers: &[httparse::Header<'_>]) -> Vec<Header> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers.iter().map(|header| Header { name: header.name.to_owned(), value: text(header.value) }).collect()
}

/// The status code of a status line (`ReadResponse` in net/http/response.go).
pub(super) fn status_of(line: &[u8]) -> Result<u16, String> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let malformed = |what: &str, text: &[u8]| broken(&format!("malformed HTTP {what} {:?}", shown(text)));
    let Some(space) = line.iter().position(|&b| b == b' ') else {
        return Err(malformed("response", line));
    };
    let (proto, rest) = (&line[..space], line[space..].trim_ascii_start());
    let code = rest.split(|&b| b == b' ').next().unwrap_or_default();
    let digits =
        std::str::from_utf8(code).ok().filter(|code| code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit()));
    let Some(status) = digits.and_then(|digits| digits.parse().ok()) else {
        return Err(malformed("status code", code));
    };
    match proto {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Ok(status)
        }
        _ => Err(malformed("version", proto)),
    }
}

fn broken(what: &str) -> String {
    format!("net/http: HTTP/1.x transport connection broken: {what}")
}

/// The start of a line for a message, which may hold anything.
fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(100)]).into_owned()
}
