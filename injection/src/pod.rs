//! What admission reads of a pod: a view that borrows from the review's text.
//!
//! It holds the fields that a decision needs and skips the rest, so it is never encoded again: the
//! patch names places in the pod's own JSON, and a field that this build has not heard of survives.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};

use crate::place::{List, Place};

/// A pod as it stands in an admission request or a manifest.
#[derive(Debug)]
pub struct Pod<'a> {
    /// The JSON that this is a view of, for the rare places that need every field.
    pub(crate) json: &'a str,
    pub(crate) metadata: Metadata<'a>,
    pub(crate) spec: Spec<'a>,
}

/// Why a JSON text is no pod. The parser's own words may quote a value, so only the place is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read pod: not the JSON of a Pod, at line {line}, column {column}")]
pub struct PodError {
    line: usize,
    column: usize,
}

impl<'a> Pod<'a> {
    /// Reads a pod.
    ///
    /// # Errors
    /// Where the text is no JSON, has no `spec`, or a field that admission reads is of another type
    /// than in a Pod.
    pub fn parse(json: &'a str) -> Result<Self, PodError> {
        #[derive(Deserialize)]
        struct Parts<'a> {
            #[serde(borrow, default)]
            metadata: Metadata<'a>,
            #[serde(borrow)]
            spec: Spec<'a>,
        }
        let Parts { metadata, spec } = serde_json::from_str(json)
            .map_err(|cause| PodError { line: cause.line(), column: cause.column() })?;
        Ok(Self { json, metadata, spec })
    }

    /// The pod's name, or the prefix that one will be made of.
    #[must_use]
    pub fn name(&self) -> &str {
        let Metadata { name, generate_name, .. } = &self.metadata;
        name.as_deref().or(generate_name.as_deref()).unwrap_or_default()
    }

    /// The pod's service account.
    #[must_use]
    pub fn service_account(&self) -> &str {
        self.spec
            .service_account_name
            .as_deref()
            .filter(|name| !name.is_empty())
            .unwrap_or("default")
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
            .flat_map(|Pairs(pairs)| pairs)
            .map(|(key, value)| (&**key, &**value))
    }

    /// Every container that a pod is created with, application containers first.
    pub(crate) fn containers(&self) -> impl Iterator<Item = (Place, &Container<'a>)> {
        let places = |list: List| move |(index, container)| (Place { list, index }, container);
        let applications =
            self.spec.containers.iter().flatten().enumerate().map(places(List::Containers));
        applications.chain(
            self.spec
                .init_containers
                .iter()
                .flatten()
                .enumerate()
                .map(places(List::InitContainers)),
        )
    }
}

/// A string that borrows from the JSON unless an escape in it forbids that.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A map of strings, in the order written.
#[derive(Debug, Default)]
pub(crate) struct Pairs<'a>(pub(crate) Vec<(Text<'a>, Text<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs<'de>, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    generate_name: Option<Text<'a>>,
    #[serde(borrow)]
    annotations: Option<Pairs<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec<'a> {
    #[serde(borrow)]
    pub(crate) containers: Option<Vec<Container<'a>>>,
    #[serde(borrow)]
    pub(crate) init_containers: Option<Vec<Container<'a>>>,
    #[serde(borrow)]
    pub(crate) volumes: Option<Vec<Named<'a>>>,
    #[serde(borrow)]
    service_account_name: Option<Text<'a>>,
    pub(crate) security_context: Option<PodSecurity>,
    pub(crate) share_process_namespace: Option<bool>,
    #[serde(rename = "hostPID")]
    pub(crate) host_pid: Option<bool>,
    #[serde(borrow)]
    pub(crate) os: Option<Named<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Named<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodSecurity {
    pub(crate) run_as_user: Option<i64>,
    pub(crate) fs_group: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Container<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Text<'a>,
    #[serde(borrow)]
    pub(crate) command: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub(crate) args: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub(crate) env: Option<Vec<Variable<'a>>>,
    #[serde(borrow)]
    pub(crate) env_from: Option<Vec<EnvFrom<'a>>>,
    #[serde(borrow)]
    pub(crate) volume_mounts: Option<Vec<Mount<'a>>>,
    security_context: Option<ContainerSecurity>,
    #[serde(borrow)]
    restart_policy: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerSecurity {
    run_as_user: Option<i64>,
}

/// An entry of `env`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Variable<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Text<'a>,
    #[serde(borrow)]
    value: Option<Text<'a>>,
    #[serde(borrow)]
    value_from: Option<ValueFrom<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ValueFrom<'a> {
    #[serde(borrow)]
    secret_key_ref: Option<SecretKey<'a>>,
    #[serde(borrow)]
    field_ref: Option<FieldRef<'a>>,
}

