//! A real agent and its files.

use std::path::PathBuf;
use std::time::Duration;

use contract::AgentConfig;
use contract::agent_config::{Files, Source, VERSION};
use contract::annotations::FileMode;
use contract::layout::{CONFIG_VARIABLE, DATA_LINK};
use contract::reload::Reload;
use e2e::process::{Process, program};
use e2e::wait;
use tempfile::TempDir;

use crate::harness::{BUNDLE, ReplicaPair, STEP_TIMEOUT};

/// The pause between two checks of a file: far below what is measured.
const POLL_INTERVAL: Duration = Duration::from_micros(500);

pub(crate) struct Agent {
    process: Process,
    directory: TempDir,
}

impl Agent {
    /// Starts the agent of pod `number`, which connects to switchyard at this port.
    pub(crate) fn start(pair: &ReplicaPair, number: usize, port: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let token_file = directory.path().join("token");
        std::io::Write::write_all(
            &mut std::fs::File::create(&token_file).unwrap(),
            crate::harness::token(number).as_bytes(),
        )
        .unwrap();
        let files = directory.path().join("secrets");
        std::fs::create_dir(&files).unwrap();
        let config = AgentConfig {
            version: VERSION,
            source: Source::Switchyard {
                address: format!("https://localhost:{port}"),
                ca: std::fs::read_to_string(pair.one.ca()).unwrap(),
                token_file: token_file.to_str().unwrap().to_owned(),
            },
            bundles: vec![BUNDLE.parse().unwrap()],
            files: Files { directory: files.to_str().unwrap().to_owned(), mode: FileMode::OWNER },
            reload: Reload::None,
        };
        let mut command = std::process::Command::new(program("enclii-agent").unwrap());
        command.arg("run").env_clear().env(CONFIG_VARIABLE, config.to_json().unwrap());
        let process = Process::start("agent", &mut command, directory.path()).unwrap();
        Self { process, directory }
    }

    /// Waits until the file of a secret holds this value.
    pub(crate) fn wait_for_value(&mut self, name: &str, value: &str) {
        let file = self.file(name);
        let held = wait::until_every(
            POLL_INTERVAL,
            &format!("{name} to be {value}"),
            STEP_TIMEOUT,
            || {
                self.process.check()?;
                Ok(std::fs::read_to_string(&file).ok().filter(|held| held == value))
            },
        );
        held.unwrap_or_else(|error| {
            panic!("{error}; the end of its log:\n{}", self.process.tail())
        });
    }

    /// Waits until its files are of this generation.
    pub(crate) fn wait_for_generation(&mut self, generation: &str) {
        let there = wait::until(&format!("generation {generation}"), STEP_TIMEOUT, || {
            self.process.check()?;
            Ok((self.generation().as_deref() == Some(generation)).then_some(()))
        });
        there.unwrap_or_else(|error| {
            panic!("{error}; the end of its log:\n{}", self.process.tail())
        });
    }

    /// The value in the file of a secret.
    pub(crate) fn value(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap()
    }

    /// The generation of its files.
    pub(crate) fn generation(&self) -> Option<String> {
        let link =
            std::fs::read_link(self.directory.path().join("secrets").join(DATA_LINK)).ok()?;
        Some(link.to_str()?.trim_start_matches('.').to_owned())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join("secrets").join(name)
    }
}
