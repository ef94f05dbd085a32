//! How to reach switchyard, and as whom.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};
use contract::Redacted;

use crate::credentials;
use crate::error::Error;

/// The longest `--timeout`.
const MAX_TIMEOUT_SECONDS: u64 = 24 * 60 * 60;

/// How to reach switchyard, and as whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectionArgs {
    /// Switchyard's address.
    #[arg(
        long,
        env = "ENCLII_ADDR",
        value_name = "URL",
        default_value = "https://localhost:8443",
        value_hint = ValueHint::Url,
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
        default_value = "30",
        value_parser = parse_timeout,
        global = true
    )]
    pub(crate) timeout: Duration,
}

impl ConnectionArgs {
    /// The file that holds the token, if a file does.
    pub(crate) fn credential_path(&self) -> Option<PathBuf> {
        self.token.is_none().then(|| self.token_file.clone()).flatten()
    }

    /// Where the token comes from, in words.
    pub(crate) fn credential_origin(&self) -> String {
        match (&self.token, self.credential_path()) {
            (Some(_), _) => "the token of ENCLII_TOKEN".to_owned(),
            (None, Some(path)) => format!("the token in {}", path.display()),
            (None, None) => "the session of `enclii login`".to_owned(),
        }
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
        match (token.is_empty(), self.credential_path()) {
            (false, _) => Ok(Redacted::from(token)),
            (true, Some(path)) => Err(Error::EmptyTokenFile(path)),
            (true, None) => Err(Error::NoToken),
        }
    }
}

fn parse_token(text: &str) -> Result<Redacted, std::convert::Infallible> {
    Ok(Redacted::from(text.as_bytes()))
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=MAX_TIMEOUT_SECONDS) => Ok(Duration::from_secs(seconds)),
        Ok(0) => Err("0 leaves no time for a response: give at least 1 second".to_owned()),
        _ => Err(format!("must be a whole number of seconds, 1 to {MAX_TIMEOUT_SECONDS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_parsed() {
        assert_eq!(parse_timeout("1"), Ok(Duration::from_secs(1)));
        assert!(parse_timeout("0").unwrap_err().contains("at least 1 second"));
        for text in ["", "-1", "1.5", "1s", "86401", "99999999999999999999"] {
            assert!(parse_timeout(text).unwrap_err().contains("1 to 86400"), "{text}");
        }
    }
}
