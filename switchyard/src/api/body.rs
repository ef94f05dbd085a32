//! Parses request bodies without quoting them.
//!
//! A parser's own message quotes what it cannot parse, which may be a value in the wrong place. So
//! errors give the position only. Names of secrets are not secret and are quoted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use contract::api::{
    DestroyRequest, Generate, MetadataRequest, NewValue, Object, ReadRequest, RotateManyRequest,
    RotateRequest, WriteRequest,
};
use contract::layout::{MAX_BUNDLE_SECRETS, MAX_VALUE_BYTES};
use contract::{Redacted, SecretName, Version};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};

use super::body_metadata::{WrittenBeside, check as check_metadata};
use crate::app::ApiError;
use crate::audit::sanitize;

/// The values of a whole pod in base64, and their names.
pub(super) const MAX_WRITE_BYTES: usize = 16 << 20;

/// One value in base64, or how to generate a whole pod's values, and the JSON around it.
pub(super) const MAX_ROTATE_BYTES: usize = 2 << 20;

/// The names of 1000 secrets, each of 253 bytes, and the JSON around them.
pub(super) const MAX_NAMES_BYTES: usize = 512 << 10;

/// A body without values.
pub(super) const MAX_SMALL_BYTES: usize = 64 << 10;

/// Parses JSON. `form` describes what is expected.
pub(super) fn parse<T: DeserializeOwned>(body: &Redacted, form: &str) -> Result<T, ApiError> {
    serde_json::from_slice(body.expose()).map(|Object(it)| it).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        ApiError::malformed(format!(
            "the body is malformed at line {line} column {column}; it must be {form}"
        ))
    })
}

/// Parses the body of a write.
pub(super) fn write_request(body: &Redacted) -> Result<WriteRequest, ApiError> {
    let form = concat!(
        r#"{"secrets": {"NAME": {"value": "<base64>", "if_version": <number, optional>}}}, "#,
        "with message, notes, tags and expires_at as the OpenAPI document describes them"
    );
    let secrets: BTreeMap<SecretName, NewValue> = named(parse(body, form)?, form)?;
    for (name, value) in &secrets {
        check_length(name.as_str(), &value.value)?;
        check_if_version(value.if_version)?;
        let beside = WrittenBeside {
            message: value.message.as_ref(),
            notes: value.notes.as_ref().and_then(Option::as_ref),
            tags: Some(&value.tags),
            expires_at: value.expires_at,
        };
        check_metadata(Some(name), Some(&value.value), beside)?;
    }
    Ok(WriteRequest { secrets })
}

/// Parses the body of a rotation of several secrets.
pub(super) fn rotate_many_request(body: &Redacted) -> Result<RotateManyRequest, ApiError> {
    let form = concat!(
        r#"{"secrets": {"NAME": {"generate": {"length": <number>, "alphabet": "<word>"}, "#,
        r#""if_version": <number>}}}, all of it optional but the names, "#,
        r#"or "value": "<base64>" instead of "generate""#
    );
    let secrets: BTreeMap<SecretName, RotateRequest> = named(parse(body, form)?, form)?;
    secrets.iter().try_for_each(|(name, it)| {
        check_rotation(name.as_str(), it)?;
        check_metadata(Some(name), it.value.as_ref(), beside_rotation(it))
    })?;
    Ok(RotateManyRequest { secrets })
}

/// The values by name: 1 to 1000 of them, each once.
fn named<T>(
    NamedRequest { secrets }: NamedRequest<T>,
    form: &str,
) -> Result<BTreeMap<SecretName, T>, ApiError> {
    if secrets.0.is_empty() {
        return Err(ApiError::malformed(format!("the body names no secret; it must be {form}")));
    }
    if secrets.0.len() > MAX_BUNDLE_SECRETS {
        return Err(ApiError::too_large(format!(
            "the body has {} secrets; a bundle holds at most {MAX_BUNDLE_SECRETS}",
            secrets.0.len()
        )));
    }
    let mut named = BTreeMap::new();
    for (text, value) in secrets.0 {
        let name: SecretName =
            text.parse().map_err(|error| ApiError::malformed(sanitize(&format!("{error}"))))?;
        if named.insert(name, value).is_some() {
            return Err(ApiError::malformed(format!("the body names {text} twice")));
        }
    }
    Ok(named)
}

fn check_length(name: &str, value: &Redacted) -> Result<(), ApiError> {
    if value.len() <= MAX_VALUE_BYTES {
        return Ok(());
    }
    let length = value.len();
    Err(ApiError::too_large(format!(
        "the value of {name} has {length} bytes; the maximum is {MAX_VALUE_BYTES}"
    )))
}

/// `if_version` must be a version or 0.
fn check_if_version(number: Option<u64>) -> Result<(), ApiError> {
    match number {
        None | Some(0) => Ok(()),
        Some(number) => Version::try_from(number)
            .map(drop)
            .map_err(|error| ApiError::malformed(format!("if_version: {error}"))),
    }
}

/// Parses the body of a rotation. An empty body means the same as `{}`.
pub(super) fn rotate_request(body: &Redacted) -> Result<RotateRequest, ApiError> {
    if body.is_empty() {
        return Ok(RotateRequest::default());
    }
    let form = concat!(
        r#"{"value": "<base64>"} or "#,
        r#"{"generate": {"length": <number>, "alphabet": "<word>"}}, "#,
        r#"optionally with "if_version": <number>"#
    );
    let request = parse(body, form)?;
    check_rotation("the secret", &request)?;
    check_metadata(None, request.value.as_ref(), beside_rotation(&request))?;
    Ok(request)
}

