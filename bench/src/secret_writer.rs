//! A client of switchyard that writes secrets over one keep-alive connection, as a CI job or an
//! operator would.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use contract::Redacted;
use contract::api::{NewValue, WriteRequest};
use e2e::http;
use reqwest::blocking::Client;

/// Writes to one scope.
pub struct SecretWriter {
    client: Client,
    url: String,
    token: String,
}

impl SecretWriter {
    /// Of the switchyard at `address`, whose CA is in the file `ca`.
    ///
    /// # Errors
    /// If the CA cannot be read.
    pub fn new(address: &str, ca: &Path, token: &str, scope: &str) -> Result<Self> {
        let url = format!("{}/v1/secrets/{scope}/", address.trim_end_matches('/'));
        Ok(Self { client: http::client_trusting(ca)?, url, token: token.trim().to_owned() })
    }

    /// Of the switchyard that a command line is set up for.
    ///
    /// # Errors
    /// If it lacks a setting.
    pub fn like(enclii: &Command, scope: &str) -> Result<Self> {
        let setting = |name: &str| {
            let (_, value) = enclii
                .get_envs()
                .find(|(key, _)| *key == name)
                .with_context(|| format!("{name} is not set"))?;
            value.with_context(|| format!("{name} is not set"))
        };
        let token = std::fs::read_to_string(setting("ENCLII_TOKEN_FILE")?).context("read token")?;
        Self::new(
            &setting("ENCLII_ADDR")?.to_string_lossy(),
            setting("ENCLII_CACERT")?.as_ref(),
            &token,
            scope,
        )
    }

    /// Writes new values, all of them in one generation.
    ///
    /// # Errors
    /// If switchyard does not take them.
    pub fn write<'a>(&self, secrets: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<()> {
        let mut request = WriteRequest::default();
        for (name, value) in secrets {
            request.secrets.insert(
                name.parse().context("name of a secret")?,
                NewValue::new(Redacted::from(value.as_bytes())),
            );
        }
        let body = request.to_body()?.expose().to_vec();
        let answer = self
            .client
            .post(&self.url)
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .context("send write")?;
        let status = answer.status();
        // Read to its end, so that the connection serves the next write too.
        let text = answer.text().context("read answer to write")?;
        ensure!(status.is_success(), "write secrets: {status}: {text}");
        Ok(())
    }
}
