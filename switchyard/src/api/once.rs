//! `Idempotency-Key`: a request that may be sent again is done once.
//!
//! The key is the client's, and only its hash is kept. What tells one request from another is kept
//! as an HMAC under the key itself, so that nobody can try values against the table.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use contract::Redacted;
use http::HeaderName;
use http::request::Parts;

use super::problem::Refusal;
use crate::repository::Idempotency;

pub(super) const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Short enough to be guessed is refused: the fingerprint is only as good as the key.
const SHORTEST: usize = 16;
const LONGEST: usize = 200;

/// Headers that make another request of one with the same body.
const OF_THE_REQUEST: [HeaderName; 2] = [http::header::IF_MATCH, http::header::IF_NONE_MATCH];

/// What makes a request of `principal` be done once; `None` where it does not ask for that.
pub(super) fn once(
    principal: &str,
    head: &Parts,
    body: &Redacted,
) -> Result<Option<Idempotency>, Refusal> {
    let mut keys = head.headers.get_all(KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return if head.headers.contains_key(KEY) { Err(wrong()) } else { Ok(None) };
    };
    let key = key.as_bytes();
    if !(SHORTEST..=LONGEST).contains(&key.len()) || !key.iter().all(u8::is_ascii_graphic) {
        return Err(wrong());
    }
    let mut context = Context::with_key(&Key::new(HMAC_SHA256, key));
    let mut part = |bytes: &[u8]| {
        // With its length before it, no part can be read as the end of the one before.
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    };
    part(head.method.as_str().as_bytes());
    part(head.uri.path_and_query().map_or("", |it| it.as_str()).as_bytes());
    for name in OF_THE_REQUEST {
        let values: Vec<_> = head.headers.get_all(name).iter().collect();
        part(&[u8::try_from(values.len()).unwrap_or(u8::MAX)]);
        values.iter().for_each(|value| part(value.as_bytes()));
    }
    part(body.expose());
    let (key_hash, fingerprint) =
        (digest(&SHA256, key).as_ref().to_vec(), context.sign().as_ref().to_vec());
    Ok(Some(Idempotency { principal: principal.to_owned(), key_hash, fingerprint }))
}

fn wrong() -> Refusal {
    Refusal::malformed(format!(
        "Idempotency-Key must be given once, with {SHORTEST} to {LONGEST} visible characters of ASCII"
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
    ) -> Result<Option<Idempotency>, Refusal> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        once("token:t", &request.body(()).unwrap().into_parts().0, &Redacted::from(body.to_owned()))
    }

    #[test]
    fn every_part_of_a_request_counts() {
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
    fn what_is_no_key() {
        assert!(ask("POST", "/a", &[], "").unwrap().is_none());
        for key in ["", "short", "0123456789abcde", "0123456789 abcdef", &"x".repeat(201)] {
            assert!(
                ask("POST", "/a", &[("idempotency-key", key)], "").is_err(),
                "{key:?} was taken"
            );
        }
        let twice = [("idempotency-key", "0123456789abcdef"); 2];
        assert!(ask("POST", "/a", &twice, "").is_err());
    }
}