/// A key of a Kubernetes Secret.
#[derive(Debug, Deserialize)]
pub(crate) struct SecretKey<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) key: Text<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FieldRef<'a> {
    #[serde(borrow, default)]
    field_path: Text<'a>,
}

/// An entry of `envFrom`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnvFrom<'a> {
    #[serde(borrow, default)]
    pub(crate) prefix: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) secret_ref: Option<Named<'a>>,
}

/// An entry of `volumeMounts`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mount<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) mount_path: Text<'a>,
    pub(crate) read_only: Option<bool>,
    #[serde(borrow)]
    pub(crate) sub_path: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) sub_path_expr: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) mount_propagation: Option<Text<'a>>,
}

impl Container<'_> {
    /// The UID that the manifest gives the container's process; without one, the image decides.
    pub(crate) fn uid(&self, pod: &Pod<'_>) -> Option<i64> {
        let own = self.security_context.as_ref().and_then(|context| context.run_as_user);
        own.or_else(|| pod.spec.security_context.as_ref().and_then(|context| context.run_as_user))
            .filter(|uid| *uid >= 0)
    }

    /// Whether an init container goes on running beside the application.
    pub(crate) fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }
}

impl Variable<'_> {
    /// The text that the manifest carries; `None` where the value comes from elsewhere.
    pub(crate) fn literal(&self) -> Option<&str> {
        if self.value_from.is_some() {
            None
        } else {
            Some(self.value.as_deref().unwrap_or_default())
        }
    }

    pub(crate) fn secret_key(&self) -> Option<&SecretKey<'_>> {
        self.value_from.as_ref()?.secret_key_ref.as_ref()
    }

    pub(crate) fn field_path(&self) -> Option<&str> {
        self.value_from.as_ref()?.field_ref.as_ref().map(|found| &*found.field_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_pod_is_not_quoted() {
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
            assert!(error.starts_with("read pod: "), "{error}");
        }
    }

    #[test]
    fn what_is_absent_or_null_has_a_meaning() {
        let pod = Pod::parse(
            r#"{"metadata":{"generateName":"api-","annotations":null},"spec":{"containers":null}}"#,
        )
        .unwrap();
        assert_eq!(
            (pod.name(), pod.service_account(), pod.containers().count()),
            ("api-", "default", 0)
        );
        let pod =
            Pod::parse(r#"{"metadata":{"name":"a\u0062"},"spec":{"serviceAccountName":"api"}}"#)
                .unwrap();
        assert_eq!((pod.name(), pod.service_account()), ("ab", "api"));
    }

    #[test]
    fn the_container_s_uid_goes_before_the_pod_s() {
        let pod = Pod::parse(
            r#"{"spec":{"securityContext":{"runAsUser":1},"containers":[{"securityContext":{"runAsUser":2}},{"securityContext":{}},{}]}}"#,
        )
        .unwrap();
        let uids: Vec<_> = pod.containers().map(|(_, container)| container.uid(&pod)).collect();
        assert_eq!(uids, [Some(2), Some(1), Some(1)]);
    }
}
