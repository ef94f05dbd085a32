//! A volume of the pod that the agent fills, where the pod's author asked kubelet to mount a Secret
//! that a bundle replaces.

use serde::{Deserialize, Serialize};

use crate::bundle::BundleRef;
use crate::file_path::FilePath;
use crate::name::SecretName;

/// The most volumes of a pod that the agent fills.
pub const MAX_VOLUMES: usize = 16;

/// The most that they take in the agent's configuration, in bytes of JSON.
pub const MAX_CONFIG_BYTES: usize = 24 << 10;

/// A volume that the agent fills.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVolume {
    /// Its mount point in the agent: its name in the pod, in
    /// [`VOLUMES_DIRECTORY`](crate::layout::VOLUMES_DIRECTORY).
    pub directory: String,
    /// What is in it. Of two sources with a file of the same path, the later counts.
    pub sources: Vec<VolumeSource>,
}

/// The secrets of a bundle in a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSource {
    /// The bundle.
    pub bundle: BundleRef,
    /// The mode of the files.
    pub mode: VolumeFileMode,
    /// The secrets that have a file; every one, by its name, if this is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<VolumeItem>,
    /// Whether items are left out that the bundle does not have.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// A secret of a bundle with a file in a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeItem {
    /// The secret, or a file that is rendered.
    pub secret: SecretName,
    /// The file.
    pub path: FilePath,
    /// Its mode, if it has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<VolumeFileMode>,
}

/// The permission bits of a file in a volume: any, as in a Secret's volume. The owner, who is the
/// agent, can always read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeFileMode(u16);

impl VolumeFileMode {
    /// The mode of a Secret's files that sets none.
    pub const DEFAULT: Self = Self(0o644);

    /// The mode that kubelet would give a file: `bits`, and in a pod with an `fsGroup`, whose files
    /// belong to the group, also what it needs to read. `None` if they are no permission bits.
    #[must_use]
    pub fn of_kubelet(bits: i64, has_group: bool) -> Option<Self> {
        let bits = u16::try_from(bits).ok().filter(|bits| *bits <= 0o777)?;
        Some(Self(bits | 0o400 | if has_group { 0o040 } else { 0 }))
    }

    /// The bits.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }
}

/// A text is not a [`VolumeFileMode`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse mode of a file in a volume: must be four octal digits from 0400 to 0777")]
pub struct VolumeFileModeError;

impl TryFrom<String> for VolumeFileMode {
    type Error = VolumeFileModeError;

    fn try_from(text: String) -> Result<Self, VolumeFileModeError> {
        let bits = u16::from_str_radix(&text, 8).map_err(|_| VolumeFileModeError)?;
        let fits = text.len() == 4 && bits <= 0o777 && bits & 0o400 != 0;
        if fits { Ok(Self(bits)) } else { Err(VolumeFileModeError) }
    }
}

impl From<VolumeFileMode> for String {
    fn from(mode: VolumeFileMode) -> Self {
        format!("{:04o}", mode.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_in_the_configuration() {
        let item = VolumeItem {
            secret: "TLS_KEY".parse().unwrap(),
            path: "tls/tls.key".parse().unwrap(),
            mode: VolumeFileMode::of_kubelet(0o400, false),
        };
        let source = |items, optional| VolumeSource {
            bundle: "api-prod".parse().unwrap(),
            mode: VolumeFileMode::DEFAULT,
            items,
            optional,
        };
        let volume = SecretVolume {
            directory: "/run/enclii/volumes/certs".into(),
            sources: vec![source(vec![item], true), source(Vec::new(), false)],
        };
        let json = serde_json::to_string(&volume).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"directory":"/run/enclii/volumes/certs","sources":[{"bundle":"api-prod","mode":"0644","#,
                r#""items":[{"secret":"TLS_KEY","path":"tls/tls.key","mode":"0400"}],"#,
                r#""optional":true},{"bundle":"api-prod","mode":"0644"}]}"#,
            )
        );
        assert_eq!(serde_json::from_str::<SecretVolume>(&json).unwrap(), volume);
        for (from, to) in [("tls/tls.key", "../x"), ("TLS_KEY", "../x"), ("0644", "4755")] {
            assert!(serde_json::from_str::<SecretVolume>(&json.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn modes_are_those_that_kubelet_would_set() {
        for (bits, has_group, expected) in [
            (0o644, false, Some(0o644)),
            (0o400, true, Some(0o440)),
            (0o555, false, Some(0o555)),
            (0o040, false, Some(0o440)),
            (0, false, Some(0o400)),
            (0o1777, false, None),
            (-1, false, None),
        ] {
            let found = VolumeFileMode::of_kubelet(bits, has_group);
            assert_eq!(found.map(VolumeFileMode::bits), expected, "{bits:o}");
        }
    }
}
