//! The part of a pod that admission reads: a view that borrows from the review's text.
//!
//! It holds the fields that a decision needs and skips the rest. It is never encoded again: the
//! patch refers to the pod's own JSON, so fields that this build does not know survive.

mod container;
mod env_var;
mod exempt;
mod handler;
mod requirements;
mod volume;

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};

use crate::container_path::{ContainerList, ContainerPath};
use crate::json_size::{self, MAX_JSON_VALUES};
pub(crate) use container::{Container, VolumeMount};
pub(crate) use env_var::{EnvVar, FileKeySelector};
pub(crate) use handler::{Handler, ProbePort};
pub(crate) use requirements::{Requirements, Resource};
pub(crate) use volume::{KeyToPath, Volume};

/// A pod of an admission request or a manifest.
#[derive(Debug)]
pub struct Pod<'a> {
    /// The whole JSON, for the few callers that need every field.
    pub(crate) json: &'a str,
    pub(crate) metadata: Metadata<'a>,
    pub(crate) spec: Spec<'a>,
}

/// Why a JSON text is no pod. The parser's own words may quote a value, so only the place is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParsePodError {
    /// It is not the JSON of a pod.
    #[error("parse pod: not the JSON of a Pod, at line {line}, column {column}")]
    Form {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// It holds more than a pod can need, and reading it would take too much memory.
    #[error("parse pod: it has more than {MAX_JSON_VALUES} values, more than any pod needs")]
    TooManyValues,
}

impl<'a> Pod<'a> {
    /// Parses a pod.
    ///
    /// # Errors
    /// If the text is not JSON, has no `spec`, a field that admission reads has another type than
    /// in a Pod, or there are more than [`MAX_JSON_VALUES`] values.
    pub fn parse(json: &'a str) -> Result<Self, ParsePodError> {
        #[derive(Deserialize)]
        struct RawPod<'a> {
            #[serde(borrow)]
            metadata: Option<Metadata<'a>>,
            #[serde(borrow)]
            spec: Spec<'a>,
        }
        if json_size::has_more_values(json, MAX_JSON_VALUES) {
            return Err(ParsePodError::TooManyValues);
        }
        let RawPod { metadata, spec } = serde_json::from_str(json)
            .map_err(|cause| ParsePodError::Form { line: cause.line(), column: cause.column() })?;
        Ok(Self { json, metadata: metadata.unwrap_or_default(), spec })
    }

    /// The pod's name, or its `generateName`.
    #[must_use]
    pub fn name(&self) -> &str {
        let Metadata { name, generate_name, .. } = &self.metadata;
        name.as_deref().or(generate_name.as_deref()).unwrap_or_default()
    }

    /// The pod's service account; `default` if it names none.
    #[must_use]
    pub fn service_account(&self) -> &str {
        self.spec
            .service_account_name
            .as_deref()
            .filter(|name| !name.is_empty())
            .unwrap_or("default")
    }

    /// Whether the pod ends with its application, as that of a Job.
    pub(crate) fn ends(&self) -> bool {
        let policy = self.spec.restart_policy.as_deref().unwrap_or("Always");
        let mut owners = self.metadata.owner_references.iter().flatten();
        policy != "Always" || owners.any(|owner| &*owner.kind == "Job")
    }

    /// The value of an annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations().find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    pub(crate) fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metadata
            .annotations
            .iter()
            .flat_map(|StringMap(pairs)| pairs)
            .map(|(key, value)| (&**key, &**value))
    }

    /// All containers and init containers, application containers first.
    pub(crate) fn containers(&self) -> impl Iterator<Item = (ContainerPath, &Container<'a>)> {
        let with_path = |list: ContainerList| {
            move |(index, container)| (ContainerPath { list, index }, container)
        };
        let applications = self
            .spec
            .containers
            .iter()
            .flatten()
            .enumerate()
            .map(with_path(ContainerList::Containers));
        applications.chain(
            self.spec
                .init_containers
                .iter()
                .flatten()
                .enumerate()
                .map(with_path(ContainerList::InitContainers)),
        )
    }
}

