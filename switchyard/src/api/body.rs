//! The bodies of requests, from bytes to values, without a word that quotes them.
//!
//! A parser's own message repeats what it stumbled over, and that may be a value that stands in the
//! wrong place; so only the position is told. A name is no secret and is named.

use std::collections::BTreeSet;
use std::fmt;

use contract::api::{DestroyRequest, Generate, NewValue, Object, RotateRequest, WriteRequest};
use contract::layout::{MAX_BUNDLE_SECRETS, MAX_VALUE_BYTES};
use contract::{Redacted, SecretName, Version};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};

use super::problem::Refusal;
use crate::audit::sanitize;

/// A pod's worth of values in base64, and room for their names.
pub(super) const MOST: usize = 16 << 20;

/// One value in base64, and room for the words around it.
pub(super) const MOST_OF_ONE: usize = 2 << 20;

/// A body without a value.
pub(super) const SMALL: usize = 64 << 10;

/// Reads JSON; `form` says what is expected.
pub(super) fn parse<T: DeserializeOwned>(body: &Redacted, form: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body.expose()).map(|Object(it)| it).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Refusal::malformed(format!(
            "the body is not what is expected at line {line} column {column}; it must be {form}"
        ))
    })
}

/// A write's body.
pub(super) fn write_request(body: &Redacted) -> Result<WriteRequest, Refusal> {
    let form = r#"{"secrets": {"NAME": {"value": "<base64>", "if_version": <number, if at all>}}}"#;
    let Offered { secrets } = parse(body, form)?;
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
        let name: SecretName =
            text.parse().map_err(|error| Refusal::malformed(sanitize(&format!("{error}"))))?;
        check_length(name.as_str(), &value.value)?;
        check_number(value.if_version)?;
        if request.secrets.insert(name, value).is_some() {
            return Err(Refusal::malformed(format!("the body names {text} twice")));
        }
    }
    Ok(request)
}

fn check_length(name: &str, value: &Redacted) -> Result<(), Refusal> {
    if value.len() <= MAX_VALUE_BYTES {
        return Ok(());
    }
    let length = value.len();
    Err(Refusal::too_large(format!(
        "the value of {name} has {length} bytes, and {MAX_VALUE_BYTES} is the most"
    )))
}

/// `if_version` is a version or 0.
fn check_number(number: Option<u64>) -> Result<(), Refusal> {
    match number {
        None | Some(0) => Ok(()),
        Some(number) => Version::try_from(number)
            .map(drop)
            .map_err(|error| Refusal::malformed(format!("if_version: {error}"))),
    }
}

/// A rotation's body; nothing at all means what `{}` means.
pub(super) fn rotate_request(body: &Redacted) -> Result<RotateRequest, Refusal> {
    if body.is_empty() {
        return Ok(RotateRequest::default());
    }
    let form = r#"{"value": "<base64>"} or {"generate": {"length": <number>, "alphabet": "<word>"}}, each with "if_version": <number> if wanted"#;
    let request: RotateRequest = parse(body, form)?;
    match (&request.value, request.generate) {
        (Some(_), Some(_)) => {
            return Err(Refusal::malformed(
                "the body has value and generate; one of them is the new value",
            ));
        }
        (Some(value), None) => check_length("the secret", value)?,
        (None, Some(Generate { length, .. }))
            if !(Generate::MIN_LENGTH..=Generate::MAX_LENGTH).contains(&length) =>
        {
            let (least, most) = (Generate::MIN_LENGTH, Generate::MAX_LENGTH);
            return Err(Refusal::malformed(format!(
                "generate.length is {length}, and must be {least} to {most}"
            )));
        }
        (None, _) => {}
    }
    if request.if_version == Some(0) {
        return Err(Refusal::malformed(
            "if_version is 0, and only a secret that exists is rotated",
        ));
    }
    check_number(request.if_version)?;
    Ok(request)
}

