//! Requests as bytes: [`RequestHead`] is made once per client and step, and copied into a reused buffer per request.

use std::fmt;
use std::io::Write as _;

/// The prebuilt part of an HTTP/1.1 request: everything before the `content-length`.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestHead(Vec<u8>);

/// A part of a request that cannot be written as HTTP.
#[derive(Debug, thiserror::Error)]
#[error("{part} {text:?} is not allowed in an HTTP request")]
pub struct InvalidRequest {
    part: &'static str,
    text: String,
}

impl RequestHead {
    /// A head with the method, the target (`/path?query`) and the Host header.
    ///
    /// # Errors
    ///
    /// When one of them holds a character that would break the head apart.
    pub fn new(method: &str, target: &str, host: &str) -> Result<Self, InvalidRequest> {
        check("method", method, is_token)?;
        check("target", target, |byte| byte.is_ascii_graphic())?;
        check("host", host, |byte| byte.is_ascii_graphic())?;
        Ok(Self(format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n").into_bytes()))
    }

    /// The same head with one more header.
    ///
    /// # Errors
    ///
    /// When the name is not a token or the value holds a control character.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidRequest> {
        check("header name", name, is_token)?;
        if !value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f)) {
            // The value may be a secret, so that the error names the header only.
            return Err(InvalidRequest { part: "the value of header", text: name.to_owned() });
        }
        for part in [name, ": ", value, "\r\n"] {
            self.0.extend_from_slice(part.as_bytes());
        }
        Ok(self)
    }

    /// Appends a whole request, with a body if there is one.
    pub fn write(&self, body: Option<&[u8]>, request: &mut Vec<u8>) {
        request.extend_from_slice(&self.0);
        write_rest(body, request);
    }
}

/// Appends the rest of a request after a head without its end.
pub(in crate::load) fn write_rest(body: Option<&[u8]>, request: &mut Vec<u8>) {
    if let Some(body) = body {
        write!(request, "content-length: {}\r\n", body.len()).expect("writing to memory does not fail");
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body.unwrap_or_default());
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only the request line: headers may hold secrets.
        let line = self.0.split(|byte| *byte == b'\r').next().unwrap_or_default();
        formatter.debug_tuple("RequestHead").field(&String::from_utf8_lossy(line)).finish()
    }
}

fn check(part: &'static str, value: &str, allowed: impl Fn(u8) -> bool) -> Result<(), InvalidRequest> {
    if !value.is_empty() && value.bytes().all(allowed) {
        return Ok(());
    }
    Err(InvalidRequest { part, text: value.to_owned() })
}

/// Whether a byte may stand in a token (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_a_request_as_a_person_would() {
        let head = RequestHead::new("POST", "/ops?a=1", "localhost:80").unwrap();
        let head = head.header("accept", "*/*").unwrap();
        let mut request = Vec::new();
        head.write(Some(b"{}"), &mut request);
        head.write(None, &mut request);
        let expected = "POST /ops?a=1 HTTP/1.1\r\nhost: localhost:80\r\naccept: */*\r\ncontent-length: 2\r\n\r\n{}\
                        POST /ops?a=1 HTTP/1.1\r\nhost: localhost:80\r\naccept: */*\r\n\r\n";
        assert_eq!(String::from_utf8(request).unwrap(), expected);
    }

    #[test]
    fn refuses_what_would_split_the_request() {
        assert!(RequestHead::new("GE T", "/", "h").is_err());
        assert!(RequestHead::new("GET", "/ HTTP/1.1\r\nx: y", "h").is_err());
        assert!(RequestHead::new("GET", "/", "").is_err());
        let head = RequestHead::new("GET", "/", "h").unwrap();
        assert!(head.clone().header("x", "a\r\nb: c").is_err());
        assert!(head.clone().header("x y", "a").is_err());
        assert!(head.header("x", "").is_ok());
    }
}
