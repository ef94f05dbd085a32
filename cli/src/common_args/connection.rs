//! How to reach switchyard, and as whom.

use std::path::PathBuf;

use clap::Args;
use contract::Redacted;

use crate::credentials;
use crate::error::Error;

/// How to reach switchyard, and as whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectionArgs {
    /// Switchyard's address.
    #[arg(
        long,
        env = "ENCLII_ADDR",
        value_name = "URL",
        default_value = "https://localhost:8443",
        global = true
    )]
    pub(crate) addr: String,
    /// The file with the CA that signed switchyard's certificate (PEM); without it, the system's
    /// CAs are trusted.
    #[arg(long, env = "ENCLII_CACERT", value_name = "FILE", global = true)]
    pub(crate) cacert: Option<PathBuf>,
    /// The file with the API token.
    #[arg(long, env = "ENCLII_TOKEN_FILE", value_name = "FILE", global = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// The API token itself. It comes from the environment, so that no process list shows it.
    #[arg(
        long,
        env = "ENCLII_TOKEN",
        hide = true,
        hide_env_values = true,
        global = true,
        value_parser = parse_token
    )]
    pub(crate) token: Option<Redacted>,
    /// How many seconds to wait for a response.
    #[arg(
        long,
        env = "ENCLII_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 30,
        global = true
    )]
    pub(crate) timeout: u64,
}

impl ConnectionArgs {
    /// The file that holds the token, if a file does.
    pub(crate) fn credential_path(&self) -> Option<PathBuf> {
        self.token.is_none().then(|| self.token_file.clone()).flatten()
    }

    /// The token to authenticate with: the given one, or else that of the login session.
    pub(crate) fn credential(&self) -> Result<Redacted, Error> {
        let token = match (&self.token, self.credential_path()) {
            (Some(token), _) => token.clone(),
            (None, Some(path)) => std::fs::read(&path)
                .map(Redacted::new)
                .map_err(|source| Error::Read { path, source })?,
            (None, None) => return credentials::session_token(&self.addr),
        };
        let token = token.expose().trim_ascii();
        if token.is_empty() { Err(Error::NoToken) } else { Ok(Redacted::from(token)) }
    }
}

fn parse_token(text: &str) -> Result<Redacted, std::convert::Infallible> {
    Ok(Redacted::from(text.as_bytes()))
}
