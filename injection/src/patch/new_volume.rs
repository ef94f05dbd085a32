//! The entries of `volumes` that a patch writes, in the same order of fields.

use contract::{Quantity, layout};
use serde::Serialize;

/// An entry of `volumes`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewVolume<'v> {
    #[serde(skip_serializing_if = "Option::is_none")]
    empty_dir: Option<EmptyDir<'v>>,
    name: &'v str,
    #[serde(skip_serializing_if = "Option::is_none")]
    projected: Option<Projected<'v>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EmptyDir<'v> {
    medium: &'static str,
    size_limit: &'v str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Projected<'v> {
    default_mode: u32,
    sources: Vec<NewProjection<'v>>,
}

/// What is in a projected volume.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum NewProjection<'v> {
    #[serde(rename_all = "camelCase")]
    ServiceAccountToken {
        audience: &'v str,
        expiration_seconds: u32,
        path: &'static str,
    },
    ConfigMap {
        items: Vec<ConfigMapItem<'v>>,
        name: &'v str,
    },
}

/// A key of a ConfigMap as a file.
#[derive(Serialize)]
pub(super) struct ConfigMapItem<'v> {
    pub(super) key: &'v str,
    pub(super) path: &'v str,
}

impl<'v> NewVolume<'v> {
    /// In memory.
    pub(super) fn memory(name: &'v str, size_limit: &'v str) -> Self {
        Self { empty_dir: Some(EmptyDir { medium: "Memory", size_limit }), name, projected: None }
    }

    /// In memory, so that no value reaches a disk. Limited, because an unlimited volume may take
    /// half of the node's memory.
    pub(super) fn secrets(size: &'v Quantity) -> Self {
        Self::memory(layout::SECRETS_VOLUME, size.as_str())
    }

    /// In memory, so that nobody who has the node's disk chooses the program. Holds two copies,
    /// even of a program with its symbols, while an agent of another image replaces the first.
    pub(super) fn program() -> Self {
        Self::memory(layout::PROGRAM_VOLUME, "64Mi")
    }

    /// A token that only the source of the secrets accepts.
    pub(super) fn token(audience: &'v str) -> Self {
        let token = NewProjection::ServiceAccountToken {
            audience,
            expiration_seconds: layout::TOKEN_LIFETIME_SECONDS,
            path: layout::TOKEN_FILE,
        };
        Self::projected(layout::TOKEN_VOLUME, vec![token])
    }

    /// The audience of its token, if it has one.
    pub(super) fn token_audience(&self) -> Option<&str> {
        self.projected.iter().flat_map(|it| &it.sources).find_map(|source| match source {
            NewProjection::ServiceAccountToken { audience, .. } => Some(*audience),
            NewProjection::ConfigMap { .. } => None,
        })
    }

    /// Several objects. Sets the mode that the API server would default.
    pub(super) fn projected(name: &'v str, sources: Vec<NewProjection<'v>>) -> Self {
        let projected = Projected { default_mode: 0o644, sources };
        Self { empty_dir: None, name, projected: Some(projected) }
    }
}
