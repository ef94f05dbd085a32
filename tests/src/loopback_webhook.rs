//! The webhook on this machine's loopback, with files in place of a cluster.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use reqwest::blocking::Client;
use serde_json::Value;

use crate::http;
use crate::port::free_port;
use crate::process::{Process, program};
use crate::ready::ready;

/// A running webhook.
pub struct LoopbackWebhook {
    /// Its process.
    pub process: Process,
    port: u16,
    client: Client,
}

impl LoopbackWebhook {
    /// Starts it, and waits until it is ready. It reads bundles and the CA that agents trust from
    /// folders below `directory`, and takes these flags besides.
    ///
    /// # Errors
    /// If it was not built, or does not become ready; the message has its log's end.
    pub fn start(directory: &Path, flags: &[String]) -> Result<Self> {
        let at = |name: &str| directory.join(name);
        for name in ["logs", "bundles", "trust", "webhook-certificates"] {
            std::fs::create_dir_all(at(name))?;
        }
        let (port, admin) = (free_port()?, free_port()?);
        let mut command = Command::new(program("enclii-webhook")?);
        command
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--admin", &format!("127.0.0.1:{admin}")])
            .arg("--bundles-directory")
            .arg(at("bundles"))
            .arg("--trust-directory")
            .arg(at("trust"))
            .arg("--certificates-directory")
            .arg(at("webhook-certificates"))
            .args(flags);
        let mut process = Process::start("webhook", &mut command, &at("logs"))?;
        ready(&mut process, admin)?;
        let client = http::client_trusting(&at("webhook-certificates/ca.crt"))?;
        Ok(Self { process, port, client })
    }

    /// Its response to a review.
    ///
    /// # Errors
    /// If it is not 200.
    pub fn review(&self, review: &Value) -> Result<Value> {
        let answer = self
            .client
            .post(self.url())
            .header("content-type", "application/json")
            .body(review.to_string())
            .send()
            .context("post review")?;
        let status = answer.status();
        let body = answer.bytes()?;
        ensure!(status.is_success(), "POST /mutate: {status}: {}", String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body)?)
    }

    /// Its address for reviews.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://localhost:{}/mutate", self.port)
    }
}
