//! Which Connect server and vault to use, and how long to wait.

use std::path::PathBuf;
use std::time::Duration;

use runtime::http_client::HttpClientError;

/// Where values are kept in 1Password.
#[derive(Clone, Debug)]
pub struct OnePasswordConfig {
    /// Connect's address, such as `https://connect.example.org:8443`.
    pub host: String,
    /// The file with Connect's access token. It is read again when Connect refuses the token.
    pub token_file: PathBuf,
    /// The vault, by its name or its id.
    pub vault: String,
    /// The CA certificates to trust; the system's if `None`.
    pub ca_file: Option<PathBuf>,
    /// Accept an `http://` address that is not loopback. Values then travel unencrypted.
    pub allow_plain_http: bool,
    /// How long one call may take.
    pub timeout: Duration,
    /// How long a write may take to become visible.
    pub visibility_timeout: Duration,
    /// How often to look for edits that people made.
    pub poll_interval: Duration,
}

impl OnePasswordConfig {
    /// The default of [`Self::timeout`].
    pub const TIMEOUT: Duration = Duration::from_secs(10);
    /// The default of [`Self::visibility_timeout`].
    pub const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(15);
    /// The default of [`Self::poll_interval`].
    pub const POLL_INTERVAL: Duration = Duration::from_secs(10);

    /// A configuration with the default timeouts and the system's CA certificates.
    #[must_use]
    pub fn new(host: String, token_file: PathBuf, vault: String) -> Self {
        Self {
            host,
            token_file,
            vault,
            ca_file: None,
            allow_plain_http: false,
            timeout: Self::TIMEOUT,
            visibility_timeout: Self::VISIBILITY_TIMEOUT,
            poll_interval: Self::POLL_INTERVAL,
        }
    }
}

/// Why the backend cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address is invalid.
    #[error("parse Connect's address {0:?}: must be https://HOST:PORT")]
    Address(String),
    /// Values would travel unencrypted.
    #[error(
        "connect to {0}: values would travel unencrypted; serve Connect over TLS or on loopback"
    )]
    PlainHttp(String),
    /// The token's file cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The token is not valid in a header.
    #[error("read Connect's token from {0}: it is empty or contains an invalid character")]
    Token(PathBuf),
    /// The HTTP client cannot be built.
    #[error("set up the HTTP client for Connect")]
    Http(#[from] HttpClientError),
}