fn beside_rotation(request: &RotateRequest) -> WrittenBeside<'_> {
    let RotateRequest { message, expires_at, .. } = request;
    WrittenBeside { message: message.as_ref(), expires_at: *expires_at, ..WrittenBeside::default() }
}

/// Parses the body of a change of metadata.
pub(super) fn metadata_request(body: &Redacted) -> Result<MetadataRequest, ApiError> {
    let form = concat!(
        r#"{"notes": "<text>", "tags": {"KEY": "<value>"}, "expires_at": "<time>", "#,
        r#""message": "<why>"}, where null removes and what is absent stays; notes and messages "#,
        "have no hidden characters, and tags the form of Kubernetes labels"
    );
    let request: MetadataRequest = parse(body, form)?;
    if request.is_empty() {
        return Err(ApiError::malformed(format!("the body changes nothing; it must be {form}")));
    }
    let beside = WrittenBeside {
        tags: Some(&request.tags),
        expires_at: request.expires_at.flatten(),
        ..WrittenBeside::default()
    };
    check_metadata(None, None, beside)?;
    Ok(request)
}

/// Checks how one secret is to be rotated.
fn check_rotation(name: &str, request: &RotateRequest) -> Result<(), ApiError> {
    match (&request.value, request.generate) {
        (Some(_), Some(_)) => {
            return Err(ApiError::malformed(
                "the body has both value and generate; send one of them",
            ));
        }
        (Some(value), None) => check_length(name, value)?,
        (None, Some(Generate { length, .. }))
            if !(Generate::MIN_LENGTH..=Generate::MAX_LENGTH).contains(&length) =>
        {
            let (min, max) = (Generate::MIN_LENGTH, Generate::MAX_LENGTH);
            return Err(ApiError::malformed(format!(
                "generate.length is {length} and must be {min} to {max}"
            )));
        }
        (None, _) => {}
    }
    if request.if_version == Some(0) {
        return Err(ApiError::malformed(
            "if_version is 0, but a rotation needs a secret that exists",
        ));
    }
    check_if_version(request.if_version)
}

/// Parses the body of a destroy: the versions that it names.
pub(super) fn destroy_request(body: &Redacted) -> Result<BTreeSet<Version>, ApiError> {
    let DestroyRequest { versions } = parse(body, r#"{"versions": [<number>]}"#)?;
    match versions.len() {
        0 => Err(ApiError::malformed("the body names no version")),
        1..=MAX_BUNDLE_SECRETS => Ok(versions),
        _ => Err(ApiError::malformed(format!(
            "the body names more than {MAX_BUNDLE_SECRETS} versions"
        ))),
    }
}

/// Parses the body of a read of several secrets.
pub(super) fn read_request(body: &Redacted) -> Result<ReadRequest, ApiError> {
    let request: ReadRequest = parse(body, r#"{"names": ["NAME"]}"#)?;
    match request.names.len() {
        0 => Err(ApiError::malformed("the body names no secret")),
        1..=MAX_BUNDLE_SECRETS => Ok(request),
        count => Err(ApiError::too_large(format!(
            "the body has {count} names; one request reads at most {MAX_BUNDLE_SECRETS}"
        ))),
    }
}

/// The body of a change of several secrets.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, bound = "T: Deserialize<'de>")]
struct NamedRequest<T> {
    secrets: NamedValues<T>,
}

/// A JSON object that keeps duplicate names, which a map would drop.
struct NamedValues<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for NamedValues<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamedValuesVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for NamedValuesVisitor<T> {
            type Value = NamedValues<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of secrets by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NamedValues<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some((name, Object(value))) = map.next_entry()? {
                    entries.push((name, value));
                }
                Ok(NamedValues(entries))
            }
        }
        deserializer.deserialize_map(NamedValuesVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<WriteRequest, ApiError> {
        write_request(&Redacted::from(body.to_owned()))
    }

    #[test]
    fn names_and_values_are_parsed() {
        let request =
            read(r#"{"secrets":{"A":{"value":"aHVudGVyMg=="},"B":{"value":""}}}"#).unwrap();
        assert_eq!(request.secrets["A"].value.expose(), b"hunter2");
        assert!(request.secrets["B"].value.is_empty());
    }

    #[test]
    fn an_error_gives_the_position_and_no_quote() {
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
    fn an_error_names_the_value_that_is_too_large() {
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
    fn a_rotation_has_at_most_one_new_value() {
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
            assert_eq!(read(body).unwrap_err().status(), 400, "{body} was accepted");
        }
    }

    #[test]
    fn a_read_names_some_secrets() {
        let read = |body: &str| read_request(&Redacted::from(body.to_owned()));
        let names = read(r#"{"names":["B","A","B"]}"#).unwrap().names;
        assert_eq!(names.iter().map(SecretName::as_str).collect::<Vec<_>>(), ["A", "B"]);
        let many: Vec<String> = (0..=MAX_BUNDLE_SECRETS).map(|at| format!("\"A{at}\"")).collect();
        let body = |count: usize| format!(r#"{{"names":[{}]}}"#, many[..count].join(","));
        assert!(read(&body(MAX_BUNDLE_SECRETS)).is_ok());
        assert_eq!(read(&body(MAX_BUNDLE_SECRETS + 1)).unwrap_err().status(), 413);
        for body in ["", "{}", r#"{"names":[]}"#, r#"{"names":"A"}"#, r#"{"names":["1A"]}"#] {
            assert_eq!(read(body).unwrap_err().status(), 400, "{body} was accepted");
        }
    }

    #[test]
    fn a_destroy_names_at_least_one_version() {
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
            assert_eq!(read(body).unwrap_err().status(), 400, "{body} was accepted");
        }
    }
}
