//! Switchyard as a child process that can be killed and restarted on its data.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::blocking::Client;
use rustix::process::Signal;
use serde_json::Value;

use crate::port::free_port;
use crate::process::Process;
use crate::{http, loopback};

const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// A replica. Replicas that share a directory share its key, CA and bootstrap token, as the
/// replicas of a cluster share Secrets.
pub struct Switchyard {
    process: Option<Process>,
    directory: PathBuf,
    name: String,
    settings: Vec<(String, String)>,
    port: u16,
    admin: u16,
}

impl Switchyard {
    /// A replica that does not run yet. `settings` are variables of its environment.
    ///
    /// # Errors
    /// If its files cannot be made, or there is no free port.
    pub fn new(directory: &Path, name: &str, settings: &[(&str, &str)]) -> Result<Self> {
        for name in ["logs", "bundles", "trust", "switchyard-certificates", "data"] {
            std::fs::create_dir_all(directory.join(name))?;
        }
        Ok(Self {
            process: None,
            directory: directory.to_owned(),
            name: name.to_owned(),
            settings: settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            port: free_port()?,
            admin: free_port()?,
        })
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// If it runs already, or does not become ready; the message has its log's end.
    pub fn run(&mut self) -> Result<()> {
        let mut process = self.spawn()?;
        loopback::switchyard_ready(&mut process, self.admin, &self.ca())?;
        self.process = Some(process);
        Ok(())
    }

    /// Starts it without waiting, for a test that expects it to end.
    ///
    /// # Errors
    /// If it runs already, or cannot be started.
    pub fn spawn(&self) -> Result<Process> {
        ensure!(self.process.is_none(), "{} runs already", self.name);
        let mut command = loopback::switchyard(&self.directory, self.port, self.admin)?;
        command
            .args(["--drain-notice", "0"])
            .envs(self.settings.iter().map(|(name, value)| (name, value)));
        Process::start(&self.name, &mut command, &self.directory.join("logs"))
    }

    /// Kills it, like a power failure as far as a process can tell.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self) -> Result<()> {
        let mut process =
            self.process.take().with_context(|| format!("{} does not run", self.name))?;
        process.signal(Signal::KILL)?;
        process.finish(STEP_TIMEOUT).map(drop)
    }

    /// Stops it with SIGTERM. It must end successfully.
    ///
    /// # Errors
    /// If it does not run, or does not end so.
    pub fn stop(&mut self) -> Result<()> {
        let mut process =
            self.process.take().with_context(|| format!("{} does not run", self.name))?;
        process.signal(Signal::TERM)?;
        let status = process.finish(STEP_TIMEOUT)?;
        ensure!(status.success(), "{} ended ({status}):\n{}", self.name, process.tail());
        Ok(())
    }

    /// Its process.
    ///
    /// # Errors
    /// If it does not run.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().with_context(|| format!("{} does not run", self.name))
    }

    /// The port of the API and the agents' streams.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// An address of its API.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// The file with its CA.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.directory.join("trust/ca.crt")
    }

    /// A client that trusts it.
    ///
    /// # Errors
    /// If it has not made its CA yet.
    pub fn client(&self) -> Result<Client> {
        http::client_trusting(&self.ca())
    }

    /// The bootstrap token.
    ///
    /// # Errors
    /// If it has not been made yet.
    pub fn token(&self) -> Result<String> {
        let token = std::fs::read_to_string(self.directory.join("bootstrap-token"))
            .context("read bootstrap token")?;
        Ok(token.trim().to_owned())
    }

    /// The status and body of a GET request with the bootstrap token.
    ///
    /// # Errors
    /// If there is no response, or it is not JSON.
    pub fn get(&self, path: &str) -> Result<(u16, Value)> {
        self.answer(self.client()?.get(self.url(path)))
    }

    /// The status and body of a POST request with the bootstrap token.
    ///
    /// # Errors
    /// If there is no response, or it is not JSON.
    pub fn post(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        self.answer(
            self.client()?
                .post(self.url(path))
                .header("content-type", "application/json")
                .body(body.to_string()),
        )
    }

    fn answer(&self, request: reqwest::blocking::RequestBuilder) -> Result<(u16, Value)> {
        let answer = request
            .bearer_auth(self.token()?)
            .send()
            .with_context(|| format!("ask {}", self.name))?;
        let status = answer.status().as_u16();
        let body = answer.bytes().with_context(|| format!("read answer of {}", self.name))?;
        Ok((
            status,
            serde_json::from_slice(&body)
                .with_context(|| format!("parse answer of {} ({status})", self.name))?,
        ))
    }

    /// Its metrics.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn metrics(&self) -> Result<String> {
        Ok(http::plain_client()?
            .get(format!("http://127.0.0.1:{}/metrics", self.admin))
            .send()?
            .text()?)
    }
}
