//! HTTP/1.1 responses out of bytes, without input or output: [`Decoder`] takes what was received, [`Response`] is the result.
//!
//! The framing follows RFC 9112, section 6.3. The result does not depend on how the bytes were split into reads, and the memory
//! is bounded by [`Limits`].

use std::mem::MaybeUninit;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use chunked::{Chunked, Step};
use e2e_figures::Failure;

mod chunked;
mod head;

use head::{Framing, Head};

/// How large a response may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Status line and headers. Trailers have the same limit of their own.
    pub head_bytes: usize,
    /// The body, without the chunks' own framing.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // 16 KiB is twice what common servers send at most; 1 MiB is far above any answer of a service under test.
        Self { head_bytes: 16 * 1024, body_bytes: 1024 * 1024 }
    }
}

/// A whole response. It borrows the connection's buffer.
#[derive(Debug, Clone, Copy)]
pub struct Response<'buffer> {
    /// The status code.
    pub status: u16,
    /// The body, with the chunks' framing removed.
    pub body: &'buffer [u8],
    head: &'buffer [u8],
}

impl<'buffer> Response<'buffer> {
    /// The first header of this name, whatever its case. The head is searched again for each call, because most requests need
    /// no header.
    pub fn header(&self, name: &str) -> Option<&'buffer [u8]> {
        let mut first = None;
        self.each_header(name, |value| first = first.or(Some(value)));
        first
    }

    /// Shows every header of this name, such as `set-cookie`, which may be there several times.
    pub fn each_header(&self, name: &str, mut see: impl FnMut(&'buffer [u8])) {
        let mut storage = [const { MaybeUninit::uninit() }; head::MOST_HEADERS];
        let headers = head::headers(self.head, &mut storage).unwrap_or_default();
        for header in headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)) {
            see(header.value);
        }
    }

    /// The delay that `Retry-After` asks for in seconds; nothing for its other form, a date.
    pub fn retry_after(&self) -> Option<Duration> {
        let text = std::str::from_utf8(self.header("retry-after")?).ok()?.trim();
        // Digits only: `parse` would take a sign as well. More digits than a u32 holds is not a delay anyone waits for.
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse::<u32>().ok())
            .flatten()
            .map(|seconds| Duration::from_secs(seconds.into()))
    }
}

/// Why bytes are not an acceptable response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected {
    /// The kind that is counted.
    pub failure: Failure,
    /// What exactly was wrong, for people.
    pub detail: &'static str,
}

/// What the bytes received so far make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More is to come.
    Partial,
    /// The response is whole.
    Complete,
}

/// Takes received bytes and finds the response in them. The buffer is reused from one response to the next.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    buffer: Vec<u8>,
    filled: usize,
    head_only: bool,
    known: Option<Known>,
    state: State,
}

/// A head and what it says. A server sends the same one again and again: comparing takes a twentieth of the time of parsing.
#[derive(Debug)]
struct Known {
    bytes: Vec<u8>,
    head_only: bool,
    head: Head,
}

impl Known {
    /// What the bytes begin with, if they begin with this head.
    fn head_of(&self, bytes: &[u8], head_only: bool) -> Option<Head> {
        (self.head_only == head_only && bytes.starts_with(&self.bytes)).then_some(self.head)
    }
}

#[derive(Debug)]
enum State {
    Head,
    Body { head: Head, chunked: Option<Chunked> },
    Complete { head: Head, body_end: usize, excess: bool },
}

/// The buffer before any large response: most responses fit, and ten thousand connections take 40 MB.
const FIRST_CAPACITY: usize = 4096;

