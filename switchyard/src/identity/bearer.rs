//! The bearer token of a request.

use contract::Redacted;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The largest token in bytes. A service account token with many groups has a few KiB.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// The token of `Authorization: Bearer …`. `None` unless the request has exactly one.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<Redacted> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (only, None) = (all.next()?, all.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let is_valid = scheme.eq_ignore_ascii_case("bearer")
        && !token.is_empty()
        && token.len() <= MAX_TOKEN_BYTES;
    is_valid.then(|| Redacted::from(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_bearer_token_is_read() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            bearer(&headers).map(|token| String::from_utf8(token.expose().to_vec()).unwrap())
        };
        assert_eq!(read(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(read(&["bearer  abc "]).as_deref(), Some("abc"));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&["Basic abc"]), None);
        assert_eq!(read(&["Bearer "]), None);
        assert_eq!(read(&["Bearer"]), None);
        assert_eq!(read(&["Bearer a", "Bearer b"]), None);
        assert_eq!(read(&[&format!("Bearer {}", "x".repeat(MAX_TOKEN_BYTES + 1))]), None);
    }
}
