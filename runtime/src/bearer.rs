//! The `Authorization: Bearer` header (RFC 6750, section 2.1).

use http::HeaderValue;
use http::header::InvalidHeaderValue;
use zeroize::Zeroizing;

/// Builds the header value from a token.
///
/// The value is marked as sensitive, so that `Debug` and HTTP/2 header compression leave it out,
/// and the copy that it is built from is wiped.
///
/// # Errors
/// When the token has a byte that a header cannot carry. The error does not contain the token.
pub fn header_value(token: &[u8]) -> Result<HeaderValue, InvalidHeaderValue> {
    const SCHEME: &[u8] = b"Bearer ";
    // Sized beforehand: a vector that grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(SCHEME.len() + token.len()));
    text.extend_from_slice(SCHEME);
    text.extend_from_slice(token);
    let mut value = HeaderValue::from_bytes(&text)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_value_is_sensitive_and_not_printed() {
        let value = header_value(b"s3cret").unwrap();
        assert_eq!(value, "Bearer s3cret");
        assert!(value.is_sensitive());
        assert!(!format!("{value:?}").contains("s3cret"));
    }

    #[test]
    fn a_token_with_a_line_break_is_refused_and_not_repeated() {
        let error = header_value(b"s3cret\r\nx: y").unwrap_err();
        assert!(!format!("{error:?} {error}").contains("s3cret"));
    }
}
