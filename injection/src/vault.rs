//! Vault as the source of secrets: the operator's settings, and what becomes of them in a pod.
//!
//! The operator chooses the address, the role and everything else of the login; a bundle's mapping
//! chooses paths; a pod's annotation chooses bundles, and none of these. The Injector's annotations
//! are the exception: with `compatVault` they choose paths, and what the operator lists.

mod bundle;
mod compat;
mod setting;

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use contract::vault_source::{DEFAULT_POLL_SECONDS, VaultPath, VaultSecret};
use contract::{BundleRef, SecretName, VaultSource, layout};

pub(crate) use bundle::{mapped, secrets};
pub use compat::{AllowedRole, VaultCompat};
pub(crate) use setting::is_role;
pub use setting::{
    PemCertificates, PollSeconds, RoleTemplate, TokenAudience, VaultAddress, VaultSettingError,
};

/// Where each secret of each bundle of a pod is in Vault.
pub type VaultSecrets = BTreeMap<BundleRef, BTreeMap<SecretName, VaultSecret>>;

/// How every agent reaches Vault and logs in, as the operator says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultSettings {
    /// Its address; without one, Vault cannot be the source.
    pub address: Option<VaultAddress>,
    /// The CAs that may have signed its certificate; `None` are those that agents trust anyway, as
    /// [`InjectionConfig::trust`](crate::InjectionConfig::trust) says.
    pub ca: Option<PemCertificates>,
    /// The namespace, for Vault Enterprise and OpenBao.
    pub namespace: Option<VaultPath>,
    /// Where the Kubernetes auth method is mounted, below `auth/`.
    pub auth_mount: VaultPath,
    /// The role of a pod; without one, Vault cannot be the source.
    pub role: Option<RoleTemplate>,
    /// The audience of the agent's token.
    pub audience: TokenAudience,
    /// How often agents look for changes.
    pub poll_seconds: NonZeroU32,
    /// Whether an agent that is asked to stop revokes its Vault token, where it outlives the
    /// application.
    pub revoke_on_shutdown: bool,
}

impl Default for VaultSettings {
    fn default() -> Self {
        Self {
            address: None,
            ca: None,
            namespace: None,
            auth_mount: VaultPath::constant("kubernetes"),
            role: None,
            audience: TokenAudience::default(),
            poll_seconds: DEFAULT_POLL_SECONDS,
            revoke_on_shutdown: false,
        }
    }
}

/// What of a pod its login at Vault depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VaultPod<'p> {
    /// Its namespace.
    pub namespace: &'p str,
    /// Its service account.
    pub service_account: &'p str,
    /// Whether its agent ends after the application, as a native sidecar does.
    pub agent_ends_last: bool,
}

impl VaultSettings {
    /// The source of a pod's secrets. `trust` are the CAs that agents trust where the settings name
    /// none. A setting that is missing is empty, which [`InjectionConfig::check`] has refused.
    ///
    /// [`InjectionConfig::check`]: crate::InjectionConfig::check
    #[must_use]
    pub fn source(&self, trust: &str, pod: VaultPod<'_>, secrets: VaultSecrets) -> VaultSource {
        let address = self.address.as_ref().map(VaultAddress::as_str).unwrap_or_default();
        let ca = self.ca.as_ref().map_or(trust, PemCertificates::as_str);
        let role = self.role.as_ref().map(|it| it.role(pod.namespace, pod.service_account));
        VaultSource {
            address: address.to_owned(),
            ca: if self.needs_ca() { ca.to_owned() } else { String::new() },
            namespace: self.namespace.clone(),
            auth_mount: self.auth_mount.clone(),
            role: role.unwrap_or_default(),
            token_file: format!("{}/{}", layout::TOKEN_DIRECTORY, layout::TOKEN_FILE),
            poll_seconds: self.poll_seconds,
            // An ordinary container is told to stop together with the application, which would
            // lose its credentials while it drains.
            revoke_on_shutdown: self.revoke_on_shutdown && pod.agent_ends_last,
            secrets,
        }
    }

    /// Whether the connection to Vault is encrypted.
    fn needs_ca(&self) -> bool {
        self.address.as_ref().is_none_or(VaultAddress::is_encrypted)
    }

    /// Whether agents trust the CAs of [`InjectionConfig::trust`](crate::InjectionConfig::trust).
    pub(crate) fn needs_trust(&self) -> bool {
        self.ca.is_none() && self.needs_ca()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> VaultSettings {
        VaultSettings {
            address: Some("https://vault.vault.svc:8200".parse().unwrap()),
            role: Some("{namespace}_{service_account}".parse().unwrap()),
            ..VaultSettings::default()
        }
    }

    const POD: VaultPod<'_> =
        VaultPod { namespace: "shop-prod", service_account: "api", agent_ends_last: true };

    #[test]
    fn a_pod_logs_in_as_itself_with_the_defaults() {
        let found = settings().source("PEM\n", POD, VaultSecrets::new());
        let expected = VaultSource {
            address: "https://vault.vault.svc:8200".into(),
            ca: "PEM\n".into(),
            namespace: None,
            auth_mount: "kubernetes".parse().unwrap(),
            role: "shop-prod_api".into(),
            token_file: "/run/enclii/identity/token".into(),
            poll_seconds: NonZeroU32::new(30).unwrap(),
            revoke_on_shutdown: false,
            secrets: VaultSecrets::new(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn the_token_is_revoked_only_after_the_application() {
        let settings = VaultSettings { revoke_on_shutdown: true, ..settings() };
        for agent_ends_last in [true, false] {
            let pod = VaultPod { agent_ends_last, ..POD };
            let found = settings.source("", pod, VaultSecrets::new());
            assert_eq!(found.revoke_on_shutdown, agent_ends_last);
        }
    }

    #[test]
    fn the_settings_ca_counts_more_and_loopback_needs_none() {
        let pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        let own = Some(pem.parse().unwrap());
        let loopback = Some("http://127.0.0.1:8200".parse().unwrap());
        for (settings, ca, needs_trust) in [
            (settings(), "PEM\n", true),
            (VaultSettings { ca: own.clone(), ..settings() }, pem, false),
            (VaultSettings { address: loopback.clone(), ..settings() }, "", false),
            (VaultSettings { address: loopback, ca: own, ..settings() }, "", false),
        ] {
            assert_eq!(settings.source("PEM\n", POD, VaultSecrets::new()).ca, ca);
            assert_eq!(settings.needs_trust(), needs_trust);
        }
    }
}
