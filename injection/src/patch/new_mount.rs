//! The entries of `volumeMounts` that a patch writes, in the same order of fields.

use serde::Serialize;

/// An entry of `volumeMounts`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewMount<'m> {
    mount_path: &'m str,
    name: &'m str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_path: Option<&'m str>,
}

impl<'m> NewMount<'m> {
    /// A volume to write to.
    pub(super) fn writable(name: &'m str, mount_path: &'m str) -> Self {
        Self { mount_path, name, read_only: false, sub_path: None }
    }

    /// A volume to read.
    pub(super) fn read_only(name: &'m str, mount_path: &'m str) -> Self {
        Self { read_only: true, ..Self::writable(name, mount_path) }
    }

    /// A part of a volume to read.
    pub(super) fn part(name: &'m str, sub_path: &'m str, mount_path: &'m str) -> Self {
        Self { sub_path: Some(sub_path), ..Self::read_only(name, mount_path) }
    }
}
