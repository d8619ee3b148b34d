//! Parses an HTTP/1 response incrementally, as tolerant as Go's client, with limits. Pure. Main type: [`Reader`].

mod body;
mod head;

use body::Body;
use e2e_kubelet::profile::Tolerance;

pub(super) use head::Head;

/// A kubelet's limit for a body (`maxRespBodyLength` in `pkg/probe/http/http.go`), which ends the exchange.
pub(super) const MAX_BODY: usize = 10 * 1024;
/// The limit of a head and of the 1xx responses before it (`maxHeaderResponseSize` in net/http/transport.go).
const MAX_HEAD: usize = 10 << 20;
/// Go before 1.24 skips this many 1xx responses before it gives up.
const MAX_INFORMATIONAL: u32 = 5;

/// The error of an invalid response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Broken {
    /// The head is invalid; the text is Go's, without its transport's words.
    Head(String),
    /// The connection ended before the first byte.
    Empty,
    /// The connection ended within the head.
    CutOff,
    /// The body violates its framing; the text is Go's.
    Body(String),
    /// The connection ended within the body; the text is Go's.
    BodyCutOff(String),
}

/// An incremental parser of a response.
#[derive(Debug)]
pub(super) struct Reader {
    tolerance: Tolerance,
    buffer: Vec<u8>,
    searched: usize,
    informational: u32,
    informational_bytes: usize,
    head: Option<Head>,
    framing: Option<Body>,
    body: Vec<u8>,
}

impl Reader {
    pub(super) fn new(tolerance: Tolerance) -> Self {
        Self {
            tolerance,
            buffer: Vec::new(),
            searched: 0,
            informational: 0,
            informational_bytes: 0,
            head: None,
            framing: None,
            body: Vec::new(),
        }
    }

    /// Adds bytes. `true` if the response is complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<bool, Broken> {
        if let Some(framing) = &mut self.framing {
            return framing.push(bytes, &mut self.body).map_err(Broken::Body);
        }
        self.buffer.extend_from_slice(bytes);
        while let Some(end) = self.head_end() {
            let rest = self.buffer.split_off(end);
            let head = head::parse(&self.buffer).map_err(Broken::Head)?;
            self.buffer = rest;
            self.searched = 0;
            // An informational response has no body, but Go checks its length.
            let mut framing = Body::of(&head).map_err(Broken::Head)?;
            if (100..200).contains(&head.status) && head.status != 101 {
                self.informational += 1;
                self.informational_bytes += end;
                if self.informational > MAX_INFORMATIONAL && !self.tolerance.many_informational {
                    return Err(Broken::Head("net/http: too many 1xx informational responses".to_owned()));
                }
                continue;
            }
            self.head = Some(head);
            let rest = std::mem::take(&mut self.buffer);
            let done = framing.push(&rest, &mut self.body);
            self.framing = Some(framing);
            return done.map_err(Broken::Body);
        }
        // An invalid first line fails before the rest of the head arrives.
        if let Some(end) = self.buffer.iter().position(|&b| b == b'\n') {
            head::status_of(&self.buffer[..end]).map_err(Broken::Head)?;
        }
        if self.informational_bytes + self.buffer.len() > MAX_HEAD {
            let text = format!("net/http: server response headers exceeded {MAX_HEAD} bytes; aborted");
            return Err(Broken::Head(text));
        }
        Ok(false)
    }

    /// The connection ended. `Ok` if the response is complete.
    pub(super) fn end(&mut self) -> Result<(), Broken> {
        match &self.framing {
            Some(framing) => framing.end(),
            None if self.buffer.is_empty() && self.informational == 0 => Err(Broken::Empty),
            None => {
                let line = self.buffer.split(|&b| b == b'\n').next().unwrap_or_default();
                if !line.is_empty() {
                    head::status_of(line).map_err(Broken::Head)?;
                }
                Err(Broken::CutOff)
            }
        }
    }

    /// The head, once complete.
    pub(super) fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// The body so far, at most 10 KiB.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The index after the empty line that ends a head.
    fn head_end(&mut self) -> Option<usize> {
        let from = self.searched.saturating_sub(3);
        let window = &self.buffer[from..];
        let end = (0..window.len()).find_map(|i| match &window[i..] {
            [b'\n', b'\n', ..] => Some(from + i + 2),
            [b'\n', b'\r', b'\n', ..] => Some(from + i + 3),
            _ => None,
        });
        self.searched = self.buffer.len();
        end.filter(|&end| end <= MAX_HEAD)
    }
}

#[cfg(test)]
mod tests;
