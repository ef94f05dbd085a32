//! A real agent and its files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use contract::AgentConfig;
use contract::agent_config::{Files, Source};
use contract::annotations::FileMode;
use contract::layout::{CONFIG_VARIABLE, DATA_LINK};
use tempfile::TempDir;

use crate::process::{Process, program};
use crate::wait;

/// For a step that has to happen: far longer than it takes.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// The pause between two checks of a file: far below what is measured.
const POLL_INTERVAL: Duration = Duration::from_micros(500);

/// An agent and its directory. It can be stopped and started again on its files.
pub struct Agent {
    // Dropped before the directory that it writes to.
    process: Option<Process>,
    config: AgentConfig,
    directory: TempDir,
}

impl Agent {
    /// Starts an agent with this token, which asks switchyard at this port for a bundle. `ca` is
    /// the file with switchyard's CA.
    ///
    /// # Errors
    /// If its files cannot be made, or it was not built.
    pub fn start(ca: &Path, token: &str, bundle: &str, port: u16) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let (token_file, files) =
            (directory.path().join("token"), directory.path().join("secrets"));
        let mut file = std::fs::File::create(&token_file)?;
        std::io::Write::write_all(&mut file, token.as_bytes())?;
        std::fs::create_dir(&files)?;
        let text = |path: &Path| path.to_str().map(str::to_owned).context("path");
        let source = Source::Switchyard {
            address: format!("https://localhost:{port}"),
            ca: std::fs::read_to_string(ca)?,
            token_file: text(&token_file)?,
        };
        let wanted = Files::new(text(&files)?, FileMode::OWNER);
        let config = AgentConfig::new(source, vec![bundle.parse()?], wanted);
        let mut agent = Self { process: None, config, directory };
        agent.run()?;
        Ok(agent)
    }

    /// Starts it again on its files.
    ///
    /// # Errors
    /// If it runs already, or was not built.
    pub fn run(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the agent runs already");
        let mut command = std::process::Command::new(program("enclii-agent")?);
        command.arg("run").env_clear().env(CONFIG_VARIABLE, self.config.to_json()?);
        self.process = Some(Process::start("agent", &mut command, self.directory.path())?);
        Ok(())
    }

    /// Stops it. Its files stay.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Waits until the file of a secret holds this value.
    ///
    /// # Errors
    /// If it does not in time, or the agent ends; the message has its log's end.
    pub fn wait_for_value(&mut self, name: &str, value: &str) -> Result<()> {
        let file = self.file(name);
        self.wait_for(&format!("{name} to be {value}"), |_| {
            std::fs::read_to_string(&file).is_ok_and(|held| held == value)
        })
    }

    /// Waits until its files are of the generation with this number.
    ///
    /// # Errors
    /// As [`Self::wait_for_value`].
    pub fn wait_for_generation(&mut self, generation: &str) -> Result<()> {
        self.wait_for(&format!("generation {generation}"), |agent| {
            agent.generation().as_deref() == Some(generation)
        })
    }

    fn wait_for(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<()> {
        let held = wait::until_every(POLL_INTERVAL, what, STEP_TIMEOUT, || {
            if let Some(process) = &mut self.process {
                process.check()?;
            }
            Ok(holds(self).then_some(()))
        });
        held.map_err(|error| {
            let log = self.process.as_ref().map(Process::tail).unwrap_or_default();
            anyhow::anyhow!("{error}; the end of its log:\n{log}")
        })
    }

    /// The value in the file of a secret.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn value(&self, name: &str) -> Result<String> {
        Ok(std::fs::read_to_string(self.file(name))?)
    }

    /// The number of the generation of its files.
    #[must_use]
    pub fn generation(&self) -> Option<String> {
        let link =
            std::fs::read_link(self.directory.path().join("secrets").join(DATA_LINK)).ok()?;
        let number = link.to_str()?.trim_start_matches('.').split('.').next()?;
        Some(number.to_owned())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join("secrets").join(name)
    }
}
