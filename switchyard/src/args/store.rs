//! The flags of the store.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Group, ValueEnum};
use lockbox::{VaultConfig, VaultLogin};

/// The service account token of a pod, unless one with another audience is projected.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The flags of the store.
#[derive(Clone, Debug, Group)]
pub struct StoreArgs {
    /// The store of the values: embedded (sealed, in the database), vault or 1password
    #[arg(long, env = "ENCLII_STORE", default_value = "embedded", value_name = "STORE")]
    pub store: StoreKind,
    /// Vault's address: https://HOST:PORT
    #[arg(long, env = "ENCLII_VAULT_ADDRESS", value_name = "URL")]
    pub vault_address: Option<String>,
    /// Allow an http:// address that is not loopback, if something else encrypts the connection
    #[arg(long, env = "ENCLII_VAULT_ALLOW_PLAIN_HTTP")]
    pub vault_allow_plain_http: bool,
    /// The mount path of the KV version 2 engine in Vault
    #[arg(long, env = "ENCLII_VAULT_MOUNT", default_value = "secret", value_name = "PATH")]
    pub vault_mount: String,
    /// The path prefix in it, for switchyard's exclusive use
    #[arg(long, env = "ENCLII_VAULT_PREFIX", default_value = "enclii", value_name = "PATH")]
    pub vault_prefix: String,
    /// The namespace, for Vault Enterprise and OpenBao
    #[arg(long, env = "ENCLII_VAULT_NAMESPACE", value_name = "NAMESPACE")]
    pub vault_namespace: Option<String>,
    /// How to log in to Vault: kubernetes, approle, or token (a file that another program renews)
    #[arg(long, env = "ENCLII_VAULT_LOGIN", default_value = "kubernetes", value_name = "METHOD")]
    pub vault_login: VaultLoginKind,
    /// The mount path of the auth method in Vault [default: the method's name]
    #[arg(long, env = "ENCLII_VAULT_LOGIN_MOUNT", value_name = "PATH")]
    pub vault_login_mount: Option<String>,
    /// The role for --vault-login kubernetes
    #[arg(long, env = "ENCLII_VAULT_ROLE", default_value = "switchyard", value_name = "ROLE")]
    pub vault_role: String,
    /// The token file: a service account token for kubernetes [default: the pod's], a Vault token
    /// for token
    #[arg(long, env = "ENCLII_VAULT_TOKEN_FILE", value_name = "FILE")]
    pub vault_token_file: Option<PathBuf>,
    /// The role id for --vault-login approle
    #[arg(long, env = "ENCLII_VAULT_ROLE_ID", value_name = "ID")]
    pub vault_role_id: Option<String>,
    /// The file with the secret id for --vault-login approle
    #[arg(long, env = "ENCLII_VAULT_SECRET_ID_FILE", value_name = "FILE")]
    pub vault_secret_id_file: Option<PathBuf>,
    /// The PEM file with the only CA to trust for Vault [default: the system's CAs]
    #[arg(long, env = "ENCLII_VAULT_CA_FILE", value_name = "FILE")]
    pub vault_ca_file: Option<PathBuf>,
    /// The timeout of one call to Vault, in seconds
    #[arg(long, env = "ENCLII_VAULT_TIMEOUT", default_value = "5", value_name = "SECONDS",
        value_parser = runtime::args::seconds)]
    pub vault_timeout: Duration,
    /// The least number of KV versions that an entry in Vault keeps; versions that are needed for
    /// longer are moved in time
    #[arg(long, env = "ENCLII_VAULT_MAX_VERSIONS", default_value_t = VaultConfig::MAX_VERSIONS,
        value_name = "NUMBER")]
    pub vault_max_versions: u32,
    /// The flags of 1Password.
    #[command(flatten)]
    pub onepassword: super::OnePasswordArgs,
}

/// A store backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StoreKind {
    /// Sealed rows in the database.
    Embedded,
    /// Vault's KV engine.
    Vault,
    /// A 1Password vault behind a Connect server.
    #[value(name = "1password")]
    OnePassword,
}

/// A login method of Vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VaultLoginKind {
    /// A service account's token.
    Kubernetes,
    /// A role id and a secret id.
    Approle,
    /// A token in a file.
    Token,
}

/// A flag that the others require.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("set up store: --{0} is required")]
pub struct MissingFlag(pub(super) &'static str);

impl StoreArgs {
    /// The configuration of Vault.
    ///
    /// # Errors
    /// If a flag is missing.
    pub fn vault(&self) -> Result<VaultConfig, MissingFlag> {
        let missing = |flag| move || MissingFlag(flag);
        let mount =
            |method: &str| self.vault_login_mount.clone().unwrap_or_else(|| method.to_owned());
        let login = match self.vault_login {
            VaultLoginKind::Kubernetes => VaultLogin::Kubernetes {
                role: self.vault_role.clone(),
                mount: mount("kubernetes"),
                token_file: self
                    .vault_token_file
                    .clone()
                    .unwrap_or_else(|| SERVICE_ACCOUNT_TOKEN.into()),
            },
            VaultLoginKind::Approle => VaultLogin::AppRole {
                role_id: self.vault_role_id.clone().ok_or_else(missing("vault-role-id"))?,
                secret_id_file: self
                    .vault_secret_id_file
                    .clone()
                    .ok_or_else(missing("vault-secret-id-file"))?,
                mount: mount("approle"),
            },
            VaultLoginKind::Token => VaultLogin::Token(
                self.vault_token_file.clone().ok_or_else(missing("vault-token-file"))?,
            ),
        };
        Ok(VaultConfig {
            address: self.vault_address.clone().ok_or_else(missing("vault-address"))?,
            allow_plain_http: self.vault_allow_plain_http,
            mount: self.vault_mount.clone(),
            prefix: self.vault_prefix.clone(),
            namespace: self.vault_namespace.clone(),
            login,
            ca_file: self.vault_ca_file.clone(),
            timeout: self.vault_timeout,
            max_versions: self.vault_max_versions,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct StoreCli {
        #[command(flatten)]
        store: StoreArgs,
    }

    fn vault(words: &str) -> Result<VaultConfig, MissingFlag> {
        StoreCli::try_parse_from(std::iter::once("x").chain(words.split_whitespace()))
            .unwrap()
            .store
            .vault()
    }

    #[test]
    fn each_login_requires_its_flags() {
        let config = vault("--store vault --vault-address https://v:8200").unwrap();
        let pod = VaultLogin::Kubernetes {
            role: "switchyard".into(),
            mount: "kubernetes".into(),
            token_file: SERVICE_ACCOUNT_TOKEN.into(),
        };
        assert_eq!((config.login, config.timeout), (pod, Duration::from_secs(5)));
        let approle = "--vault-address https://v --vault-login approle --vault-login-mount apps \
            --vault-role-id r --vault-secret-id-file f";
        let expected = VaultLogin::AppRole {
            role_id: "r".into(),
            secret_id_file: "f".into(),
            mount: "apps".into(),
        };
        assert_eq!(vault(approle).unwrap().login, expected);
        for (words, flag) in [
            ("", "vault-address"),
            ("--vault-address https://v --vault-login token", "vault-token-file"),
            ("--vault-address https://v --vault-login approle", "vault-role-id"),
            (
                "--vault-address https://v --vault-login approle --vault-role-id r",
                "vault-secret-id-file",
            ),
        ] {
            assert_eq!(vault(words).unwrap_err(), MissingFlag(flag), "{words}");
        }
    }
}
