//! The messages that a stream receives, as far as the measurement needs them.

use std::borrow::Cow;
use std::time::Instant;

use anyhow::{Context, Result};
use contract::stream::BundleGeneration;
use serde::Deserialize;

/// The lengths of the header and of the body.
const PREFIX_BYTES: usize = 8;

/// Bytes per read: more than a message with twenty secrets.
const READ_BYTES: usize = 8 << 10;

/// The header of a message.
#[derive(Debug, Deserialize)]
pub(super) struct Header<'b> {
    #[serde(borrow)]
    pub(super) kind: Cow<'b, str>,
    /// Of a `hold`.
    #[serde(default)]
    pub(super) bundles: Vec<BundleGeneration>,
    /// Of a `refused`.
    #[serde(default)]
    pub(super) detail: String,
}

/// What a stream received. Thousands of them wait with an empty buffer.
#[derive(Default)]
pub(super) struct Received {
    bytes: Vec<u8>,
    /// Up to where messages were taken.
    taken: usize,
}

impl Received {
    /// Room for the next read.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
        self.bytes.reserve(READ_BYTES);
        &mut self.bytes
    }

    /// The header of the next message, once all of that is there, and when it was found to be.
    pub(super) fn next_header(&mut self) -> Result<Option<(Instant, Header<'_>)>> {
        let left = &self.bytes[self.taken..];
        let length = |at: usize| {
            let bytes = left.get(at..at + 4)?.try_into().ok()?;
            usize::try_from(u32::from_be_bytes(bytes)).ok()
        };
        let (Some(header), Some(body)) = (length(0), length(4)) else { return Ok(None) };
        let (from, end) = (PREFIX_BYTES + header, PREFIX_BYTES + header + body);
        if left.len() < end {
            return Ok(None);
        }
        let at = Instant::now();
        self.taken += end;
        let header = serde_json::from_slice(&left[PREFIX_BYTES..from]).context("read message")?;
        Ok(Some((at, header)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use contract::stream::{HeldBundle, HeldSecret, ServerMessage, Snapshot};
    use contract::{Generation, Redacted, Version};

    use super::*;

    #[test]
    fn a_message_is_there_with_its_last_byte() {
        let value = Redacted::from("value".to_owned());
        let secret = HeldSecret { version: Version(1), value };
        let bundle = HeldBundle {
            bundle: "api-prod".parse().unwrap(),
            generation: Generation(7),
            tag: None,
            secrets: BTreeMap::from([("DATABASE_URL".parse().unwrap(), secret)]),
        };
        let hold = ServerMessage::Hold(Snapshot { bundles: vec![bundle] }).encode().unwrap();
        let ping = ServerMessage::Ping.encode().unwrap();
        let all = [hold.expose(), ping.expose()].concat();
        let mut received = Received::default();
        for (at, byte) in all.iter().enumerate() {
            let kinds: Vec<_> = received
                .next_header()
                .unwrap()
                .map(|(_, it)| (it.kind.into_owned(), it.bundles.first().map(|it| it.generation.0)))
                .into_iter()
                .collect();
            let expected =
                if at == hold.len() { vec![("hold".to_owned(), Some(7))] } else { Vec::new() };
            assert_eq!(kinds, expected, "{at}");
            received.room().push(*byte);
        }
        assert_eq!(received.next_header().unwrap().unwrap().1.kind, "ping");
        assert!(received.next_header().unwrap().is_none());
    }
}
