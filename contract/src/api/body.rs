//! Bodies that hold a value or a token: serialised into memory that is wiped.

use std::io;

use serde::Serialize;
use zeroize::Zeroizing;

use crate::redacted::Redacted;

/// Serialises `body`. No copy of a part of it stays behind where the buffer grew.
pub(super) fn redacted<T: Serialize>(body: &T) -> Result<Redacted, serde_json::Error> {
    let mut buffer = Buffer(Zeroizing::new(Vec::with_capacity(1024)));
    serde_json::to_writer(&mut buffer, body)?;
    Ok(Redacted::new(std::mem::take(&mut *buffer.0)))
}

struct Buffer(Zeroizing<Vec<u8>>);

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * self.0.capacity())));
            larger.extend_from_slice(&self.0);
            // The smaller one is wiped as it is dropped.
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_longer_than_the_buffer() {
        let text = "x".repeat(5000);
        assert_eq!(
            redacted(&[&text, &text]).unwrap().expose(),
            format!("[\"{text}\",\"{text}\"]").as_bytes()
        );
    }
}
