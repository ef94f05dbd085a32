//! Which Connect server, which vault, and how long to wait.

use std::path::PathBuf;
use std::time::Duration;

/// Where values are kept in 1Password.
#[derive(Clone, Debug)]
pub struct OnePasswordConfig {
    /// Connect's address, such as `https://connect.example.org:8443`.
    pub host: String,
    /// The file with Connect's access token. It is read again when Connect refuses the token.
    pub token_file: PathBuf,
    /// The vault, by its name or its id.
    pub vault: String,
    /// The certificates to trust; without it those of the system.
    pub ca_file: Option<PathBuf>,
    /// Take an `http://` address that is not loopback, over which values travel in the open.
    pub plain_http: bool,
    /// How long one call may take.
    pub timeout: Duration,
    /// How long a write may take to become visible.
    pub settle: Duration,
    /// How often to look for changes that people made.
    pub watch: Duration,
}

impl OnePasswordConfig {
    /// How long one call may take, unless it is said otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(10);
    /// How long a write may take to become visible, unless it is said otherwise.
    pub const SETTLE: Duration = Duration::from_secs(15);
    /// How often to look for changes, unless it is said otherwise.
    pub const WATCH: Duration = Duration::from_secs(10);

    /// That server, token and vault, and the usual waits.
    #[must_use]
    pub fn new(host: String, token_file: PathBuf, vault: String) -> Self {
        let (timeout, settle, watch) = (Self::TIMEOUT, Self::SETTLE, Self::WATCH);
        Self { host, token_file, vault, ca_file: None, plain_http: false, timeout, settle, watch }
    }
}

/// Why the backend cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address is none.
    #[error("parse Connect's address {0:?}: write https://HOST:PORT")]
    Address(String),
    /// Values would travel in the open.
    #[error(
        "connect to {0}: values would travel in the open; serve Connect over TLS, or on loopback"
    )]
    Plain(String),
    /// A file cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The token is none.
    #[error("read Connect's token from {0}: it is empty or has a character that no token has")]
    Token(PathBuf),
    /// A file of certificates has none, or one that is broken.
    #[error("read certificates from {path}: {reason}")]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client cannot be made.
    #[error("set up the HTTP client")]
    Http(#[source] reqwest::Error),
}
