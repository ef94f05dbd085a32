//! The pod's service-account token. Kubelet replaces it long before it expires, so it is read again
//! for each use.

use std::io;
use std::path::Path;

use contract::Redacted;

/// Reads the token: one word of visible ASCII characters.
///
/// # Errors
/// When the file cannot be read, or holds something else.
pub(super) fn read(path: &Path) -> io::Result<Redacted> {
    let bytes = Redacted::new(std::fs::read(path)?);
    let text = bytes.expose().trim_ascii();
    if text.is_empty() || !text.iter().all(u8::is_ascii_graphic) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a token"));
    }
    Ok(Redacted::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_of_visible_ascii() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("token");
        let write = |bytes: &[u8]| {
            io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), bytes).unwrap()
        };
        assert!(read(&path).is_err());
        write(b"abc.def-_\n");
        assert_eq!(read(&path).unwrap().expose(), b"abc.def-_");
        for bad in [&b""[..], b"\n", b"a b", b"a\r\nX: y", b"\xff"] {
            write(bad);
            assert_eq!(read(&path).unwrap_err().to_string(), "not a token");
        }
    }
}
