//! The volumes of a pod, as far as it matters what a mount of one is, and what a Secret's holds.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{JsonStr, VolumeMount};

/// An entry of `volumes`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Volume<'a> {
    #[serde(borrow, default)]
    pub(crate) name: JsonStr<'a>,
    config_map: Option<IgnoredAny>,
    #[serde(borrow)]
    pub(crate) secret: Option<SecretVolumeSource<'a>>,
    #[serde(borrow)]
    pub(crate) projected: Option<ProjectedVolumeSource<'a>>,
    empty_dir: Option<IgnoredAny>,
    #[serde(rename = "downwardAPI")]
    downward_api: Option<IgnoredAny>,
    #[serde(borrow)]
    host_path: Option<HostPath<'a>>,
}

/// A Secret as a volume.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecretVolumeSource<'a> {
    #[serde(borrow, default)]
    pub(crate) secret_name: JsonStr<'a>,
    #[serde(borrow)]
    pub(crate) items: Option<Vec<KeyToPath<'a>>>,
    pub(crate) default_mode: Option<i64>,
    pub(crate) optional: Option<bool>,
}

/// Several objects as one volume.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProjectedVolumeSource<'a> {
    #[serde(borrow)]
    pub(crate) sources: Option<Vec<VolumeProjection<'a>>>,
    pub(crate) default_mode: Option<i64>,
}

/// One of them; anything but a Secret is not looked at.
#[derive(Debug, Deserialize)]
pub(crate) struct VolumeProjection<'a> {
    #[serde(borrow)]
    pub(crate) secret: Option<SecretProjection<'a>>,
}

/// A Secret in a projected volume.
#[derive(Debug, Deserialize)]
pub(crate) struct SecretProjection<'a> {
    #[serde(borrow, default)]
    pub(crate) name: JsonStr<'a>,
    #[serde(borrow)]
    pub(crate) items: Option<Vec<KeyToPath<'a>>>,
    pub(crate) optional: Option<bool>,
}

/// A key of a Secret as a file.
#[derive(Debug, Deserialize)]
pub(crate) struct KeyToPath<'a> {
    #[serde(borrow, default)]
    pub(crate) key: JsonStr<'a>,
    #[serde(borrow, default)]
    pub(crate) path: JsonStr<'a>,
    pub(crate) mode: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct HostPath<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<JsonStr<'a>>,
}

impl Volume<'_> {
    /// Whether it is the pod's own, empty at first.
    pub(crate) fn is_empty_dir(&self) -> bool {
        self.empty_dir.is_some()
    }

    /// Whether its files are the keys of an object. Kubelet mounts it read-only.
    pub(crate) fn has_keys(&self) -> bool {
        let Self { config_map, secret, projected, downward_api, .. } = self;
        let others = [config_map, downward_api];
        secret.is_some() || projected.is_some() || others.into_iter().any(Option::is_some)
    }

    /// Whether a mount of the volume is most likely a file: a key of an object, or a file of the
    /// node. One that is `filled` by the agent was an object's before.
    pub(crate) fn is_mounted_as_file(&self, mount: &VolumeMount<'_>, filled: bool) -> bool {
        let has_keys = filled || self.has_keys();
        let has_sub_path = mount.sub_path.is_some() || mount.sub_path_expr.is_some();
        let kind = self.host_path.as_ref().and_then(|it| it.kind.as_deref());
        let is_node_file =
            matches!(kind, Some("File" | "FileOrCreate" | "Socket" | "CharDevice" | "BlockDevice"));
        if has_sub_path { has_keys } else { is_node_file }
    }
}