/// Which versions a body names.
pub(super) fn destroy_request(body: &Redacted) -> Result<BTreeSet<Version>, Refusal> {
    let DestroyRequest { versions } = parse(body, r#"{"versions": [<number>]}"#)?;
    match versions.len() {
        0 => Err(Refusal::malformed("the body names no version")),
        1..=MAX_BUNDLE_SECRETS => Ok(versions),
        _ => Err(Refusal::malformed(format!(
            "the body names more than {MAX_BUNDLE_SECRETS} versions"
        ))),
    }
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
                while let Some((name, Object(value))) = map.next_entry()? {
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<WriteRequest, Refusal> {
        write_request(&Redacted::from(body.to_owned()))
    }

    #[test]
    fn names_and_values() {
        let request =
            read(r#"{"secrets":{"A":{"value":"aHVudGVyMg=="},"B":{"value":""}}}"#).unwrap();
        assert_eq!(request.secrets[&"A".parse().unwrap()].value.expose(), b"hunter2");
        assert!(request.secrets[&"B".parse().unwrap()].value.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_and_not_quoted() {
        for (body, status, says) in [
            ("", 400, "line 1"),
            ("hunter2", 400, "line 1 column 1"),
            (r#"{"secrets":"hunter2"}"#, 400, "line 1 column 20"),
            (r#"{"secrets":{"A":"hunter2"}}"#, 400, "line 1 column"),
            (r#"{"secrets":{"A":{"value":"hunter2!"}}}"#, 400, "line 1 column"),
            (r#"{"secrets":{"A":{"hunter2":"x"}}}"#, 400, "line 1 column"),
            (r#"{"hunter2":{}}"#, 400, "line 1 column"),
            (r#"{"secrets":{"A":["aHVudGVyMg=="]}}"#, 400, "line 1 column"),
            (r#"[{"A":{"value":"aHVudGVyMg=="}}]"#, 400, "line 1 column"),
            (r#"{"secrets":{}}"#, 400, "no secret"),
            (r#"{"secrets":{"A":{"value":"","if_version":9007199254740992}}}"#, 400, "if_version"),
            (r#"{"secrets":{"A":{"value":"","if_version":-1}}}"#, 400, "line 1 column"),
            (r#"{"secrets":{"1A":{"value":""}}}"#, 400, "\"1A\""),
            (r#"{"secrets":{"..":{"value":""}}}"#, 400, "\"..\""),
            (r#"{"secrets":{"A":{"value":""},"A":{"value":""}}}"#, 400, "names A twice"),
            (r#"{"secrets":{"A":{"value":""}}} hunter2"#, 400, "line 1 column"),
        ] {
            let problem = read(body).unwrap_err();
            assert_eq!(problem.status().as_u16(), status, "{body}");
            assert!(problem.detail().contains(says), "{body}: {}", problem.detail());
            assert!(!problem.detail().contains("hunter2"), "{body}: {}", problem.detail());
        }
    }

    #[test]
    fn what_is_too_large_is_named() {
        let value = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            vec![0; MAX_VALUE_BYTES + 1],
        );
        let problem =
            read(&format!(r#"{{"secrets":{{"BIG":{{"value":"{value}"}}}}}}"#)).unwrap_err();
        assert_eq!(problem.status(), 413);
        assert!(problem.detail().contains("BIG"), "{}", problem.detail());
    }

    #[test]
    fn a_rotation_has_one_new_value() {
        let read = |body: &str| rotate_request(&Redacted::from(body.to_owned()));
        for body in [
            "",
            "{}",
            r#"{"generate":{}}"#,
            r#"{"generate":{"length":8,"alphabet":"hex"}}"#,
            r#"{"value":"","if_version":3}"#,
        ] {
            assert!(read(body).is_ok(), "{body}");
        }
        for body in [
            " ",
            "null",
            "[]",
            r#"{"value":"","generate":{}}"#,
            r#"{"generate":{"length":7}}"#,
            r#"{"generate":{"length":4097}}"#,
            r#"{"generate":{"alphabet":"latin"}}"#,
            r#"{"if_version":0}"#,
            r#"{"if_version":9007199254740992}"#,
            r#"{"version":1}"#,
        ] {
            assert_eq!(read(body).unwrap_err().status(), 400, "{body} was taken");
        }
    }

    #[test]
    fn a_destroy_names_versions() {
        let read = |body: &str| destroy_request(&Redacted::from(body.to_owned()));
        assert_eq!(
            read(r#"{"versions":[2,1,2]}"#).unwrap(),
            BTreeSet::from([Version(1), Version(2)])
        );
        for body in [
            "",
            "{}",
            r#"{"versions":[]}"#,
            r#"{"versions":[0]}"#,
            r#"{"versions":1}"#,
            r#"{"versions":["1"]}"#,
        ] {
            assert_eq!(read(body).unwrap_err().status(), 400, "{body} was taken");
        }
    }
}
