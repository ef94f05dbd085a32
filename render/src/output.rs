//! The bytes of one file while they are written.

use std::fmt;
use std::io::{self, Write};

use contract::Redacted;
use contract::layout::MAX_VALUE_BYTES;
use zeroize::Zeroizing;

/// Takes as much as a file may hold.
pub(crate) struct Output {
    bytes: Zeroizing<Vec<u8>>,
    is_full: bool,
}

impl Output {
    /// No bytes yet.
    pub(crate) fn new() -> Self {
        Self { bytes: Zeroizing::new(Vec::new()), is_full: false }
    }

    /// Whether there was more than a file may hold.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// What was written.
    pub(crate) fn into_bytes(mut self) -> Redacted {
        Redacted::new(std::mem::take(&mut *self.bytes))
    }

    fn push(&mut self, bytes: &[u8]) -> bool {
        if self.bytes.len() + bytes.len() > MAX_VALUE_BYTES {
            self.is_full = true;
        } else {
            self.bytes.extend_from_slice(bytes);
        }
        !self.is_full
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.push(bytes) { Ok(bytes.len()) } else { Err(io::ErrorKind::FileTooLarge.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.push(text.as_bytes()) { Ok(()) } else { Err(fmt::Error) }
    }
}
