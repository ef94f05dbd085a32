//! How to reach Vault and how to log in, checked once when the backend is opened.
//!
//! The backend does not read `VAULT_ADDR`, `VAULT_TOKEN`, `VAULT_SKIP_VERIFY` or any other
//! environment variable. Secrets are given as the files that hold them.

use std::path::PathBuf;
use std::time::Duration;

use runtime::http_client::{HttpClientError, is_https_or_loopback};
use url::Url;

/// How to reach Vault, and where in it the values are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultConfig {
    /// Scheme, host and port: `https://vault.vault.svc:8200`.
    pub address: String,
    /// Accepts an `http://` address that is not loopback, for networks that encrypt by other means.
    pub allow_plain_http: bool,
    /// Where the KV v2 engine is mounted: `secret`.
    pub mount: String,
    /// The folder in it that only switchyard uses: `enclii`.
    pub prefix: String,
    /// The namespace, for Vault Enterprise and OpenBao.
    pub namespace: Option<String>,
    /// How to get a token.
    pub login: VaultLogin,
    /// The only CA to trust for Vault's certificate; the system's CAs if `None`.
    pub ca_file: Option<PathBuf>,
    /// How long one call may take.
    pub timeout: Duration,
    /// How many KV versions an entry keeps. Values that are needed for longer are moved before
    /// Vault evicts them. A larger number means fewer moves and more metadata.
    pub max_versions: u32,
}

/// How to get a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultLogin {
    /// A token in a file that another program, such as Vault Agent, keeps fresh.
    Token(PathBuf),
    /// The Kubernetes auth method.
    Kubernetes {
        /// The role in Vault.
        role: String,
        /// Where the method is mounted: `kubernetes`.
        mount: String,
        /// The file of the service account token, preferably a projected one with Vault's audience.
        token_file: PathBuf,
    },
    /// The AppRole auth method.
    AppRole {
        /// The role's id.
        role_id: String,
        /// The file of the secret id.
        secret_id_file: PathBuf,
        /// Where the method is mounted: `approle`.
        mount: String,
    },
}

impl VaultConfig {
    /// The default timeout of a call.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
    /// The default number of KV versions: a few hundred KiB for a typical scope, and some ten KiB
    /// of metadata.
    pub const MAX_VERSIONS: u32 = 200;

    /// Checks the configuration, and returns the address as a URL.
    pub(super) fn checked(&self) -> Result<Url, ConfigError> {
        let url = Url::parse(&self.address)
            .map_err(|source| ConfigError::Address { address: self.address.clone(), source })?;
        let refuse =
            |why| Err(ConfigError::UnsupportedAddress { address: self.address.clone(), why });
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ConfigError::Credentials);
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return refuse("it must be only scheme, host and port");
        }
        match url.scheme() {
            "https" => {}
            "http" if self.allow_plain_http || is_https_or_loopback(&url) => {}
            "http" => {
                return refuse(
                    "http:// sends values and tokens unencrypted, and it is not loopback",
                );
            }
            _ => return refuse("it must be https://"),
        }
        let check_path = |what, text: &str| {
            if is_path(text) {
                Ok(())
            } else {
                Err(ConfigError::Path { what, text: text.to_owned() })
            }
        };
        check_path("mount", &self.mount)?;
        check_path("prefix", &self.prefix)?;
        match &self.login {
            VaultLogin::Token(_) => {}
            VaultLogin::Kubernetes { mount, .. } | VaultLogin::AppRole { mount, .. } => {
                check_path("login's mount", mount)?
            }
        }
        if let Some(namespace) = &self.namespace
            && !is_path(namespace.trim_end_matches('/'))
        {
            return Err(ConfigError::Path { what: "namespace", text: namespace.clone() });
        }
        // An entry needs the KV version that is read and the one that is written.
        if self.max_versions < 2 || self.timeout.is_zero() {
            return Err(ConfigError::Limits);
        }
        Ok(url)
    }
}

