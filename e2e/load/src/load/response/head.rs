//! A response's head: its status and how long its body is.

use std::mem::MaybeUninit;

use super::{Limits, Rejected};
use e2e_figures::Failure;

/// More headers than this are refused, as hyper does.
pub(super) const MOST_HEADERS: usize = 100;

/// The body is larger than the limit.
pub(super) const BODY_TOO_LARGE: Rejected = Rejected { failure: Failure::ResponseTooLarge, detail: "body too large" };

/// What the rest of a response depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) length: usize,
    pub(super) framing: Framing,
    pub(super) keeps_alive: bool,
}

/// Where the body ends (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Head {
    /// Whether another head follows for the same request.
    pub(super) fn is_interim(&self) -> bool {
        (100..200).contains(&self.status)
    }
}

/// Reads a head from the start of `bytes`; nothing when it is not whole yet.
pub(super) fn parse(bytes: &[u8], head_only: bool, limits: &Limits) -> Result<Option<Head>, Rejected> {
    // Only the bytes within the limit are looked at, so that the verdict does not depend on how much has arrived.
    let within = &bytes[..bytes.len().min(limits.head_bytes)];
    let mut storage = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_response_with_uninit_headers(&mut response, within, &mut storage) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() >= limits.head_bytes => {
            return Err(too_large("head too large"));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(too_large("too many headers")),
        Err(error) => return Err(malformed(explain(error))),
    };
    let (Some(status), Some(version)) = (response.code, response.version) else {
        return Err(malformed("no status"));
    };
    let fields = Fields::collect(response.headers);
    let framing = fields.framing(status, head_only)?;
    if matches!(framing, Framing::Length(body) if body > limits.body_bytes) {
        return Err(BODY_TOO_LARGE);
    }
    if status == 101 || !(100..=999).contains(&status) {
        return Err(malformed("a status that answers no request"));
    }
    Ok(Some(Head { status, length, framing, keeps_alive: fields.keeps_alive(version, framing) }))
}

/// The headers of a head that was parsed before.
pub(super) fn headers<'bytes, 'storage>(
    head: &'bytes [u8],
    storage: &'storage mut [MaybeUninit<httparse::Header<'bytes>>],
) -> Option<&'storage [httparse::Header<'bytes>]> {
    let mut response = httparse::Response::new(&mut []);
    httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, head, storage).ok()?;
    Some(response.headers)
}

pub(super) fn malformed(detail: &'static str) -> Rejected {
    Rejected { failure: Failure::MalformedResponse, detail }
}

pub(super) fn too_large(detail: &'static str) -> Rejected {
    Rejected { failure: Failure::ResponseTooLarge, detail }
}

/// The headers that decide about framing and the connection.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    /// What is wrong with the length, which only matters where it decides.
    length_fault: Option<&'static str>,
    has_transfer_encoding: bool,
    is_chunked: bool,
    close: bool,
    keep_alive: bool,
}

impl Fields {
    fn collect(headers: &[httparse::Header<'_>]) -> Self {
        let mut fields = Fields::default();
        for header in headers {
            // The length of the name rules out nearly all headers before any comparison.
            match header.name.len() {
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    for element in elements(header.value) {
                        let Some(length) = decimal(element) else {
                            fields.length_fault = Some("invalid content-length");
                            continue;
                        };
                        if fields.length.replace(length).is_some_and(|before| before != length) {
                            fields.length_fault = Some("several content-lengths");
                        }
                    }
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    fields.has_transfer_encoding = true;
                    // Only the last encoding decides: chunked delimits the body, any other leaves that to the close.
                    if let Some(last) = elements(header.value).last() {
                        fields.is_chunked = last.eq_ignore_ascii_case(b"chunked");
                    }
                }
                10 if header.name.eq_ignore_ascii_case("connection") => {
                    for element in elements(header.value) {
                        fields.close |= element.eq_ignore_ascii_case(b"close");
                        fields.keep_alive |= element.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                _ => {}
            }
        }
        fields
    }

    fn framing(&self, status: u16, head_only: bool) -> Result<Framing, Rejected> {
        if head_only || status < 200 || status == 204 || status == 304 {
            return Ok(Framing::Length(0));
        }
        match (self.has_transfer_encoding, self.length, self.length_fault) {
            (true, _, _) if self.is_chunked => Ok(Framing::Chunked),
            (true, _, _) | (false, None, None) => Ok(Framing::UntilClose),
            (false, _, Some(fault)) => Err(malformed(fault)),
            // A length above what memory can hold is above every limit as well.
            (false, Some(length), None) => Ok(Framing::Length(usize::try_from(length).unwrap_or(usize::MAX))),
        }
    }

    /// RFC 9112, section 9.3; and section 6.1 for a message whose framing cannot be trusted by the next one.
    fn keeps_alive(&self, version: u8, framing: Framing) -> bool {
        let faulty = self.has_transfer_encoding && (self.length.is_some() || version == 0);
        let wanted = if version == 0 { self.keep_alive } else { true };
        wanted && !self.close && !faulty && framing != Framing::UntilClose
    }
}

/// The elements of a comma-separated header.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

fn explain(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "invalid header name",
        httparse::Error::HeaderValue => "invalid header value",
        httparse::Error::NewLine => "invalid line end",
        httparse::Error::Status => "invalid status line",
        httparse::Error::Version => "invalid HTTP version",
        _ => "invalid head",
    }
}
