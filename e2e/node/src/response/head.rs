//! Status line and headers of a response.

use e2e_kubelet::observation::Header;

use crate::request::{is_of_value, is_token};

/// As much of a malformed line as a message shows.
const MAX_SHOWN: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// The version of HTTP, major and minor.
    pub(crate) version: (u8, u8),
    /// The headers, in order.
    pub(crate) headers: Vec<Header>,
}

impl Head {
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let same = move |header: &&Header| header.name.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|header| header.value.as_str())
    }
}

/// Reads a head that ends with its empty line. Errors are worded as Go's.
pub(super) fn parse(bytes: &[u8]) -> Result<Head, String> {
    let end = bytes.iter().position(|&b| b == b'\n').unwrap_or(bytes.len());
    let (version, status) = status_of(&bytes[..end])?;
    let headers = fields(bytes.get(end + 1..).unwrap_or_default())?;
    Ok(Head { status, version, headers })
}

/// Reads header lines up to an empty one (`readMIMEHeader` in net/textproto/reader.go), which accepts blanks in names.
pub(super) fn fields(bytes: &[u8]) -> Result<Vec<Header>, String> {
    let mut lines = bytes.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).peekable();
    if let Some(first) = lines.peek().filter(|line| line.first().is_some_and(is_blank)) {
        return Err(format!("malformed MIME header initial line: {}", shown(first)));
    }
    let mut headers = Vec::new();
    while let Some(line) = lines.next().filter(|line| !line.is_empty()) {
        if !line.contains(&b':') {
            return Err(format!("malformed MIME header: missing colon: {}", go_quoted(line)));
        }
        let mut line = trimmed(line).to_vec();
        // Lines that begin with a blank continue the previous one.
        while let Some(more) = lines.next_if(|line| line.first().is_some_and(is_blank)) {
            line.push(b' ');
            line.extend_from_slice(trimmed(more));
        }
        let colon = line.iter().position(|&b| b == b':').unwrap_or(line.len());
        let (name, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default());
        let is_name = !name.is_empty() && name.iter().all(|&b| b == b' ' || is_token(b));
        if !is_name || !value.iter().copied().all(is_of_value) {
            return Err(format!("malformed MIME header line: {}", shown(&line)));
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        headers.push(Header { name: text(name), value: text(trimmed(value)) });
    }
    Ok(headers)
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_blank(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// Version and status code of a status line (`ReadResponse` in net/http/response.go).
pub(super) fn status_of(line: &[u8]) -> Result<((u8, u8), u16), String> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let malformed = |what: &str, text: &[u8]| format!("malformed HTTP {what} {}", go_quoted(text));
    let Some(space) = line.iter().position(|&b| b == b' ') else {
        return Err(malformed("response", line));
    };
    let (proto, rest) = line.split_at(space);
    let code = rest.split(|&b| b == b' ').find(|part| !part.is_empty()).unwrap_or_default();
    let digits =
        std::str::from_utf8(code).ok().filter(|code| code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit()));
    let Some(status) = digits.and_then(|digits| digits.parse().ok()) else {
        return Err(malformed("status code", code));
    };
    match proto {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Ok(((major - b'0', minor - b'0'), status))
        }
        _ => Err(malformed("version", proto)),
    }
}

/// The start of a line of arbitrary bytes, for a message.
fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(MAX_SHOWN)]).into_owned()
}

/// The same in quotes, as `strconv.Quote` writes it.
pub(super) fn go_quoted(text: &[u8]) -> String {
    let mut shown = String::from('"');
    for part in text[..text.len().min(MAX_SHOWN)].utf8_chunks() {
        for c in part.valid().chars() {
            match c {
                '\x07' => shown.push_str("\\a"),
                '\x08' => shown.push_str("\\b"),
                '\x0b' => shown.push_str("\\v"),
                '\x0c' => shown.push_str("\\f"),
                '\t' | '\n' | '\r' | '"' | '\\' => shown.extend(c.escape_default()),
                c if c.is_ascii_control() => shown.push_str(&format!("\\x{:02x}", u32::from(c))),
                c if c.is_control() => shown.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => shown.push(c),
            }
        }
        part.invalid().iter().for_each(|byte| shown.push_str(&format!("\\x{byte:02x}")));
    }
    shown.push('"');
    shown
}