/// Whether every segment means the same in a URL as in a policy.
fn is_path(text: &str) -> bool {
    let plain = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    text.len() <= 512 && text.split('/').all(plain)
}

/// Why the configuration of Vault is invalid.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The address is not a URL.
    #[error("parse Vault's address {address:?}")]
    Address {
        /// The address.
        address: String,
        /// The parser's error.
        source: url::ParseError,
    },
    /// The address is not allowed.
    #[error("use Vault's address {address:?}: {why}")]
    UnsupportedAddress {
        /// The address.
        address: String,
        /// Why.
        why: &'static str,
    },
    /// The address contains credentials, which the error does not quote.
    #[error("use Vault's address: must not contain credentials")]
    Credentials,
    /// A mount, prefix or namespace is not a valid path.
    #[error(
        "use Vault's {what} {text:?}: must be segments of letters, digits, '-', '_' and '.', \
         separated by '/'"
    )]
    Path {
        /// Which one.
        what: &'static str,
        /// The text.
        text: String,
    },
    /// A limit is too low.
    #[error("use Vault's limits: must be at least two KV versions and a timeout above zero")]
    Limits,
    /// The HTTP client cannot be built. Without a CA file, the system may have no CA certificates.
    #[error("set up the client for Vault (if the image has no CA bundle, give a CA file)")]
    Client(#[from] HttpClientError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(address: &str) -> VaultConfig {
        VaultConfig {
            address: address.to_owned(),
            allow_plain_http: false,
            mount: "secret".to_owned(),
            prefix: "enclii/main".to_owned(),
            namespace: None,
            login: VaultLogin::Token("token".into()),
            ca_file: None,
            timeout: VaultConfig::TIMEOUT,
            max_versions: VaultConfig::MAX_VERSIONS,
        }
    }

    #[test]
    fn addresses_are_checked() {
        for (address, taken) in [
            ("https://vault.vault.svc:8200", true),
            ("https://vault.vault.svc:8200/", true),
            ("http://127.0.0.1:8200", true),
            ("http://127.8.9.1:8200", true),
            ("http://[::1]:8200", true),
            ("http://localhost:8200", true),
            ("http://vault.vault.svc:8200", false),
            ("http://localhost.example:8200", false),
            ("http://10.0.0.1:8200", false),
            ("https://vault/v1", false),
            ("https://vault?x=1", false),
            ("ftp://vault", false),
            ("vault:8200", false),
            ("", false),
        ] {
            assert_eq!(config(address).checked().is_ok(), taken, "{address}");
        }
        assert!(
            VaultConfig { allow_plain_http: true, ..config("http://vault.vault.svc:8200") }
                .checked()
                .is_ok()
        );
        let error = config("https://someone:hunter2@vault").checked().unwrap_err();
        assert!(
            matches!(error, ConfigError::Credentials)
                && !format!("{error:?}{error}").contains("hunter2")
        );
    }

    #[test]
    fn paths_and_limits_are_checked() {
        for bad in ["", "/secret", "secret/", "a//b", "../x", "a/./b", "a b", "a?b", "a#b", "a%2fb"]
        {
            assert!(
                VaultConfig { mount: bad.to_owned(), ..config("https://v") }.checked().is_err(),
                "{bad}"
            );
            assert!(
                VaultConfig { prefix: bad.to_owned(), ..config("https://v") }.checked().is_err(),
                "{bad}"
            );
        }
        assert!(
            VaultConfig { namespace: Some("team/a/".to_owned()), ..config("https://v") }
                .checked()
                .is_ok()
        );
        assert!(
            VaultConfig { namespace: Some("a\r\nb".to_owned()), ..config("https://v") }
                .checked()
                .is_err()
        );
        assert!(VaultConfig { max_versions: 1, ..config("https://v") }.checked().is_err());
        assert!(VaultConfig { timeout: Duration::ZERO, ..config("https://v") }.checked().is_err());
    }
}
