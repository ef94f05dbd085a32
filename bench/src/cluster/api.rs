//! The API server over `kubectl proxy`: one connection that is open already, so that a call costs
//! the same every time.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::process::Process;
use e2e::{http, wait};
use reqwest::Method;
use reqwest::blocking::Client;
use serde_json::Value;
use tempfile::TempDir;

/// The open way to the API server.
pub(super) struct Api {
    // Before its log's directory.
    _proxy: Process,
    address: String,
    client: Client,
    _logs: TempDir,
}

impl Api {
    pub(super) fn open() -> Result<Self> {
        let logs = tempfile::Builder::new().prefix("enclii-bench-").tempdir()?;
        let mut proxy = Process::start(
            "kubectl-proxy",
            Command::new("kubectl").args(["proxy", "--port=0"]),
            logs.path(),
        )?;
        let address = wait::until("kubectl proxy", Duration::from_secs(20), || {
            proxy.check()?;
            Ok(proxy
                .log()
                .lines()
                .find_map(|line| line.strip_prefix("Starting to serve on "))
                .map(str::to_owned))
        })?;
        Ok(Self {
            _proxy: proxy,
            address: format!("http://{}", address.trim()),
            client: http::plain_client()?,
            _logs: logs,
        })
    }

    /// What is there; `None` where there is nothing, or nothing that answers yet.
    pub(super) fn find(&self, path: &str) -> Result<Option<Value>> {
        let answer = self
            .client
            .get(format!("{}{path}", self.address))
            .send()
            .context("ask the API server")?;
        if !answer.status().is_success() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&answer.bytes()?).with_context(|| format!("parse {path}"))?))
    }

    pub(super) fn create(&self, path: &str, object: &Value) -> Result<()> {
        self.send(Method::POST, path, object)
    }

    pub(super) fn delete(&self, path: &str, options: &Value) -> Result<()> {
        self.send(Method::DELETE, path, options)
    }

    fn send(&self, method: Method, path: &str, body: &Value) -> Result<()> {
        let request = self.client.request(method, format!("{}{path}", self.address));
        let answer = request
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .context("call the API server")?;
        let status = answer.status();
        let text = answer.text().context("read the API server's answer")?;
        ensure!(status.is_success(), "{path}: {status}: {text}");
        Ok(())
    }
}
