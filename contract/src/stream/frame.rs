//! Frames: a header in JSON and a body of raw bytes.
//!
//! ```text
//! u32 BE  length of the header
//! u32 BE  length of the body
//! header  one message, JSON
//! body    the values that the message lists, one after the other
//! ```
//!
//! Values stay out of the JSON, because a JSON parser makes copies that are never wiped.

use zeroize::Zeroize;

use crate::layout::MAX_POD_BYTES;
use crate::redacted::Redacted;

/// The longest header, in bytes: a thousand secrets with the longest names fit.
pub const MAX_HEADER_BYTES: usize = 1 << 20;

const PREFIX_BYTES: usize = 8;

/// One frame.
#[derive(Debug)]
pub struct Frame {
    /// The message, JSON.
    pub header: Vec<u8>,
    /// The values.
    pub body: Redacted,
}

/// Why bytes are not a frame. The stream cannot go on after that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The header is longer than [`MAX_HEADER_BYTES`].
    #[error("read frame: header of {0} bytes is over the limit of {MAX_HEADER_BYTES}")]
    Header(usize),
    /// The body is longer than a pod may hold.
    #[error("read frame: body of {0} bytes is over the limit of {MAX_POD_BYTES}")]
    Body(usize),
}

impl Frame {
    /// The frame's bytes.
    #[must_use]
    pub fn encode(&self) -> Redacted {
        encode(&self.header, &[self.body.expose()])
    }
}

/// The bytes of a frame whose body is the given values, without an intermediate copy of them.
#[must_use]
pub fn encode(header: &[u8], values: &[&[u8]]) -> Redacted {
    let body: usize = values.iter().map(|value| value.len()).sum();
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + header.len() + body);
    // Callers cap both far below 4 GiB; the reader refuses what is over.
    bytes.extend_from_slice(&u32::try_from(header.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(&u32::try_from(body).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(header);
    for value in values {
        bytes.extend_from_slice(value);
    }
    Redacted::new(bytes)
}

/// Splits a stream of bytes into frames. Its buffer holds values, so it is wiped as it empties.
#[derive(Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Appends what has arrived. Reserves room for the whole frame once its length is known, so
    /// that the buffer does not leave copies behind by growing.
    pub fn push(&mut self, bytes: &[u8]) {
        let needed = self.buffer.len() + bytes.len();
        if needed > self.buffer.capacity() {
            let wanted = match self.lengths() {
                Some((header, body)) if header <= MAX_HEADER_BYTES && body <= MAX_POD_BYTES => {
                    needed.max(PREFIX_BYTES + header + body)
                }
                _ => needed,
            };
            let mut larger = Vec::with_capacity(wanted.max(256));
            larger.extend_from_slice(&self.buffer);
            self.buffer.zeroize();
            self.buffer = larger;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    ///
    /// # Errors
    /// When the peer announces more than the limits.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((header, body)) = self.lengths() else { return Ok(None) };
        if header > MAX_HEADER_BYTES {
            return Err(FrameError::Header(header));
        }
        if body > MAX_POD_BYTES {
            return Err(FrameError::Body(body));
        }
        let end = PREFIX_BYTES + header + body;
        if self.buffer.len() < end {
            return Ok(None);
        }
        let frame = Frame {
            header: self.buffer[PREFIX_BYTES..PREFIX_BYTES + header].to_vec(),
            body: Redacted::from(&self.buffer[PREFIX_BYTES + header..end]),
        };
        let rest = self.buffer[end..].to_vec();
        self.buffer.zeroize();
        self.buffer = rest;
        Ok(Some(frame))
    }

    fn lengths(&self) -> Option<(usize, usize)> {
        let at = |from: usize| {
            let bytes: [u8; 4] = self.buffer.get(from..from + 4)?.try_into().ok()?;
            usize::try_from(u32::from_be_bytes(bytes)).ok()
        };
        Some((at(0)?, at(4)?))
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_over_the_limit_is_refused_before_it_arrives() {
        let mut decoder = Decoder::default();
        decoder.push(&[0xff; 8]);
        assert!(decoder.next_frame().is_err());
        let mut decoder = Decoder::default();
        decoder.push(&[0, 0, 0, 2, 0x7f, 0, 0, 0]);
        assert_eq!(decoder.next_frame().unwrap_err(), FrameError::Body(0x7f00_0000));
    }

    proptest! {
        #[test]
        fn frames_survive_any_cut(
            frames in prop::collection::vec(
                (
                    prop::collection::vec(any::<u8>(), 0..200),
                    prop::collection::vec(any::<u8>(), 0..500),
                ),
                1..5,
            ),
            cut in 1usize..64,
        ) {
            let mut wire = Vec::new();
            for (header, body) in &frames {
                wire.extend_from_slice(encode(header, &[body]).expose());
            }
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for piece in wire.chunks(cut) {
                decoder.push(piece);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    found.push((frame.header, frame.body.expose().to_vec()));
                }
            }
            prop_assert_eq!(found, frames);
        }
    }
}
