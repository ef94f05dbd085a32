//! What the operator allows the Injector's annotations.

use contract::vault_source::VaultPath;
use serde::{Deserialize, Deserializer};

use super::RoleTemplate;

/// What the annotations `vault.hashicorp.com/*` may ask for. Its presence in the operator's file
/// turns them on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct VaultCompat {
    /// The roles that a pod may name besides its own of `vaultRole`.
    pub roles: Vec<AllowedRole>,
    /// The auth methods, as `auth/kubernetes-eu`.
    pub auth_paths: Vec<VaultPath>,
    /// The namespaces of Vault.
    pub namespaces: Vec<VaultPath>,
    /// The KV engines of version 2 in which templates leave out `data/`, as consul-template allows.
    pub kv_mounts: Vec<VaultPath>,
}

/// A role that a pod may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedRole {
    /// Any: Vault decides by the pod's service account, as with the Injector.
    Any,
    /// This one, in which `{namespace}` and `{service_account}` are the pod's.
    Named(RoleTemplate),
}

impl AllowedRole {
    /// Whether a pod may name `role`.
    pub(crate) fn allows(&self, role: &str, (namespace, service_account): (&str, &str)) -> bool {
        match self {
            Self::Any => true,
            Self::Named(template) => template.role(namespace, service_account) == role,
        }
    }
}

impl<'de> Deserialize<'de> for AllowedRole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "*" => Ok(Self::Any),
            text => text.parse().map(Self::Named).map_err(serde::de::Error::custom),
        }
    }
}
