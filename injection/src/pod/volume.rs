//! The volumes of a pod, as far as it matters what a mount of one is.

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
    secret: Option<IgnoredAny>,
    projected: Option<IgnoredAny>,
    #[serde(rename = "downwardAPI")]
    downward_api: Option<IgnoredAny>,
    #[serde(borrow)]
    host_path: Option<HostPath<'a>>,
}

#[derive(Debug, Deserialize)]
struct HostPath<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<JsonStr<'a>>,
}

impl Volume<'_> {
    /// Whether its files are the keys of an object. Kubelet mounts it read-only.
    pub(crate) fn has_keys(&self) -> bool {
        let Self { config_map, secret, projected, downward_api, .. } = self;
        [config_map, secret, projected, downward_api].iter().any(|it| it.is_some())
    }

    /// Whether a mount of the volume is most likely a file: a key of an object, or a file of the
    /// node.
    pub(crate) fn is_mounted_as_file(&self, mount: &VolumeMount<'_>) -> bool {
        let has_sub_path = mount.sub_path.is_some() || mount.sub_path_expr.is_some();
        let kind = self.host_path.as_ref().and_then(|it| it.kind.as_deref());
        let is_node_file =
            matches!(kind, Some("File" | "FileOrCreate" | "Socket" | "CharDevice" | "BlockDevice"));
        if has_sub_path { self.has_keys() } else { is_node_file }
    }
}
