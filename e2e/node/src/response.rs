//! Reads an HTTP/1 response from whatever bytes arrive, about as tolerant as Go's client, within bounds. Pure.
//! Main type: [`Reader`].

mod body;
mod head;

use body::Body;

pub(super) use head::Head;

/// How much of a body a kubelet reads (`maxRespBodyLength` in `pkg/probe/http/http.go`); reaching it ends the exchange.
pub(super) const MAX_BODY: usize = 10 * 1024;
/// A head that is longer is refused (`maxHeaderResponseSize` in net/http/transport.go).
const MAX_HEAD: usize = 10 << 20;
/// Go skips this many 1xx responses before it gives up.
const MAX_INFORMATIONAL: u32 = 5;

/// Why the bytes are no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Broken {
    /// No head could be read; the text is Go's.
    Head(String),
    /// The connection ended before the first byte.
    Empty,
    /// The head is there, and the body ended early or breaks its framing; the text is Go's.
    Body(String),
}

/// Takes bytes as they come, and says when the response is whole.
#[derive(Debug, Default)]
pub(super) struct Reader {
    buffer: Vec<u8>,
    searched: usize,
    informational: u32,
    head: Option<Head>,
    framing: Option<Body>,
    body: Vec<u8>,
}

impl Reader {
    /// Takes the next bytes. `true` when nothing more is needed.
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
            // An informational response has no body, and its length is looked at all the same.
            let mut framing = Body::of(&head).map_err(Broken::Head)?;
            if (100..200).contains(&head.status) && head.status != 101 {
                self.informational += 1;
                if self.informational > MAX_INFORMATIONAL {
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
        // A first line that is none says so before the rest of the head arrives.
        if let Some(end) = self.buffer.iter().position(|&b| b == b'\n') {
            head::status_of(&self.buffer[..end]).map_err(Broken::Head)?;
        }
        if self.buffer.len() > MAX_HEAD {
            let text = format!("net/http: server response headers exceeded {MAX_HEAD} bytes; aborted");
            return Err(Broken::Head(text));
        }
        Ok(false)
    }

    /// The connection ended. `Ok` when the response is whole without more.
    pub(super) fn end(&mut self) -> Result<(), Broken> {
        match &self.framing {
            Some(framing) => framing.end().map_err(Broken::Body),
            None if self.buffer.is_empty() && self.informational == 0 => Err(Broken::Empty),
            None => {
                let line = self.buffer.split(|&b| b == b'\n').next().unwrap_or_default();
                if !line.is_empty() {
                    head::status_of(line).map_err(Broken::Head)?;
                }
                Err(Broken::Head("unexpected EOF".to_owned()))
            }
        }
    }

    /// The head, once it is there.
    pub(super) fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// What has arrived of the body, 10 KiB at most.
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
