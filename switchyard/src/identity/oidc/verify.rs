//! Checks the signature of an ID token. Pure.
//!
//! The key decides the algorithm, never the token: `none` and HMAC, which would use a public key as
//! a secret, are not supported.

use aws_lc_rs::digest::{SHA256, digest};
use contract::Redacted;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde_json::{Map, Value};

/// The algorithms of people's providers: any with two keys.
pub(super) const ALL_ALGORITHMS: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Why a signature is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The token is not a signed JWT.
    #[error("the ID token is malformed")]
    Malformed,
    /// The algorithm is not supported, or not the key's.
    #[error("the algorithm of the ID token does not match its key")]
    Algorithm,
    /// The provider has no such key.
    #[error("the provider has no such key as the ID token's")]
    Key,
    /// The signature does not match.
    #[error("the signature of the ID token is not valid")]
    Signature,
}

/// The header of a token, which is not verified yet.
///
/// # Errors
/// If the token is malformed, or its algorithm is not supported.
pub(super) fn header(token: &Redacted) -> Result<Header, SignatureError> {
    let header = decode_header(token.expose()).map_err(|_| SignatureError::Malformed)?;
    // No critical extension is supported.
    if header.crit.is_some() {
        return Err(SignatureError::Malformed);
    }
    let hmac = matches!(header.alg, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
    if hmac { Err(SignatureError::Algorithm) } else { Ok(header) }
}

/// The claims of the token, if the provider signed them.
///
/// # Errors
/// If the signature is not valid.
pub(super) fn verify(
    token: &Redacted,
    header: &Header,
    keys: &[Jwk],
) -> Result<Map<String, Value>, SignatureError> {
    let key = match (&header.kid, keys) {
        (Some(kid), keys) => keys
            .iter()
            .find(|key| key.common.key_id.as_ref() == Some(kid))
            .ok_or(SignatureError::Key)?,
        // A token without a key id is valid only if there is a single key.
        (None, [only]) => only,
        (None, _) => return Err(SignatureError::Key),
    };
    let is_signing_key =
        key.common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
    if !is_signing_key {
        return Err(SignatureError::Key);
    }
    let allows_algorithm =
        key.common.key_algorithm.is_none_or(|it| it.to_string().parse() == Ok(header.alg));
    if !allows_algorithm || !algorithms(&key.algorithm).contains(&header.alg) {
        return Err(SignatureError::Algorithm);
    }
    let decoding = DecodingKey::from_jwk(key).map_err(|_| SignatureError::Key)?;
    let mut signature_only = Validation::new(header.alg);
    // `claims` checks the claims, against a clock that tests can set.
    signature_only.required_spec_claims.clear();
    signature_only.validate_exp = false;
    signature_only.validate_aud = false;
    Ok(decode(token.expose(), &decoding, &signature_only)
        .map_err(|_| SignatureError::Signature)?
        .claims)
}

/// SHA-256 of what the provider signed: header and claims. The signature is left out, because some
/// algorithms have more than one valid signature of the same token.
pub(super) fn hash_of_signed(token: &Redacted) -> Vec<u8> {
    let bytes = token.expose();
    let end = bytes.iter().rposition(|byte| *byte == b'.').unwrap_or(bytes.len());
    digest(&SHA256, &bytes[..end]).as_ref().to_vec()
}

/// The algorithms of a key. Empty if it cannot sign tokens.
pub(super) fn algorithms(key: &AlgorithmParameters) -> &'static [Algorithm] {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match key {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(it) => match it.curve {
            EllipticCurve::P256 => &[ES256],
            EllipticCurve::P384 => &[ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(it) if it.curve == EllipticCurve::Ed25519 => &[EdDSA],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{EncodingKey, encode};
    use serde_json::json;

    use super::*;

    struct TestKey {
        private: EncodingKey,
        public: Jwk,
    }

    fn key(kid: &str) -> TestKey {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &aws_lc_rs::rand::SystemRandom::new(),
        )
        .unwrap();
        let private = EncodingKey::from_ec_der(pkcs8.as_ref());
        let mut public = Jwk::from_encoding_key(&private, Algorithm::ES256).unwrap();
        public.common.key_id = Some(kid.to_owned());
        TestKey { private, public }
    }

    fn header_of(algorithm: Algorithm, kid: Option<&str>) -> Header {
        Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) }
    }

    fn sign(key: &TestKey, kid: Option<&str>) -> Redacted {
        encode(&header_of(Algorithm::ES256, kid), &json!({"sub": "ada"}), &key.private)
            .unwrap()
            .into()
    }

    fn check(token: &Redacted, keys: &[Jwk]) -> Result<Map<String, Value>, SignatureError> {
        verify(token, &header(token)?, keys)
    }

    fn raw(header: &Value, signature: &[u8]) -> Redacted {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        format!(
            "{}.{}.{}",
            part(header.to_string().as_bytes()),
            part(br#"{"sub":"ada"}"#),
            part(signature)
        )
        .into()
    }

    #[test]
    fn only_the_providers_signature_is_accepted() {
        let (one, two) = (key("1"), key("2"));
        let keys = [one.public.clone(), two.public];
        assert_eq!(check(&sign(&one, Some("1")), &keys).unwrap()["sub"], "ada");
        assert_eq!(check(&sign(&one, Some("2")), &keys), Err(SignatureError::Signature));
        assert_eq!(check(&sign(&one, Some("3")), &keys), Err(SignatureError::Key));
        assert_eq!(check(&sign(&one, None), &keys), Err(SignatureError::Key));
        assert!(check(&sign(&one, None), &keys[..1]).is_ok());
        assert_eq!(check(&sign(&one, None), &[]), Err(SignatureError::Key));
    }

    #[test]
    fn the_token_does_not_choose_the_algorithm() {
        let one = key("1");
        let keys = [one.public.clone()];
        // The public key as the secret of an HMAC.
        let public = serde_json::to_vec(&one.public).unwrap();
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let forged = encode(
                &header_of(algorithm, Some("1")),
                &json!({"sub": "ada"}),
                &EncodingKey::from_secret(&public),
            )
            .unwrap();
            assert_eq!(check(&forged.into(), &keys), Err(SignatureError::Algorithm));
        }
        // A symmetric key among the published keys is not used either.
        let mut shared = one.public.clone();
        shared.algorithm = serde_json::from_value(json!({"kty": "oct", "k": "AAAA"})).unwrap();
        assert_eq!(check(&sign(&one, Some("1")), &[shared]), Err(SignatureError::Algorithm));
        for (name, header) in [
            ("unsigned", json!({"alg": "none", "kid": "1"})),
            ("unsigned in capitals", json!({"alg": "NONE", "kid": "1"})),
            ("unknown", json!({"alg": "XX256", "kid": "1"})),
            ("without an algorithm", json!({"kid": "1"})),
        ] {
            assert_eq!(check(&raw(&header, b""), &keys), Err(SignatureError::Malformed), "{name}");
        }
        assert_eq!(
            check(&raw(&json!({"alg": "RS256", "kid": "1"}), b"x"), &keys),
            Err(SignatureError::Algorithm)
        );
        assert_eq!(
            check(&raw(&json!({"alg": "ES384", "kid": "1"}), b"x"), &keys),
            Err(SignatureError::Algorithm)
        );
        assert_eq!(
            check(&raw(&json!({"alg": "ES256", "kid": "1"}), b""), &keys),
            Err(SignatureError::Signature)
        );
        assert_eq!(
            check(&raw(&json!({"alg": "ES256", "kid": "1", "crit": ["b64"]}), b"x"), &keys),
            Err(SignatureError::Malformed)
        );
        // A key that the token carries is ignored.
        let other = key("1");
        let embedded =
            Header { jwk: Some(other.public.clone()), ..header_of(Algorithm::ES256, Some("1")) };
        let forged = encode(&embedded, &json!({"sub": "ada"}), &other.private).unwrap();
        assert_eq!(check(&forged.into(), &keys), Err(SignatureError::Signature));
    }

    #[test]
    fn an_encryption_key_is_not_used() {
        let mut one = key("1");
        one.public.common.public_key_use = Some(PublicKeyUse::Encryption);
        assert_eq!(check(&sign(&one, Some("1")), &[one.public.clone()]), Err(SignatureError::Key));
    }

    #[test]
    fn a_malformed_token_is_refused() {
        let one = key("1");
        let whole = sign(&one, Some("1"));
        let text = whole.expose();
        for broken in [
            &b""[..],
            b"a",
            b"..",
            b"a.b.c",
            &text[1..],
            &text[..text.len() - 4],
            &[text, b".x"].concat(),
        ] {
            assert!(check(&Redacted::from(broken), std::slice::from_ref(&one.public)).is_err());
        }
    }
}
