//! libpq's other form: `host=db user=app password='it''s' dbname=shop`.

use super::UrlError;
use super::parameters::Parameters;
use super::uri::Parts;

/// Whether a text is in this form, and not a URL.
pub(super) fn is_dsn(text: &str) -> bool {
    !text.contains("://") && text.contains('=')
}

/// Reads the settings.
///
/// # Errors
/// When one of them is not `name=value`.
pub(super) fn parse(text: &str) -> Result<Parts, UrlError> {
    let malformed = UrlError::Invalid("it is neither a URL nor a list of name=value");
    let mut settings = Parameters::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or(malformed)?;
        let name = name.trim_end();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            return Err(malformed);
        }
        let (value, after) = value(after.trim_start()).ok_or(malformed)?;
        settings.push(name, value);
        rest = after.trim_start();
    }
    Ok(Parts::of_settings("postgresql", settings))
}

/// A value in quotes, or up to a blank. A backslash takes the next character as it is.
fn value(text: &str) -> Option<(String, &str)> {
    let quoted = text.strip_prefix('\'');
    let mut chars = quoted.unwrap_or(text).chars();
    let mut value = String::new();
    while let Some(char) = chars.next() {
        match char {
            '\\' => value.push(chars.next()?),
            '\'' if quoted.is_some() => return Some((value, chars.as_str())),
            ' ' if quoted.is_none() => return Some((value, chars.as_str())),
            _ => value.push(char),
        }
    }
    quoted.is_none().then_some((value, ""))
}
