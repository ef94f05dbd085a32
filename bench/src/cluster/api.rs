//! The API server over `kubectl proxy`: one connection that is open already, so that a call costs
//! the same every time.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::process::Process;
use e2e::{http, wait};
use reqwest::blocking::{Client, Response};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

/// A running `kubectl proxy`.
pub(super) struct ApiProxy {
    // Before its log's directory.
    _proxy: Process,
    address: String,
    client: Client,
    _logs: TempDir,
}

impl ApiProxy {
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

    /// The object at `path`, or `None` if it does not exist.
    pub(super) fn get_opt(&self, path: &str) -> Result<Option<Value>> {
        let response = self.get(path)?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        ensure!(response.status().is_success(), "{path}: {}", response.status());
        parse(response, path).map(Some)
    }

    /// The response of the application behind `path`, or `None` while it does not answer: the API
    /// server then says 502 or 503.
    pub(super) fn get_if_ready(&self, path: &str) -> Result<Option<Value>> {
        let response = self.get(path)?;
        if response.status().is_success() { parse(response, path).map(Some) } else { Ok(None) }
    }

    fn get(&self, path: &str) -> Result<Response> {
        self.client.get(format!("{}{path}", self.address)).send().context("call the API server")
    }

    pub(super) fn create(&self, path: &str, object: &Value) -> Result<()> {
        self.send(Method::POST, path, object)
    }

    pub(super) fn delete(&self, path: &str, options: &Value) -> Result<()> {
        self.send(Method::DELETE, path, options)
    }

    fn send(&self, method: Method, path: &str, body: &Value) -> Result<()> {
        let request = self.client.request(method, format!("{}{path}", self.address));
        let response = request
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .context("call the API server")?;
        let status = response.status();
        let text = response.text().context("read the API server's response")?;
        ensure!(status.is_success(), "{path}: {status}: {text}");
        Ok(())
    }
}

fn parse(response: Response, path: &str) -> Result<Value> {
    serde_json::from_slice(&response.bytes()?).with_context(|| format!("parse {path}"))
}
