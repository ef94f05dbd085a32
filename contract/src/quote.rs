//! How a value is written in the ready formats, and by the filters of templates.

use zeroize::Zeroizing;

/// In single quotes, in which a shell changes nothing. A quote ends them, stands escaped, and
/// begins them again.
pub fn shell_quoted(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    for byte in value {
        match byte {
            b'\'' => out.extend_from_slice(b"'\\''"),
            other => out.push(*other),
        }
    }
    out.push(b'\'');
}

/// A JSON string with its quotes.
#[must_use]
pub fn json_text(text: &str) -> Zeroizing<String> {
    Zeroizing::new(serde_json::Value::from(text).to_string())
}

/// The value of a line of `java.util.Properties`, which reads Latin-1: all but printable ASCII is
/// escaped, in UTF-16, and so are backslashes and spaces at the beginning.
#[must_use]
pub fn properties_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut units = [0; 2];
    for (at, character) in text.char_indices() {
        match character {
            '\\' => out.push_str("\\\\"),
            ' ' if text[..at].bytes().all(|byte| byte == b' ') => out.push_str("\\ "),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(character),
            other => {
                for unit in other.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04X}"));
                }
            }
        }
    }
    out
}