/// A string that borrows from the JSON unless it has escapes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct JsonStr<'a>(#[serde(borrow)] Cow<'a, str>);

impl std::ops::Deref for JsonStr<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JsonStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A map of strings, in the order of the JSON.
#[derive(Debug, Default)]
pub(crate) struct StringMap<'a>(pub(crate) Vec<(JsonStr<'a>, JsonStr<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for StringMap<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StringMapVisitor;
        impl<'de> Visitor<'de> for StringMapVisitor {
            type Value = StringMap<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<StringMap<'de>, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(StringMap(pairs))
            }
        }
        deserializer.deserialize_map(StringMapVisitor)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata<'a> {
    #[serde(borrow)]
    name: Option<JsonStr<'a>>,
    #[serde(borrow)]
    generate_name: Option<JsonStr<'a>>,
    #[serde(borrow)]
    annotations: Option<StringMap<'a>>,
    #[serde(borrow)]
    owner_references: Option<Vec<OwnerReference<'a>>>,
}

#[derive(Debug, Deserialize)]
struct OwnerReference<'a> {
    #[serde(borrow, default)]
    kind: JsonStr<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec<'a> {
    #[serde(borrow)]
    pub(crate) containers: Option<Vec<Container<'a>>>,
    #[serde(borrow)]
    pub(crate) init_containers: Option<Vec<Container<'a>>>,
    #[serde(borrow)]
    pub(crate) volumes: Option<Vec<Volume<'a>>>,
    #[serde(borrow)]
    service_account_name: Option<JsonStr<'a>>,
    pub(crate) security_context: Option<PodSecurityContext>,
    #[serde(borrow)]
    restart_policy: Option<JsonStr<'a>>,
    pub(crate) share_process_namespace: Option<bool>,
    pub(crate) termination_grace_period_seconds: Option<i64>,
    #[serde(rename = "hostPID")]
    pub(crate) host_pid: Option<bool>,
    pub(crate) host_network: Option<bool>,
    #[serde(borrow)]
    pub(crate) dns_policy: Option<JsonStr<'a>>,
    /// Of the whole pod (Kubernetes 1.34).
    #[serde(borrow)]
    pub(crate) resources: Option<Requirements<'a>>,
    #[serde(borrow)]
    pub(crate) os: Option<NamedObject<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct NamedObject<'a> {
    #[serde(borrow, default)]
    pub(crate) name: JsonStr<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodSecurityContext {
    pub(crate) run_as_user: Option<i64>,
    pub(crate) fs_group: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_pod_is_not_quoted_in_the_error() {
        for json in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"spec":null}"#,
            r#"{"spec":{"containers":"hunter2"}}"#,
            r#"{"spec":{"containers":[null]}}"#,
            r#"{"spec":{"containers":[{"env":[{"name":"A","value":{"hunter2":1}}]}]}}"#,
            r#"{"spec":{"securityContext":{"runAsUser":"hunter2"}}}"#,
        ] {
            let error = Pod::parse(json).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
            assert!(error.starts_with("parse pod: "), "{error}");
        }
    }

    #[test]
    fn absent_and_null_fields_have_defaults() {
        let pod = Pod::parse(
            r#"{"metadata":{"generateName":"api-","annotations":null},"spec":{"containers":null}}"#,
        )
        .unwrap();
        assert_eq!(
            (pod.name(), pod.service_account(), pod.containers().count()),
            ("api-", "default", 0)
        );
        assert_eq!(Pod::parse(r#"{"metadata":null,"spec":{}}"#).unwrap().name(), "");
        let pod =
            Pod::parse(r#"{"metadata":{"name":"a\u0062"},"spec":{"serviceAccountName":"api"}}"#)
                .unwrap();
        assert_eq!((pod.name(), pod.service_account()), ("ab", "api"));
    }
}
