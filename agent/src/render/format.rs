//! The ready formats, and how each writes one value. Pure.

use contract::quote::{json_text, properties_text, shell_quoted};
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

#[cfg(test)]
mod tests;
