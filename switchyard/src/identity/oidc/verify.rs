//! Whether the provider signed a token. Pure.
//!
//! The algorithm is what the key is for, and never what the token says: `none` and the HMACs, which
//! would make a secret of a public key, are unknown here.

use contract::Redacted;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde_json::{Map, Value};

/// Why a signature proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// It is no signed JWT.
    #[error("the ID token is not of the form")]
    Form,
    /// An algorithm that is not for signatures of providers, or not the key's.
    #[error("the ID token's algorithm is not its key's")]
    Algorithm,
    /// No key of the provider has that number.
    #[error("the ID token's key is not the provider's")]
    Key,
    /// The signature is another one's.
    #[error("the ID token's signature does not fit")]
    Signature,
}

/// The head of a token. Nothing in it is proven.
///
/// # Errors
/// Where the token is none, or its algorithm can be no provider's.
pub(super) fn header(token: &Redacted) -> Result<Header, Unverified> {
    let header = decode_header(token.expose()).map_err(|_| Unverified::Form)?;
    // Extensions that must be understood are not.
    if header.crit.is_some() {
        return Err(Unverified::Form);
    }
    let hmac = matches!(header.alg, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
    if hmac { Err(Unverified::Algorithm) } else { Ok(header) }
}

/// What the provider signed.
///
/// # Errors
/// Where it did not.
pub(super) fn verify(
    token: &Redacted,
    header: &Header,
    keys: &[Jwk],
) -> Result<Map<String, Value>, Unverified> {
    let key = match (&header.kid, keys) {
        (Some(kid), keys) => keys
            .iter()
            .find(|key| key.common.key_id.as_ref() == Some(kid))
            .ok_or(Unverified::Key)?,
        // Without a number there must be nothing to choose.
        (None, [only]) => only,
        (None, _) => return Err(Unverified::Key),
    };
    let signs = key.common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
    if !signs {
        return Err(Unverified::Key);
    }
    let named = key.common.key_algorithm.is_none_or(|it| it.to_string().parse() == Ok(header.alg));
    if !named || !algorithms(&key.algorithm).contains(&header.alg) {
        return Err(Unverified::Algorithm);
    }
    let decoding = DecodingKey::from_jwk(key).map_err(|_| Unverified::Key)?;
    let mut signature_alone = Validation::new(header.alg);
    // What is signed is checked in `claims`, against a clock that tests can set.
    signature_alone.required_spec_claims.clear();
    signature_alone.validate_exp = false;
    signature_alone.validate_aud = false;
    Ok(decode(token.expose(), &decoding, &signature_alone)
        .map_err(|_| Unverified::Signature)?
        .claims)
}

/// What a key of this kind may sign with; nothing where it signs no tokens.
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

    struct Key {
        private: EncodingKey,
        public: Jwk,
    }

    fn key(kid: &str) -> Key {
        let document = EcdsaKeyPair::generate_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &aws_lc_rs::rand::SystemRandom::new(),
        )
        .unwrap();
        let private = EncodingKey::from_ec_der(document.as_ref());
        let mut public = Jwk::from_encoding_key(&private, Algorithm::ES256).unwrap();
        public.common.key_id = Some(kid.to_owned());
        Key { private, public }
    }

    fn header_of(algorithm: Algorithm, kid: Option<&str>) -> Header {
        Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) }
    }

    fn sign(key: &Key, kid: Option<&str>) -> Redacted {
        encode(&header_of(Algorithm::ES256, kid), &json!({"sub": "ada"}), &key.private)
            .unwrap()
            .into()
    }

    fn check(token: &Redacted, keys: &[Jwk]) -> Result<Map<String, Value>, Unverified> {
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
    fn the_providers_signature_and_no_other() {
        let (one, two) = (key("1"), key("2"));
        let keys = [one.public.clone(), two.public];
        assert_eq!(check(&sign(&one, Some("1")), &keys).unwrap()["sub"], "ada");
        assert_eq!(check(&sign(&one, Some("2")), &keys), Err(Unverified::Signature));
        assert_eq!(check(&sign(&one, Some("3")), &keys), Err(Unverified::Key));
        assert_eq!(check(&sign(&one, None), &keys), Err(Unverified::Key));
        assert!(check(&sign(&one, None), &keys[..1]).is_ok());
        assert_eq!(check(&sign(&one, None), &[]), Err(Unverified::Key));
    }

    #[test]
    fn the_token_does_not_choose_how_it_is_checked() {
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
            assert_eq!(check(&forged.into(), &keys), Err(Unverified::Algorithm));
        }
        // A secret among the published keys opens nothing either.
        let mut shared = one.public.clone();
        shared.algorithm = serde_json::from_value(json!({"kty": "oct", "k": "AAAA"})).unwrap();
        assert_eq!(check(&sign(&one, Some("1")), &[shared]), Err(Unverified::Algorithm));
        for (name, header) in [
            ("unsigned", json!({"alg": "none", "kid": "1"})),
            ("unsigned in capitals", json!({"alg": "NONE", "kid": "1"})),
            ("unknown", json!({"alg": "XX256", "kid": "1"})),
            ("without an algorithm", json!({"kid": "1"})),
        ] {
            assert_eq!(check(&raw(&header, b""), &keys), Err(Unverified::Form), "{name}");
        }
        assert_eq!(
            check(&raw(&json!({"alg": "RS256", "kid": "1"}), b"x"), &keys),
            Err(Unverified::Algorithm)
        );
        assert_eq!(
            check(&raw(&json!({"alg": "ES384", "kid": "1"}), b"x"), &keys),
            Err(Unverified::Algorithm)
        );
        assert_eq!(
            check(&raw(&json!({"alg": "ES256", "kid": "1"}), b""), &keys),
            Err(Unverified::Signature)
        );
        assert_eq!(
            check(&raw(&json!({"alg": "ES256", "kid": "1", "crit": ["b64"]}), b"x"), &keys),
            Err(Unverified::Form)
        );
        // A key that the token brings along is nobody's.
        let other = key("1");
        let brought =
            Header { jwk: Some(other.public.clone()), ..header_of(Algorithm::ES256, Some("1")) };
        let forged = encode(&brought, &json!({"sub": "ada"}), &other.private).unwrap();
        assert_eq!(check(&forged.into(), &keys), Err(Unverified::Signature));
    }

    #[test]
    fn a_key_for_encryption_signs_nothing() {
        let mut one = key("1");
        one.public.common.public_key_use = Some(PublicKeyUse::Encryption);
        assert_eq!(check(&sign(&one, Some("1")), &[one.public.clone()]), Err(Unverified::Key));
    }

    #[test]
    fn what_is_no_token() {
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
