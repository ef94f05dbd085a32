//! The entries of `env` that a patch writes. Their fields are in the order of their names, as in
//! every object that the API server writes.

use std::borrow::Cow;

use contract::layout;
use serde::Serialize;

/// An entry of `env`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewVariable {
    name: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_from: Option<NewVariableSource>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum NewVariableSource {
    #[serde(rename_all = "camelCase")]
    FieldRef { api_version: &'static str, field_path: &'static str },
    #[serde(rename_all = "camelCase")]
    FileKeyRef { key: String, optional: bool, path: String, volume_name: &'static str },
}

impl NewVariable {
    /// One with a value.
    pub(super) fn literal(name: impl Into<Cow<'static, str>>, value: String) -> Self {
        Self { name: name.into(), value: Some(value), value_from: None }
    }

    /// One that kubelet reads from the key of a file in the secrets' volume. Sets `optional`, which
    /// the API server would default: without its file, the container does not start.
    pub(super) fn from_file(name: String, path: String, key: String) -> Self {
        let volume_name = layout::SECRETS_VOLUME;
        let source = NewVariableSource::FileKeyRef { key, optional: false, path, volume_name };
        Self { name: name.into(), value: None, value_from: Some(source) }
    }

    /// The pod's UID. Sets `apiVersion`, which the API server would default.
    pub(super) fn pod_uid() -> Self {
        let source = NewVariableSource::FieldRef { api_version: "v1", field_path: "metadata.uid" };
        Self { name: layout::POD_UID_VARIABLE.into(), value: None, value_from: Some(source) }
    }
}
