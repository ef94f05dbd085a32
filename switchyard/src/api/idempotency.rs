//! `Idempotency-Key`: a request that is sent again is carried out once.
//!
//! The client chooses the key, and only its hash is stored. The fingerprint that tells one request
//! from another is an HMAC under the key, so nobody can test guessed values against the table.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use contract::Redacted;
use http::HeaderName;
use http::request::Parts;

use crate::app::ApiError;
use crate::repository::Idempotency;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The fingerprint is only as strong as the key, so keys that can be guessed are refused.
const MIN_KEY_LENGTH: usize = 16;
const MAX_KEY_LENGTH: usize = 200;

/// Requests that differ in these headers are different requests.
const FINGERPRINTED_HEADERS: [HeaderName; 2] =
    [http::header::IF_MATCH, http::header::IF_NONE_MATCH];

/// The key and the fingerprint of a request of `principal`. `None` without the header.
///
/// # Errors
/// If the header is malformed or sent twice.
pub(super) fn idempotency(
    principal: &str,
    head: &Parts,
    body: &Redacted,
) -> Result<Option<Idempotency>, ApiError> {
    let mut keys = head.headers.get_all(IDEMPOTENCY_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return if head.headers.contains_key(IDEMPOTENCY_KEY) {
            Err(malformed())
        } else {
            Ok(None)
        };
    };
    let key = key.as_bytes();
    if !(MIN_KEY_LENGTH..=MAX_KEY_LENGTH).contains(&key.len())
        || !key.iter().all(u8::is_ascii_graphic)
    {
        return Err(malformed());
    }
    let mut context = Context::with_key(&Key::new(HMAC_SHA256, key));
    let mut part = |bytes: &[u8]| {
        // The length prefix keeps a part from being read as the end of the one before.
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    };
    part(head.method.as_str().as_bytes());
    part(head.uri.path_and_query().map_or("", |it| it.as_str()).as_bytes());
    for name in FINGERPRINTED_HEADERS {
        let values: Vec<_> = head.headers.get_all(name).iter().collect();
        part(&[u8::try_from(values.len()).unwrap_or(u8::MAX)]);
        values.iter().for_each(|value| part(value.as_bytes()));
    }
    part(body.expose());
    let (key_hash, fingerprint) =
        (digest(&SHA256, key).as_ref().to_vec(), context.sign().as_ref().to_vec());
    Ok(Some(Idempotency { principal: principal.to_owned(), key_hash, fingerprint }))
}

fn malformed() -> ApiError {
    ApiError::malformed(format!(
        "Idempotency-Key must be given once, with {MIN_KEY_LENGTH} to {MAX_KEY_LENGTH} \
         visible ASCII characters"
    ))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn ask(
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Option<Idempotency>, ApiError> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        idempotency(
            "token:t",
            &request.body(()).unwrap().into_parts().0,
            &Redacted::from(body.to_owned()),
        )
    }

    #[test]
    fn every_part_of_a_request_is_fingerprinted() {
        let key = ("idempotency-key", "0123456789abcdef");
        let first = ask("POST", "/a", &[key], "body").unwrap().unwrap();
        let same = ask("POST", "/a", &[key, ("user-agent", "x")], "body").unwrap().unwrap();
        assert_eq!((&first.fingerprint, &first.key_hash), (&same.fingerprint, &same.key_hash));
        for other in [
            ask("DELETE", "/a", &[key], "body"),
            ask("POST", "/b", &[key], "body"),
            ask("POST", "/a?x", &[key], "body"),
            ask("POST", "/a", &[key], "bod"),
            ask("POST", "/a", &[key, ("if-match", "\"1\"")], "body"),
            ask("POST", "/a", &[key, ("if-none-match", "\"1\"")], "body"),
            ask("POST", "/a", &[key, ("if-match", "\"1\""), ("if-match", "\"2\"")], "body"),
        ] {
            let other = other.unwrap().unwrap();
            assert_eq!(other.key_hash, first.key_hash);
            assert_ne!(other.fingerprint, first.fingerprint);
        }
        let other_key =
            ask("POST", "/a", &[("idempotency-key", "0123456789abcdeg")], "body").unwrap().unwrap();
        assert!(other_key.key_hash != first.key_hash && other_key.fingerprint != first.fingerprint);
    }

    #[test]
    fn a_malformed_key_is_refused() {
        assert!(ask("POST", "/a", &[], "").unwrap().is_none());
        for key in ["", "short", "0123456789abcde", "0123456789 abcdef", &"x".repeat(201)] {
            assert!(
                ask("POST", "/a", &[("idempotency-key", key)], "").is_err(),
                "{key:?} was accepted"
            );
        }
        let twice = [("idempotency-key", "0123456789abcdef"); 2];
        assert!(ask("POST", "/a", &twice, "").is_err());
    }
}
