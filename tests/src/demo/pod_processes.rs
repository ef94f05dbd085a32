//! The patched pod's processes: the agent, its hook, the application, and a client that loads it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use contract::layout::{AGENT_CONTAINER, SECRETS_VOLUME, TOKEN_FILE, TOKEN_VOLUME};
use e2e::loopback::Identity;
use e2e::pod::Pod;
use e2e::port::free_port;
use e2e::process::{Process, program};
use e2e::sample::AppState;
use e2e::{http, wait};
use serde_json::Value;

/// The pod's processes.
pub(crate) struct PodProcesses {
    pub(crate) agent: Process,
    pub(crate) application: Process,
    port: u16,
    client: reqwest::blocking::Client,
}

impl PodProcesses {
    pub(crate) fn start(
        logs: &Path,
        patched: &Value,
        identity: &Identity,
        memory: &Path,
    ) -> Result<Self> {
        let volumes: BTreeMap<String, PathBuf> =
            [(SECRETS_VOLUME, "secrets"), (TOKEN_VOLUME, "identity")]
                .map(|(volume, name)| (volume.to_owned(), memory.join(name)))
                .into();
        for directory in volumes.values() {
            std::fs::create_dir_all(directory)?;
        }
        let mut token = File::options()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(memory.join("identity").join(TOKEN_FILE))?;
        token.write_all(identity.token.as_bytes())?;
        let pod = Pod::new(patched["spec"].clone(), &identity.uid, volumes);
        let mut agent = Process::start("agent", &mut pod.container(AGENT_CONTAINER)?, logs)?;
        let mut hook =
            Process::start("agent-post-start", &mut pod.post_start(AGENT_CONTAINER)?, logs)?;
        let status = hook
            .finish(Duration::from_secs(20))
            .map_err(|error| anyhow::anyhow!("{error}; the agent says:\n{}", agent.tail()))?;
        ensure!(status.success(), "the agent's postStart hook ended with {status}");
        agent.check()?;

        let port = free_port()?;
        let mut command = pod.container("api")?;
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        let application = Process::start("application", &mut command, logs)?;
        let mut running = Self { agent, application, port, client: http::plain_client()? };
        wait::until("the application", Duration::from_secs(10), || {
            running.application.check()?;
            Ok(running.state().ok())
        })?;
        Ok(running)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn state(&self) -> Result<AppState> {
        Ok(serde_json::from_slice(&self.client.get(self.url("/state")).send()?.bytes()?)?)
    }

    /// Whether the application has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.state().is_err()
    }

    pub(crate) fn load(&self, rate: u32, seconds: usize, logs: &Path) -> Result<Process> {
        let mut command = Command::new(program("enclii-sample")?);
        command.args([
            "load",
            "--url",
            &self.url("/"),
            "--rate",
            &rate.to_string(),
            "--duration",
            &seconds.to_string(),
            "--listen",
            "127.0.0.1:0",
        ]);
        Process::start("load", &mut command, logs)
    }
}
