//! Where Vault is and how to log in, checked once when the backend is opened.
//!
//! Everything is given: nothing here or below reads `VAULT_ADDR`, `VAULT_TOKEN`,
//! `VAULT_SKIP_VERIFY` or any other variable of the environment. Secrets are named by the files
//! that hold them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

/// How to reach Vault and where in it the values are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultConfig {
    /// Scheme, host and port: `https://vault.vault.svc:8200`.
    pub address: String,
    /// Takes an address of `http://` that is not loopback, where something else encrypts the way.
    pub allow_plain_http: bool,
    /// Where the KV v2 engine is mounted: `secret`.
    pub mount: String,
    /// The folder in it that is ours alone: `enclii`.
    pub prefix: String,
    /// The namespace, for Vault Enterprise and OpenBao.
    pub namespace: Option<String>,
    /// How to get a token.
    pub login: VaultLogin,
    /// The CA that Vault's certificate is from, and then no other is trusted. Without it: the
    /// system's.
    pub ca_file: Option<PathBuf>,
    /// How long one call may take.
    pub timeout: Duration,
    /// How many KV versions an entry keeps. Values that are needed for longer are moved before
    /// Vault evicts them, so this is a matter of cost: more is fewer moves, and larger metadata.
    pub max_versions: u32,
}

/// How to get a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultLogin {
    /// A token that somebody else puts into a file and keeps fresh, as Vault Agent does.
    Token(PathBuf),
    /// The Kubernetes auth method.
    Kubernetes {
        /// The role in Vault.
        role: String,
        /// Where the method is mounted: `kubernetes`.
        mount: String,
        /// The service account's token; a projected one with an audience of Vault's own is best.
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
    /// The longest wait for a call, unless another is chosen.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
    /// A few hundred KiB of KV versions for a usual scope, and metadata of some ten KiB.
    pub const MAX_VERSIONS: u32 = 200;

    /// The same with an address that can be used.
    pub(super) fn checked(&self) -> Result<Url, ConfigError> {
        let url = Url::parse(&self.address)
            .map_err(|source| ConfigError::Address { address: self.address.clone(), source })?;
        let refuse = |why| Err(ConfigError::Unfit { address: self.address.clone(), why });
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ConfigError::Credentials);
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return refuse("it must be scheme, host and port alone");
        }
        match url.scheme() {
            "https" => {}
            "http" if self.allow_plain_http || is_loopback(&url) => {}
            "http" => {
                return refuse(
                    "http:// sends values and tokens in the clear, and it is not loopback",
                );
            }
            _ => return refuse("it must be https://"),
        }
        let place = |what, text: &str| {
            if is_path(text) {
                Ok(())
            } else {
                Err(ConfigError::Place { what, text: text.to_owned() })
            }
        };
        place("mount", &self.mount)?;
        place("prefix", &self.prefix)?;
        match &self.login {
            VaultLogin::Token(_) => {}
            VaultLogin::Kubernetes { mount, .. } | VaultLogin::AppRole { mount, .. } => {
                place("login's mount", mount)?
            }
        }
        if let Some(namespace) = &self.namespace
            && !is_path(namespace.trim_end_matches('/'))
        {
            return Err(ConfigError::Place { what: "namespace", text: namespace.clone() });
        }
        // An entry needs the version that is read and the one that is written beside what is
        // evicted.
        if self.max_versions < 2 || self.timeout.is_zero() {
            return Err(ConfigError::Limits);
        }
        Ok(url)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Segments that mean the same in a URL as in a policy.
fn is_path(text: &str) -> bool {
    let plain = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    text.len() <= 512 && text.split('/').all(plain)
}

/// Why Vault cannot be spoken to with this configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The address is no URL.
    #[error("parse Vault's address {address:?}")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// The address is one that is not used.
    #[error("take Vault's address {address:?}: {why}")]
    Unfit {
        /// The address.
        address: String,
        /// Why not.
        why: &'static str,
    },
    /// The address holds a user's name or password, which is not repeated here.
    #[error("take Vault's address: it holds credentials, which Vault does not take there")]
    Credentials,
    /// A mount, prefix or namespace that is no path.
    #[error(
        "take Vault's {what} {text:?}: must be segments of letters, digits, '-', '_' and '.', with '/' between them"
    )]
    Place {
        /// Which one.
        what: &'static str,
        /// What it is.
        text: String,
    },
    /// A limit that leaves nothing.
    #[error("take Vault's limits: at least two KV versions and a timeout above zero are needed")]
    Limits,
    /// The CA's file cannot be read.
    #[error("read the CA of Vault {path}")]
    ReadCa {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The CA's file holds no certificate.
    #[error("parse the CA of Vault {path}: it holds no certificate in PEM")]
    ParseCa {
        /// The file.
        path: PathBuf,
    },
    /// The cryptography provider.
    #[error(transparent)]
    Provider(#[from] runtime::provider::ProviderError),
    /// The HTTP client cannot be made, which without a CA file may mean that the system has none.
    #[error("set up the client for Vault (where the image has no CA bundle, give the CA's file)")]
    Client(#[source] reqwest::Error),
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
    fn addresses() {
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
    fn places_and_limits() {
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
