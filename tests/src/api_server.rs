//! Single requests to the API server, for what `kubectl apply` would hide: which verb it was, and
//! what the server answered.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::guard::{self, Registration};
use crate::{http, port, wait};

/// More than the API server waits for any webhook.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// `kubectl proxy` to the cluster of `KUBECONFIG`.
pub struct ApiServer {
    child: Child,
    address: String,
    client: Client,
    _registration: Registration,
}

/// An answer of the API server.
#[derive(Debug)]
pub struct ApiAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The texts of its `Warning` headers.
    pub warnings: Vec<String>,
    /// The object, or a Status.
    pub body: Value,
}

impl ApiAnswer {
    /// Whether the request was admitted.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Why it was not.
    #[must_use]
    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

impl ApiServer {
    /// Starts the proxy and waits for it.
    ///
    /// # Errors
    /// If it does not start.
    pub fn connect() -> Result<Self> {
        Self::connect_with(&[])
    }

    /// With other flags of kubectl, as `--server`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn connect_with(flags: &[&str]) -> Result<Self> {
        let local = port::free_port()?;
        let mut command = Command::new("kubectl");
        command.args(["proxy", &format!("--port={local}")]).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (mut child, registration) = guard::spawn(&mut command).context("start kubectl")?;
        wait::until("kubectl proxy", Duration::from_secs(10), || {
            ensure!(child.try_wait()?.is_none(), "kubectl proxy ended");
            Ok(std::net::TcpStream::connect(("127.0.0.1", local)).ok())
        })?;
        let address = format!("http://127.0.0.1:{local}");
        Ok(Self { child, address, client: http::plain_client()?, _registration: registration })
    }

    /// Sends one request. `query` is what follows `?`.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn send(
        &self,
        (method, media_type): (Method, &str),
        path: &str,
        query: &str,
        body: &Value,
    ) -> Result<ApiAnswer> {
        let request = self.client.request(method, format!("{}{path}?{query}", self.address));
        let request = request.header("content-type", media_type).body(body.to_string());
        let request = request.timeout(REQUEST_TIMEOUT);
        let answer = request.send().with_context(|| format!("send to {path}"))?;
        let warnings = answer.headers().get_all("warning").iter();
        let warnings = warnings.map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned());
        Ok(ApiAnswer {
            status: answer.status().as_u16(),
            warnings: warnings.collect(),
            body: serde_json::from_slice(&answer.bytes()?).unwrap_or_else(|_| json!({})),
        })
    }

    /// Creates an object in the collection at `path`.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn create(&self, path: &str, query: &str, object: &Value) -> Result<ApiAnswer> {
        self.send((Method::POST, "application/json"), path, query, object)
    }

    /// Replaces the object at `path`.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn update(&self, path: &str, query: &str, object: &Value) -> Result<ApiAnswer> {
        self.send((Method::PUT, "application/json"), path, query, object)
    }

    /// Merges a patch into the object at `path`; lists of objects by their merge keys.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn patch(&self, path: &str, query: &str, patch: &Value) -> Result<ApiAnswer> {
        let media_type = "application/strategic-merge-patch+json";
        self.send((Method::PATCH, media_type), path, query, patch)
    }

    /// Applies an object on the server.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn apply(&self, path: &str, query: &str, object: &Value) -> Result<ApiAnswer> {
        let query = format!("fieldManager=test&force=true&{query}");
        self.send((Method::PATCH, "application/apply-patch+yaml"), path, &query, object)
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
