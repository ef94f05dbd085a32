//! Which backend keeps the values, and its flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Group, ValueEnum};
use lockbox::{VaultConfig, VaultLogin};

/// Where a service account's token is in a pod, unless one with another audience is projected.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The flags of the store.
#[derive(Clone, Debug, Group)]
pub struct StoreArgs {
    /// Where values are kept: embedded (sealed, in the database), vault or 1password
    #[arg(long, env = "ENCLII_STORE", default_value = "embedded", value_name = "STORE")]
    pub store: StoreKind,
    /// Vault's address: https://HOST:PORT
    #[arg(long, env = "ENCLII_VAULT_ADDRESS", value_name = "URL")]
    pub vault_address: Option<String>,
    /// Take an address of http:// that is not loopback, where something else encrypts the way
    #[arg(long, env = "ENCLII_VAULT_ALLOW_PLAIN_HTTP")]
    pub vault_allow_plain_http: bool,
    /// Where the KV engine of version 2 is mounted in Vault
    #[arg(long, env = "ENCLII_VAULT_MOUNT", default_value = "secret", value_name = "PATH")]
    pub vault_mount: String,
    /// The folder in it that is switchyard's alone
    #[arg(long, env = "ENCLII_VAULT_PREFIX", default_value = "enclii", value_name = "PATH")]
    pub vault_prefix: String,
    /// The namespace, for Vault Enterprise and OpenBao
    #[arg(long, env = "ENCLII_VAULT_NAMESPACE", value_name = "NAMESPACE")]
    pub vault_namespace: Option<String>,
    /// How to log in to Vault: kubernetes, approle, or token (a file that somebody else keeps
    /// fresh)
    #[arg(long, env = "ENCLII_VAULT_LOGIN", default_value = "kubernetes", value_name = "METHOD")]
    pub vault_login: LoginKind,
    /// Where the auth method is mounted in Vault [default: the method's name]
    #[arg(long, env = "ENCLII_VAULT_LOGIN_MOUNT", value_name = "PATH")]
    pub vault_login_mount: Option<String>,
    /// The role of the login kubernetes
    #[arg(long, env = "ENCLII_VAULT_ROLE", default_value = "switchyard", value_name = "ROLE")]
    pub vault_role: String,
    /// The file of the token: the service account's for kubernetes [default: the pod's], Vault's
    /// own for token
    #[arg(long, env = "ENCLII_VAULT_TOKEN_FILE", value_name = "FILE")]
    pub vault_token_file: Option<PathBuf>,
    /// The role's id of the login approle
    #[arg(long, env = "ENCLII_VAULT_ROLE_ID", value_name = "ID")]
    pub vault_role_id: Option<String>,
    /// The file of the secret id of the login approle
    #[arg(long, env = "ENCLII_VAULT_SECRET_ID_FILE", value_name = "FILE")]
    pub vault_secret_id_file: Option<PathBuf>,
    /// The CA of Vault's certificate, and then no other is trusted [default: the system's]
    #[arg(long, env = "ENCLII_VAULT_CA_FILE", value_name = "FILE")]
    pub vault_ca_file: Option<PathBuf>,
    /// How many seconds one call to Vault may take
    #[arg(long, env = "ENCLII_VAULT_TIMEOUT", default_value = "5", value_name = "SECONDS", value_parser = runtime::args::seconds)]
    pub vault_timeout: Duration,
    /// How many KV versions an entry in Vault keeps at least; what is needed for longer is moved in
    /// time
    #[arg(long, env = "ENCLII_VAULT_MAX_VERSIONS", default_value_t = VaultConfig::MAX_VERSIONS, value_name = "NUMBER")]
    pub vault_max_versions: u32,
    /// Where 1Password is.
    #[command(flatten)]
    pub onepassword: super::OnePasswordArgs,
}

/// A backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StoreKind {
    /// Sealed rows in the database.
    Embedded,
    /// Vault's KV engine.
    Vault,
    /// A vault of 1Password, behind its Connect server.
    #[value(name = "1password")]
    OnePassword,
}

/// A way to a token of Vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LoginKind {
    /// A service account's token.
    Kubernetes,
    /// A role's id and a secret id.
    Approle,
    /// A file that holds one.
    Token,
}

/// A flag that the others make necessary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("set up the store: --{0} is needed")]
pub struct Needed(pub(super) &'static str);

impl StoreArgs {
    /// Where Vault is and how to log in.
    ///
    /// # Errors
    /// Where a flag is missing.
    pub fn vault(&self) -> Result<VaultConfig, Needed> {
        let needed = |flag| move || Needed(flag);
        let mount =
            |method: &str| self.vault_login_mount.clone().unwrap_or_else(|| method.to_owned());
        let login = match self.vault_login {
            LoginKind::Kubernetes => VaultLogin::Kubernetes {
                role: self.vault_role.clone(),
                mount: mount("kubernetes"),
                token_file: self
                    .vault_token_file
                    .clone()
                    .unwrap_or_else(|| SERVICE_ACCOUNT_TOKEN.into()),
            },
            LoginKind::Approle => VaultLogin::AppRole {
                role_id: self.vault_role_id.clone().ok_or_else(needed("vault-role-id"))?,
                secret_id_file: self
                    .vault_secret_id_file
                    .clone()
                    .ok_or_else(needed("vault-secret-id-file"))?,
                mount: mount("approle"),
            },
            LoginKind::Token => VaultLogin::Token(
                self.vault_token_file.clone().ok_or_else(needed("vault-token-file"))?,
            ),
        };
        Ok(VaultConfig {
            address: self.vault_address.clone().ok_or_else(needed("vault-address"))?,
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
    struct Words {
        #[command(flatten)]
        store: StoreArgs,
    }

    fn vault(words: &str) -> Result<VaultConfig, Needed> {
        Words::try_parse_from(std::iter::once("x").chain(words.split_whitespace()))
            .unwrap()
            .store
            .vault()
    }

    #[test]
    fn each_login_has_what_it_needs() {
        let config = vault("--store vault --vault-address https://v:8200").unwrap();
        let pod = VaultLogin::Kubernetes {
            role: "switchyard".into(),
            mount: "kubernetes".into(),
            token_file: SERVICE_ACCOUNT_TOKEN.into(),
        };
        assert_eq!((config.login, config.timeout), (pod, Duration::from_secs(5)));
        let approle = "--vault-address https://v --vault-login approle --vault-login-mount apps --vault-role-id r --vault-secret-id-file f";
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
            assert_eq!(vault(words).unwrap_err(), Needed(flag), "{words}");
        }
    }
}
