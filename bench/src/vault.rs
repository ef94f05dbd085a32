//! The peer of the agent: Vault Agent beside a development server of Vault, both on loopback, with
//! the same twenty secrets in the same kind of directory.

mod agent;
mod server;

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::wait;
use tempfile::TempDir;

use crate::memory::Memory;
use crate::pod::{SECRET, names, value};
use crate::probe::{POLL_INTERVAL, file_size_mb, time_until_file};
use crate::progress::print_progress;
use crate::statistics::{median, milliseconds, percentile};
use agent::{Agent, Refresh};
use server::Server;

const START_COUNT: usize = 15;
// It polls once a second: the slowest of thirty writes just missed a poll.
const WRITES: usize = 30;
const IDLE_TIME: Duration = Duration::from_secs(5);
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// What was measured of Vault Agent, in the units of the measurements.
#[derive(Clone, Debug)]
pub struct VaultAgentFigures {
    /// Its name and version.
    pub name: String,
    /// The name with its polling interval.
    pub polling: String,
    /// Start to the last of the files, in milliseconds.
    pub start: f64,
    /// Its memory while idle.
    pub memory: Memory,
    /// The size of its program, in MB.
    pub binary: f64,
    /// From a write to the file, in milliseconds.
    pub write_to_file: f64,
}

/// Measures Vault Agent.
///
/// # Errors
/// If it does not start or does not write the files.
pub fn measure(program: &Path) -> Result<VaultAgentFigures> {
    let name = format!("Vault Agent {}", version(program)?);
    print_progress(&format!("{name}: a development server with twenty secrets"));
    let directory = tempfile::Builder::new().prefix("enclii-bench-vault-").tempdir()?;
    let server = Server::start(program, directory.path())?;
    for (number, secret) in names().iter().enumerate() {
        server.write(secret, &value("first", number))?;
    }
    print_progress(&format!("{name}: {START_COUNT} starts"));
    let start = median_start(program, directory.path(), &server)?;
    print_progress(&format!("{name}: memory while idle"));
    let memory = memory(program, directory.path(), &server)?;
    print_progress(&format!("{name}: {WRITES} writes"));
    let write_to_file = writes(program, directory.path(), &server)?;
    let polling = format!("{name}, polling every second");
    Ok(VaultAgentFigures {
        polling,
        name,
        start,
        memory,
        binary: file_size_mb(program)?,
        write_to_file,
    })
}

fn version(program: &Path) -> Result<String> {
    let output = Command::new(program)
        .arg("version")
        .output()
        .with_context(|| format!("start {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let word = text
        .split_whitespace()
        .nth(1)
        .with_context(|| format!("find the version of {}", program.display()))?;
    ensure!(output.status.success() && word.starts_with('v'), "{} is not Vault", program.display());
    Ok(word.trim_matches(['v', ',']).to_owned())
}

fn median_start(program: &Path, directory: &Path, server: &Server) -> Result<f64> {
    let mut times = Vec::with_capacity(START_COUNT);
    for _ in 0..START_COUNT {
        let files = files()?;
        let from = Instant::now();
        let mut agent = Agent::start(program, directory, server, files.path(), Refresh::Default)?;
        agent.wait_for_files(POLL_INTERVAL, STEP_TIMEOUT)?;
        times.push(milliseconds(from.elapsed()));
    }
    median(&times).context("no start")
}

fn memory(program: &Path, directory: &Path, server: &Server) -> Result<Memory> {
    let files = files()?;
    let mut agent = Agent::start(program, directory, server, files.path(), Refresh::Default)?;
    agent.wait_for_files(POLL_INTERVAL, STEP_TIMEOUT)?;
    sleep(IDLE_TIME);
    Memory::of(agent.id())
}

fn writes(program: &Path, directory: &Path, server: &Server) -> Result<f64> {
    let files = files()?;
    let mut agent = Agent::start(program, directory, server, files.path(), Refresh::EverySecond)?;
    agent.wait_for_files(POLL_INTERVAL, STEP_TIMEOUT)?;
    let file = files.path().join(SECRET);
    let mut times = Vec::with_capacity(WRITES);
    for number in 0..WRITES {
        // Spreads the writes over its polling interval.
        sleep(Duration::from_millis((number * 379 % 1000) as u64));
        let value = value("write", number);
        times.push(time_until_file(&file, &value, STEP_TIMEOUT, || server.write(SECRET, &value))?);
    }
    percentile(&times, 99).context("no write")
}

/// A directory in memory, like the one the injector gives the agent.
fn files() -> Result<TempDir> {
    let name = || tempfile::Builder::new().prefix("enclii-bench-vault-").to_owned();
    Ok(name().tempdir_in("/dev/shm").or_else(|_| name().tempdir())?)
}

/// Waits for files of a process; an error has the end of its log.
fn until_there(
    process: &mut e2e::process::Process,
    pause: Duration,
    timeout: Duration,
    mut there: impl FnMut() -> bool,
) -> Result<()> {
    let result =
        wait::until_every(pause, "Vault Agent's files", timeout, || Ok(there().then_some(())));
    result.map_err(|error| anyhow::anyhow!("{error}; the end of its log:\n{}", process.tail()))?;
    process.check()
}
