//! Chunked bodies, decoded in place: [`Chunked`].

use super::head::{self, MOST_HEADERS};
use super::{Limits, Rejected};

/// A chunk's size line with its extensions, which are rare, may be this long.
const LONGEST_SIZE_LINE: usize = 1024;

/// The state of a chunked body within the connection's buffer. The decoded bytes lie before `body_end`, what was received and
/// not decoded yet follows them directly.
#[derive(Debug)]
pub(super) struct Chunked {
    body_start: usize,
    body_end: usize,
    part: Part,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Size,
    Data { remaining: usize },
    DataEnd,
    Trailers,
}

/// How far a body is.
pub(super) enum Step {
    Partial,
    Complete { body_end: usize },
}

impl Chunked {
    pub(super) fn new(body_start: usize) -> Self {
        Self { body_start, body_end: body_start, part: Part::Size }
    }

    /// Decodes what has arrived, and moves the rest behind the decoded part, so that the framing takes no memory.
    pub(super) fn decode(&mut self, buffer: &mut [u8], filled: &mut usize, limits: &Limits) -> Result<Step, Rejected> {
        let mut cursor = self.body_end;
        let complete = loop {
            match self.take_part(buffer, &mut cursor, *filled, limits)? {
                Taken::NeedsMore => break false,
                Taken::Part => {}
                Taken::Last => break true,
            }
        };
        buffer.copy_within(cursor..*filled, self.body_end);
        *filled -= cursor - self.body_end;
        Ok(if complete { Step::Complete { body_end: self.body_end } } else { Step::Partial })
    }

    fn take_part(
        &mut self,
        buffer: &mut [u8],
        cursor: &mut usize,
        filled: usize,
        limits: &Limits,
    ) -> Result<Taken, Rejected> {
        let rest = &buffer[*cursor..filled];
        match self.part {
            Part::Size => {
                let Some((length, size)) = size_line(rest)? else {
                    return Ok(Taken::NeedsMore);
                };
                *cursor += length;
                if size > (limits.body_bytes - (self.body_end - self.body_start)) as u64 {
                    return Err(head::BODY_TOO_LARGE);
                }
                // Within the limit, which is a usize.
                self.part = if size == 0 { Part::Trailers } else { Part::Data { remaining: size as usize } };
            }
            Part::Data { remaining } => {
                let length = remaining.min(rest.len());
                buffer.copy_within(*cursor..*cursor + length, self.body_end);
                *cursor += length;
                self.body_end += length;
                self.part =
                    if length == remaining { Part::DataEnd } else { Part::Data { remaining: remaining - length } };
                if length < remaining {
                    return Ok(Taken::NeedsMore);
                }
            }
            Part::DataEnd => match rest {
                [] | [b'\r'] => return Ok(Taken::NeedsMore),
                [b'\r', b'\n', ..] => {
                    *cursor += 2;
                    self.part = Part::Size;
                }
                _ => return Err(head::malformed("chunk is longer than its size")),
            },
            Part::Trailers => {
                let Some(length) = trailers(rest, limits)? else {
                    return Ok(Taken::NeedsMore);
                };
                *cursor += length;
                return Ok(Taken::Last);
            }
        }
        Ok(Taken::Part)
    }
}

enum Taken {
    NeedsMore,
    Part,
    Last,
}

/// The length of a chunk's size line, and the size; nothing when the line is not whole yet.
fn size_line(bytes: &[u8]) -> Result<Option<(usize, u64)>, Rejected> {
    let within = &bytes[..bytes.len().min(LONGEST_SIZE_LINE)];
    // httparse takes a line without digits for a size of 0.
    if within.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) {
        return Err(head::malformed("chunk without a size"));
    }
    match httparse::parse_chunk_size(within) {
        Ok(httparse::Status::Complete(line)) => Ok(Some(line)),
        Ok(httparse::Status::Partial) if bytes.len() >= LONGEST_SIZE_LINE => {
            Err(head::malformed("chunk size line too long"))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(head::malformed("invalid chunk size")),
    }
}

/// The length of the trailers and the empty line after them; nothing when they are not whole yet.
fn trailers(bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Rejected> {
    let within = &bytes[..bytes.len().min(limits.head_bytes)];
    let mut storage = [httparse::EMPTY_HEADER; MOST_HEADERS];
    match httparse::parse_headers(within, &mut storage) {
        Ok(httparse::Status::Complete((length, _))) => Ok(Some(length)),
        Ok(httparse::Status::Partial) if bytes.len() >= limits.head_bytes => Err(head::too_large("trailers too large")),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(head::too_large("too many trailers")),
        Err(_) => Err(head::malformed("invalid trailers")),
    }
}
