//! The ready formats, and how each writes one value. Pure.

use contract::rendered::Format;
use contract::{FileName, Redacted};
use zeroize::Zeroizing;

use super::Secrets;

/// Why the secrets cannot be written in a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A value that is no text.
    #[error("secret {0} is not UTF-8, which {1} needs")]
    NotText(String, Format),
    /// A value that no line of a shell can hold.
    #[error("secret {0} contains a NUL byte, which dotenv cannot hold")]
    Nul(String),
}

/// All secrets, sorted by name.
pub(super) fn render(format: Format, secrets: &Secrets) -> Result<Redacted, FormatError> {
    let mut out = Zeroizing::new(Vec::new());
    match format {
        Format::Dotenv => {
            for (name, value) in secrets.iter().filter(|(name, _)| is_variable(name.as_str())) {
                let name = name.as_str();
                if value.expose().contains(&0) {
                    return Err(FormatError::Nul(name.to_owned()));
                }
                out.extend_from_slice(name.as_bytes());
                out.push(b'=');
                shell_quoted(value.expose(), &mut out);
                out.push(b'\n');
            }
        }
        Format::Json => {
            out.push(b'{');
            for (at, (name, value)) in secrets.iter().enumerate() {
                out.extend_from_slice(if at == 0 { b"\n  " } else { b",\n  " });
                out.extend_from_slice(json_text(name.as_str()).as_bytes());
                out.extend_from_slice(b": ");
                out.extend_from_slice(json_text(text(format, name, value)?).as_bytes());
            }
            out.extend_from_slice(b"\n}\n");
        }
        Format::Properties => {
            for (name, value) in secrets {
                let line = Zeroizing::new(properties_text(text(format, name, value)?));
                // A secret's name has no character that a key escapes.
                out.extend_from_slice(name.as_str().as_bytes());
                out.push(b'=');
                out.extend_from_slice(line.as_bytes());
                out.push(b'\n');
            }
        }
    }
    Ok(Redacted::new(std::mem::take(&mut *out)))
}

/// Whether a shell takes a name as that of a variable.
fn is_variable(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn text<'v>(format: Format, name: &FileName, value: &'v Redacted) -> Result<&'v str, FormatError> {
    std::str::from_utf8(value.expose())
        .map_err(|_| FormatError::NotText(name.as_str().to_owned(), format))
}

/// In single quotes, in which a shell changes nothing. A quote ends them, stands escaped, and
/// begins them again.
pub(super) fn shell_quoted(value: &[u8], out: &mut Vec<u8>) {
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
pub(super) fn json_text(text: &str) -> Zeroizing<String> {
    Zeroizing::new(serde_json::Value::from(text).to_string())
}

/// The value of a line of `java.util.Properties`, which reads Latin-1: all but printable ASCII is
/// escaped, in UTF-16, and so are backslashes and spaces at the beginning.
pub(super) fn properties_text(text: &str) -> String {
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

#[cfg(test)]
mod tests;
