//! The body of a write, from bytes to names and values, without a word that quotes it.
//!
//! A parser's own message repeats what it stumbled over, and that may be a value that stands in the
//! wrong place; so only the position is told. A name is no secret and is named.

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use contract::api::{NewValue, WriteRequest};
use contract::layout::{MAX_BUNDLE_SECRETS, MAX_VALUE_BYTES};
use contract::{Redacted, SecretName};
use http_body_util::BodyExt as _;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use zeroize::Zeroize as _;

use super::problem::Refusal;
use crate::audit::plain;

/// A pod's worth of values in base64, and room for their names.
const MAX_BODY_BYTES: usize = 16 << 20;

/// From the header to the end of the body.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a write's body.
pub(super) async fn write_request(body: Body) -> Result<WriteRequest, Refusal> {
    let body = tokio::time::timeout(PATIENCE, collect(body)).await;
    parse(&body.unwrap_or_else(|_| Err(Refusal::malformed(format!("the body did not come within {PATIENCE:?}"))))?)
}

async fn collect(mut body: Body) -> Result<Redacted, Refusal> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            bytes.zeroize();
            return Err(Refusal::malformed("the body ended before it was complete"));
        };
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > MAX_BODY_BYTES {
            bytes.zeroize();
            return Err(Refusal::too_large(format!("the body is over {MAX_BODY_BYTES} bytes; write fewer secrets at once")));
        }
        append(&mut bytes, data);
    }
    Ok(Redacted::new(bytes))
}

/// Appends without leaving a copy of what was there behind when the buffer grows.
fn append(bytes: &mut Vec<u8>, data: &[u8]) {
    let needed = bytes.len() + data.len();
    if needed > bytes.capacity() {
        let mut larger = Vec::with_capacity(needed.max(2 * bytes.capacity()));
        larger.extend_from_slice(bytes);
        bytes.zeroize();
        *bytes = larger;
    }
    bytes.extend_from_slice(data);
}

fn parse(body: &Redacted) -> Result<WriteRequest, Refusal> {
    let form = r#"{"secrets": {"NAME": {"value": "<base64>"}}}"#;
    let Offered { secrets } = serde_json::from_slice(body.expose()).map_err(|error| {
        Refusal::malformed(format!(
            "the body is not what is expected at line {} column {}; it must be {form}",
            error.line(),
            error.column()
        ))
    })?;
    if secrets.0.is_empty() {
        return Err(Refusal::malformed(format!("the body names no secret; it must be {form}")));
    }
    if secrets.0.len() > MAX_BUNDLE_SECRETS {
        return Err(Refusal::too_large(format!(
            "the body has {} secrets, and a bundle holds at most {MAX_BUNDLE_SECRETS}",
            secrets.0.len()
        )));
    }
    let mut request = WriteRequest::default();
    for (text, value) in secrets.0 {
        let name: SecretName = text.parse().map_err(|error| Refusal::malformed(plain(&format!("{error}"))))?;
        if value.value.len() > MAX_VALUE_BYTES {
            let length = value.value.len();
            return Err(Refusal::too_large(format!("the value of {name} has {length} bytes, and {MAX_VALUE_BYTES} is the most")));
        }
        if request.secrets.insert(name, value).is_some() {
            return Err(Refusal::malformed(format!("the body names {text} twice")));
        }
    }
    Ok(request)
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Offered {
    secrets: Pairs,
}

/// A map as it was written: with every name, also one that stands there twice.
struct Pairs(Vec<(String, NewValue)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("secrets by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Map)
    }
}

#[cfg(test)]
mod tests {
    use contract::problem::Problem;

    use super::*;

    async fn read(body: &str) -> Result<WriteRequest, Problem> {
        let body = Body::from(body.to_owned());
        match write_request(body).await {
            Ok(request) => Ok(request),
            Err(refusal) => {
                let bytes = refusal.answer("t").into_body().collect().await.unwrap().to_bytes();
                Err(serde_json::from_slice(&bytes).unwrap())
            }
        }
    }

    #[tokio::test]
    async fn names_and_values() {
        let request = read(r#"{"secrets":{"A":{"value":"aHVudGVyMg=="},"B":{"value":""}}}"#).await.unwrap();
        assert_eq!(request.secrets[&"A".parse().unwrap()].value.expose(), b"hunter2");
        assert!(request.secrets[&"B".parse().unwrap()].value.is_empty());
    }

    #[tokio::test]
    async fn what_is_wrong_is_said_and_not_quoted() {
        for (body, status, says) in [
            ("", 400, "line 1"),
            ("hunter2", 400, "line 1 column 1"),
            (r#"{"secrets":"hunter2"}"#, 400, "line 1 column 20"),
            (r#"{"secrets":{"A":"hunter2"}}"#, 400, "line 1 column"),
            (r#"{"secrets":{"A":{"value":"hunter2!"}}}"#, 400, "line 1 column"),
            (r#"{"secrets":{"A":{"hunter2":"x"}}}"#, 400, "line 1 column"),
            (r#"{"hunter2":{}}"#, 400, "line 1 column"),
            (r#"{"secrets":{}}"#, 400, "no secret"),
            (r#"{"secrets":{"1A":{"value":""}}}"#, 400, "\"1A\""),
            (r#"{"secrets":{"..":{"value":""}}}"#, 400, "\"..\""),
            (r#"{"secrets":{"A":{"value":""},"A":{"value":""}}}"#, 400, "names A twice"),
            (r#"{"secrets":{"A":{"value":""}}} hunter2"#, 400, "line 1 column"),
        ] {
            let problem = read(body).await.unwrap_err();
            assert_eq!(problem.status, status, "{body}");
            assert!(problem.detail.contains(says), "{body}: {}", problem.detail);
            assert!(!problem.detail.contains("hunter2"), "{body}: {}", problem.detail);
        }
    }

    #[tokio::test]
    async fn what_is_too_large_is_named() {
        let value = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, vec![0; MAX_VALUE_BYTES + 1]);
        let problem = read(&format!(r#"{{"secrets":{{"BIG":{{"value":"{value}"}}}}}}"#)).await.unwrap_err();
        assert_eq!(problem.status, 413);
        assert!(problem.detail.contains("BIG"), "{}", problem.detail);
        let problem = read(&" ".repeat(MAX_BODY_BYTES + 1)).await.unwrap_err();
        assert_eq!(problem.status, 413);
    }
}
