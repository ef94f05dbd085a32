//! Entries of `env`.

use serde::Deserialize;

use super::JsonStr;

/// An entry of `env`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnvVar<'a> {
    #[serde(borrow, default)]
    pub(crate) name: JsonStr<'a>,
    #[serde(borrow)]
    value: Option<JsonStr<'a>>,
    #[serde(borrow)]
    value_from: Option<EnvVarSource<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EnvVarSource<'a> {
    #[serde(borrow)]
    secret_key_ref: Option<SecretKeySelector<'a>>,
    #[serde(borrow)]
    field_ref: Option<ObjectFieldSelector<'a>>,
    #[serde(borrow)]
    file_key_ref: Option<FileKeySelector<'a>>,
}

/// A key of a file in a volume, which kubelet reads when it creates the container.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileKeySelector<'a> {
    #[serde(borrow, default)]
    pub(crate) volume_name: JsonStr<'a>,
    #[serde(borrow, default)]
    pub(crate) path: JsonStr<'a>,
    #[serde(borrow, default)]
    pub(crate) key: JsonStr<'a>,
    pub(crate) optional: Option<bool>,
}

/// A key of a Kubernetes Secret.
#[derive(Debug, Deserialize)]
pub(crate) struct SecretKeySelector<'a> {
    #[serde(borrow, default)]
    pub(crate) name: JsonStr<'a>,
    #[serde(borrow, default)]
    pub(crate) key: JsonStr<'a>,
    pub(crate) optional: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectFieldSelector<'a> {
    #[serde(borrow, default)]
    field_path: JsonStr<'a>,
}

impl EnvVar<'_> {
    /// The literal value; `None` if it comes from `valueFrom`.
    pub(crate) fn literal(&self) -> Option<&str> {
        if self.value_from.is_some() {
            None
        } else {
            Some(self.value.as_deref().unwrap_or_default())
        }
    }

    pub(crate) fn secret_key(&self) -> Option<&SecretKeySelector<'_>> {
        self.value_from.as_ref()?.secret_key_ref.as_ref()
    }

    pub(crate) fn file_key(&self) -> Option<&FileKeySelector<'_>> {
        self.value_from.as_ref()?.file_key_ref.as_ref()
    }

    pub(crate) fn field_path(&self) -> Option<&str> {
        self.value_from.as_ref()?.field_ref.as_ref().map(|found| &*found.field_path)
    }
}
