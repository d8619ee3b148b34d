//! The end of a response's body: by length, by chunks, or with the connection.

use super::{
    Broken, Head, MAX_BODY,
    head::{fields, go_quoted},
};

/// The limit of chunk headers and trailers (`maxLineLength` in net/http/internal/chunked.go, and the buffer's size).
const MAX_LINE: usize = 4096;
/// The limit of bytes that are not data (`beginChunk` there).
const MAX_EXCESS: i64 = 16 * 1024;

/// The remainder of a body.
#[derive(Debug)]
pub(super) enum Body {
    /// This many bytes.
    Length(u64),
    /// Until the connection ends.
    Close,
    Chunked(Chunks),
}

/// The position in a chunked body.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    line: Vec<u8>,
    excess: i64,
    state: ChunkState,
}

#[derive(Debug, Default, Clone, Copy)]
enum ChunkState {
    #[default]
    Size,
    /// In a chunk, with this many bytes left.
    Data(u64),
    /// At the line end after a chunk.
    DataEnd,
    Trailer,
    Done,
}

impl Body {
    /// The framing that the head announces, or Go's error (`readTransfer` in net/http/transfer.go).
    pub(super) fn of(head: &Head) -> Result<Self, String> {
        let codings: Vec<_> = head.values("transfer-encoding").filter(|_| head.version >= (1, 1)).collect();
        let chunked = match codings.as_slice() {
            [] => false,
            [one] if one.eq_ignore_ascii_case("chunked") => true,
            [one] => return Err(format!("unsupported transfer encoding: {}", go_quoted(one.as_bytes()))),
            many => return Err(format!("too many transfer encodings: {}", list(many))),
        };
        let lengths: Vec<&str> = head.values("content-length").map(str::trim_ascii).collect();
        let length = match lengths.as_slice() {
            [] => None,
            [first, others @ ..] if others.iter().any(|other| other != first) => {
                let got = list(&lengths);
                return Err(format!("http: message cannot contain multiple Content-Length headers; got {got}"));
            }
            ["", ..] => return Err("invalid empty Content-Length \"\"".to_owned()),
            [first, ..] => {
                let is_number = first.bytes().all(|b| b.is_ascii_digit());
                let length = first.parse::<i64>().ok().filter(|_| is_number);
                Some(length.ok_or_else(|| format!("bad Content-Length {}", go_quoted(first.as_bytes())))?)
            }
        };
        if chunked {
            let refused = |key: &&str| {
                ["Transfer-Encoding", "Trailer", "Content-Length"].iter().any(|name| name.eq_ignore_ascii_case(key))
            };
            if let Some(key) = head.values("trailer").flat_map(|value| value.split(',')).map(str::trim).find(refused) {
                return Err(format!("bad trailer key {}", go_quoted(key.as_bytes())));
            }
        }
        Ok(match length {
            _ if matches!(head.status, 101 | 204 | 304) => Self::Length(0),
            _ if chunked => Self::Chunked(Chunks::default()),
            Some(length) => Self::Length(length.unsigned_abs()),
            None => Self::Close,
        })
    }

    /// Appends the body's next bytes to `body`, up to the kubelet's limit. `true` if the body is complete or the limit is reached.
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
    pub(super) fn end(&self) -> Result<(), Broken> {
        match self {
            Self::Close | Self::Length(0) | Self::Chunked(Chunks { state: ChunkState::Done, .. }) => Ok(()),
            Self::Chunked(Chunks { state: ChunkState::Trailer, line, .. }) => {
                Err(Broken::BodyCutOff(match line.len() {
                    0 | 1 => "http: unexpected EOF reading trailer".to_owned(),
                    _ => LONG_TRAILER.to_owned(),
                }))
            }
            // For Go the line ends early, but the whole of it would be no size either.
            Self::Chunked(Chunks { state: ChunkState::Size, line, .. })
                if line.first().is_some_and(|b| !b.is_ascii_hexdigit()) =>
            {
                Err(Broken::Body("unexpected EOF".to_owned()))
            }
            Self::Length(_) | Self::Chunked(_) => Err(Broken::BodyCutOff("unexpected EOF".to_owned())),
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
                    self.line.push(first);
                    if let Some(state) = self.after_byte()? {
                        self.state = state;
                        self.line.clear();
                    }
                }
            }
        }
        Ok(body.len() == MAX_BODY || matches!(self.state, ChunkState::Done))
    }

    /// The next state once the line is complete.
    fn after_byte(&mut self) -> Result<Option<ChunkState>, String> {
        let line = self.line.as_slice();
        match self.state {
            ChunkState::DataEnd if line.len() < 2 => Ok(None),
            ChunkState::DataEnd if line == b"\r\n" => Ok(Some(ChunkState::Size)),
            ChunkState::DataEnd => Err("malformed chunked encoding".to_owned()),
            ChunkState::Trailer if line == b"\r\n" => Ok(Some(ChunkState::Done)),
            ChunkState::Trailer if line.ends_with(b"\r\n\r\n") => fields(line).map(|_| Some(ChunkState::Done)),
            ChunkState::Trailer if line.len() >= MAX_LINE => Err(LONG_TRAILER.to_owned()),
            ChunkState::Trailer => Ok(None),
            _ if line.len() > MAX_LINE => Err("header line too long".to_owned()),
            _ if !line.ends_with(b"\n") => Ok(None),
            _ => {
                let line = match line.iter().position(|&b| b == b'\r') {
                    None => return Err("chunked line ends with bare LF".to_owned()),
                    Some(at) if at != line.len() - 2 => return Err("invalid CR in chunked line".to_owned()),
                    Some(at) => &line[..at],
                };
                let size = chunk_size(line)?;
                // Sixteen bytes for each chunk, plus twice its data, are allowed.
                let overhead = line.len() as i64 + 2;
                self.excess = self.excess.saturating_add(overhead - 16).saturating_sub_unsigned(size.saturating_mul(2));
                self.excess = self.excess.max(0);
                if self.excess > MAX_EXCESS {
                    return Err("chunked encoding contains too much non-data".to_owned());
                }
                Ok(Some(if size == 0 { ChunkState::Trailer } else { ChunkState::Data(size) }))
            }
        }
    }
}

const LONG_TRAILER: &str = "http: suspiciously long trailer after chunked body";

/// The size in a chunk's line, without extensions.
fn chunk_size(line: &[u8]) -> Result<u64, String> {
    let end = line.iter().rposition(|b| !matches!(b, b' ' | b'\t')).map_or(0, |last| last + 1);
    let digits = line[..end].split(|&b| b == b';').next().unwrap_or_default();
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    match digits {
        None => Err("invalid byte in chunk length".to_owned()),
        Some("") => Err("empty hex number for chunk length".to_owned()),
        Some(digits) if digits.len() > 16 => Err("http chunk length too large".to_owned()),
        Some(digits) => u64::from_str_radix(digits, 16).map_err(|_| "http chunk length too large".to_owned()),
    }
}

/// Texts in quotes and brackets, as Go prints a list of them.
fn list(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| go_quoted(text.as_bytes())).collect();
    format!("[{}]", texts.join(" "))
}

fn append(body: &mut Vec<u8>, bytes: &[u8]) {
    let room = MAX_BODY.saturating_sub(body.len());
    body.extend_from_slice(&bytes[..room.min(bytes.len())]);
}
