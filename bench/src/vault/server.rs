//! A development server of Vault: in memory, unsealed, on loopback.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::port::free_port;
use e2e::process::Process;
use e2e::{http, wait};
use reqwest::blocking::Client;
use serde_json::json;

// Of a server that lives for this run, on loopback.
const TOKEN: &str = "bench-root";

/// The running server.
pub(super) struct Server {
    process: Process,
    address: String,
    client: Client,
}

impl Server {
    pub(super) fn start(program: &Path, directory: &Path) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(program);
        command
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .arg(format!("-dev-root-token-id={TOKEN}"))
            .env_clear()
            .env("HOME", directory);
        let process = Process::start("vault-server", &mut command, directory)?;
        let mut server = Self {
            process,
            address: format!("http://127.0.0.1:{port}"),
            client: http::plain_client()?,
        };
        let health = format!("{}/v1/sys/health", server.address);
        wait::until("Vault to become ready", Duration::from_secs(30), || {
            server.process.check()?;
            Ok(server
                .client
                .get(&health)
                .send()
                .ok()
                .filter(|answer| answer.status().is_success())
                .map(drop))
        })?;
        Ok(server)
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn token(&self) -> &'static str {
        TOKEN
    }

    /// Writes a new version of a secret of the KV v2 engine.
    pub(super) fn write(&self, name: &str, value: &str) -> Result<()> {
        let answer = self
            .client
            .post(format!("{}/v1/secret/data/{name}", self.address))
            .header("x-vault-token", TOKEN)
            .header("content-type", "application/json")
            .body(json!({"data": {"value": value}}).to_string())
            .send()
            .context("send write to Vault")?;
        let status = answer.status();
        let text = answer.text().context("read Vault's answer")?;
        ensure!(status.is_success(), "write to Vault: {status}: {text}");
        Ok(())
    }
}
