//! How long a pod's token lasts. Pure.
//!
//! A TokenReview does not say it, so it is read from the token itself. Only the end of a token that
//! the API server accepted counts, so the claim needs no verification of its own.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::Redacted;
use jiff::Timestamp;
use serde::Deserialize;

#[derive(Deserialize)]
struct Claims {
    exp: Option<i64>,
}

/// When the token ends: its claim `exp`. `None` if it is no JWT (RFC 7519) or has no such claim.
#[must_use]
pub fn expiry_of(token: &Redacted) -> Option<Timestamp> {
    let text = std::str::from_utf8(token.expose()).ok()?;
    let (_header, rest) = text.split_once('.')?;
    let (payload, _signature) = rest.split_once('.')?;
    let payload = Redacted::new(URL_SAFE_NO_PAD.decode(payload).ok()?);
    let claims: Claims = serde_json::from_slice(payload.expose()).ok()?;
    Timestamp::from_second(claims.exp?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_the_claim_of_a_jwt() {
        let token =
            |payload: &str| Redacted::from(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload)));
        let end = expiry_of(&token(r#"{"iss":"x","exp":1800000000,"aud":["enclii.io"]}"#));
        assert_eq!(end, Some(Timestamp::from_second(1_800_000_000).unwrap()));
        for other in [
            token(r#"{"iss":"x"}"#),
            token(r#"{"exp":"soon"}"#),
            token(r#"{"exp":9223372036854775807}"#),
            token("{"),
            Redacted::from("opaque".to_owned()),
            Redacted::from("a.b".to_owned()),
            Redacted::from("a.!.c".to_owned()),
            Redacted::from(b"\xff.\xff.\xff".as_slice()),
        ] {
            assert_eq!(expiry_of(&other), None);
        }
    }
}