impl Decoder {
    /// A decoder that waits for a response.
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: vec![0; FIRST_CAPACITY], filled: 0, head_only: false, known: None, state: State::Head }
    }

    /// Forgets the last response and waits for the next one. The response to HEAD has no body, whatever its headers say.
    pub fn begin(&mut self, head_only: bool) {
        self.filled = 0;
        self.head_only = head_only;
        self.state = State::Head;
    }

    /// The space for the next read; never empty while the response is [`Progress::Partial`].
    pub fn space(&mut self) -> &mut [u8] {
        if self.filled == self.buffer.len() {
            // Bounded: what is kept is at most a head, a body, and a line of a chunk or the trailers.
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        &mut self.buffer[self.filled..]
    }

    /// Takes `received` bytes that were written to [`Decoder::space`].
    ///
    /// # Errors
    ///
    /// When they cannot be part of a response, or of one within the limits.
    pub fn advance(&mut self, received: usize) -> Result<Progress, Rejected> {
        self.filled += received;
        if matches!(self.state, State::Head) && !self.read_head()? {
            return Ok(Progress::Partial);
        }
        self.read_body()
    }

    /// Takes the end of the stream, which completes a body without a length.
    ///
    /// # Errors
    ///
    /// When the response is cut off by it.
    pub fn end_of_stream(&mut self) -> Result<(), Rejected> {
        let cut_off = |detail| Err(Rejected { failure: Failure::ClosedEarly, detail });
        match &self.state {
            State::Complete { .. } => Ok(()),
            State::Body { head, .. } if head.framing == Framing::UntilClose => {
                self.state = State::Complete { head: *head, body_end: self.filled, excess: false };
                Ok(())
            }
            State::Body { .. } => cut_off("closed within the body"),
            State::Head if self.filled == 0 => cut_off("closed without a response"),
            State::Head => cut_off("closed within the head"),
        }
    }

    /// The response, once it is complete.
    pub fn response(&self) -> Option<Response<'_>> {
        match &self.state {
            State::Complete { head, body_end, .. } => Some(Response {
                status: head.status,
                head: &self.buffer[..head.length],
                body: &self.buffer[head.length..*body_end],
            }),
            _ => None,
        }
    }

    /// Whether the connection can carry another request after this response.
    pub fn is_reusable(&self) -> bool {
        matches!(&self.state, State::Complete { head, excess: false, .. } if head.keeps_alive)
    }

    /// Whether bytes came that belong to no response.
    pub fn has_excess(&self) -> bool {
        matches!(&self.state, State::Complete { excess: true, .. })
    }

    /// Reads the head, past interim responses. Whether it is whole.
    fn read_head(&mut self) -> Result<bool, Rejected> {
        loop {
            let received = &self.buffer[..self.filled];
            let known = self.known.as_ref().and_then(|known| known.head_of(received, self.head_only));
            let head = match known {
                Some(head) => head,
                None => match head::parse(received, self.head_only, &self.limits)? {
                    Some(head) => head,
                    None => return Ok(false),
                },
            };
            if head.is_interim() {
                self.buffer.copy_within(head.length..self.filled, 0);
                self.filled -= head.length;
                continue;
            }
            if known.is_none() {
                self.remember(head);
            }
            let chunked = (head.framing == Framing::Chunked).then(|| Chunked::new(head.length));
            self.state = State::Body { head, chunked };
            return Ok(true);
        }
    }

    /// Keeps a head that was parsed, in the space of the one before.
    fn remember(&mut self, head: Head) {
        let mut bytes = self.known.take().map(|known| known.bytes).unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(&self.buffer[..head.length]);
        self.known = Some(Known { bytes, head_only: self.head_only, head });
    }

    fn read_body(&mut self) -> Result<Progress, Rejected> {
        let State::Body { head, chunked } = &mut self.state else {
            return Ok(Progress::Complete);
        };
        let (head, start) = (*head, head.length);
        let body_end = match (head.framing, chunked) {
            (Framing::Length(length), _) if self.filled - start < length => {
                return Ok(Progress::Partial);
            }
            (Framing::Length(length), _) => start + length,
            (_, Some(chunked)) => {
                let step = chunked.decode(&mut self.buffer, &mut self.filled, &self.limits)?;
                let Step::Complete { body_end } = step else {
                    return Ok(Progress::Partial);
                };
                body_end
            }
            (_, None) if self.filled - start > self.limits.body_bytes => {
                return Err(head::BODY_TOO_LARGE);
            }
            (_, None) => return Ok(Progress::Partial),
        };
        self.state = State::Complete { head, body_end, excess: self.filled > body_end };
        Ok(Progress::Complete)
    }
}
