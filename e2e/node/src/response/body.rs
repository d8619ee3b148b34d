//! Where a response's body ends: by length, by chunks, or with the connection.

use super::{Head, MAX_BODY};

/// Longer chunk headers and trailers are refused (`maxLineLength` in net/http/internal/chunked.go).
const MAX_LINE: usize = 4096;

/// What is still to come of a body.
#[derive(Debug)]
pub(super) enum Body {
    /// This many bytes.
    Length(u64),
    /// Until the connection ends.
    Close,
    /// Chunks.
    Chunked(Chunks),
}

/// The place in a chunked body.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    line: Vec<u8>,
    state: ChunkState,
}

#[derive(Debug, Default, Clone, Copy)]
enum ChunkState {
    /// In a line that says how long the next chunk is.
    #[default]
    Size,
    /// This many bytes of the chunk are missing.
    Data(u64),
    /// At the line end after a chunk.
    DataEnd,
    /// In the lines after the last chunk.
    Trailer,
    /// All of it has been seen.
    Done,
}

impl Body {
    /// The framing that the head announces, with Go's words for one that it refuses.
    pub(super) fn of(head: &Head) -> Result<Self, String> {
        if head.status == 101 || head.status == 204 || head.status == 304 {
            return Ok(Self::Length(0));
        }
        let codings: Vec<_> = head.values("transfer-encoding").collect();
        match codings.as_slice() {
            [] => {}
            [one] if one.trim().eq_ignore_ascii_case("chunked") => return Ok(Self::Chunked(Chunks::default())),
            [one] => return Err(format!("unsupported transfer encoding: {one:?}")),
            many => return Err(format!("too many transfer encodings: {many:?}")),
        }
        let mut lengths = head.values("content-length").map(str::trim);
        let Some(first) = lengths.next() else {
            return Ok(Self::Close);
        };
        if lengths.any(|other| other != first) {
            return Err("http: message cannot contain multiple Content-Length headers".to_owned());
        }
        let is_number = !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit());
        let length = first.parse().ok().filter(|_| is_number);
        length.map(Self::Length).ok_or_else(|| format!("bad Content-Length {first:?}"))
    }

    /// Appends the body's next bytes to `body`, up to the kubelet's limit. `true` when the body is whole or the limit is
    /// reached.
    pub(super) fn push(&mut self, bytes: &[u8], body: &mut Vec<u8>) -> Result<bool, String> {
        match self {
            Self::Length(missing) => {
                let take = usize::try_from(*missing).map_or(bytes.len(), |missing| missing.min(bytes.len()));
                append(body, &bytes[..take]);
                *missing -= take as u64;
                Ok(*missing == 0 || body.len() == MAX_BODY)
            }
            Self::Close => {
                append(body, bytes);
                Ok(body.len() == MAX_BODY)
            }
            Self::Chunked(chunks) => chunks.push(bytes, body),
        }
    }

    /// The connection ended here.
    pub(super) fn end(&self) -> Result<(), String> {
        match self {
            Self::Close | Self::Length(0) | Self::Chunked(Chunks { state: ChunkState::Done, .. }) => Ok(()),
            Self::Length(_) | Self::Chunked(_) => Err("unexpected EOF".to_owned()),
        }
    }
}

impl Chunks {
    fn push(&mut self, mut bytes: &[u8], body: &mut Vec<u8>) -> Result<bool, String> {
        while !bytes.is_empty() && body.len() < MAX_BODY {
            match self.state {
                ChunkState::Done => return Ok(true),
                ChunkState::Data(missing) => {
                    let take = usize::try_from(missing).map_or(bytes.len(), |missing| missing.min(bytes.len()));
                    append(body, &bytes[..take]);
                    bytes = &bytes[take..];
                    let missing = missing - take as u64;
                    self.state = if missing == 0 { ChunkState::DataEnd } else { ChunkState::Data(missing) };
                }
                ChunkState::Size | ChunkState::DataEnd | ChunkState::Trailer => {
                    let (&first, rest) = bytes.split_first().ok_or("unreachable: not empty")?;
                    bytes = rest;
                    if first != b'\n' {
                        self.line.push(first);
                        if self.line.len() > MAX_LINE {
                            return Err("header line too long".to_owned());
                        }
                        continue;
                    }
                    self.state = self.after_line()?;
                }
            }
        }
        Ok(body.len() == MAX_BODY || matches!(self.state, ChunkState::Done))
    }

    fn after_line(&mut self) -> Result<ChunkState, String> {
        let line = std::mem::take(&mut self.line);
        let line = line.trim_ascii();
        match self.state {
            ChunkState::Size => Ok(match chunk_size(line)? {
                0 => ChunkState::Trailer,
                size => ChunkState::Data(size),
            }),
            ChunkState::DataEnd if line.is_empty() => Ok(ChunkState::Size),
            ChunkState::DataEnd => Err("malformed chunked encoding".to_owned()),
            ChunkState::Trailer if line.is_empty() => Ok(ChunkState::Done),
            state => Ok(state),
        }
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, String> {
    let digits = line.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    match digits {
        None => Err("invalid byte in chunk length".to_owned()),
        Some("") => Err("empty hex number for chunk length".to_owned()),
        Some(digits) => u64::from_str_radix(digits, 16).map_err(|_| "http chunk length too large".to_owned()),
    }
}

fn append(body: &mut Vec<u8>, bytes: &[u8]) {
    let room = MAX_BODY.saturating_sub(body.len());
    body.extend_from_slice(&bytes[..room.min(bytes.len())]);
}
