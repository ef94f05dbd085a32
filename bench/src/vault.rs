//! The peer of the agent: Vault Agent beside a development server of Vault, both on loopback, with
//! the same secrets in the same kind of directory.

mod agent;
mod server;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::wait;
use tempfile::TempDir;

use crate::memory::Memory;
use crate::pod::{SECRET, SECRETS, names, value};
use crate::probe::{POLL_INTERVAL, file_size_mb, time_until_file};
use crate::processor_time::idle_time;
use crate::progress::print_progress;
use crate::statistics::{median, milliseconds, percentile};
use agent::{Agent, Refresh};
use server::Server;

const START_COUNT: usize = 15;
/// The largest number of secrets.
const MANY: usize = 200;
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
    /// Its processor time in an idle hour, in seconds.
    pub idle: f64,
    /// The same start and memory with other numbers of secrets.
    pub sizes: BTreeMap<usize, SizeFigures>,
    /// The size of its program, in MB.
    pub binary: f64,
    /// From a write to the file, in milliseconds.
    pub write_to_file: f64,
}

/// What was measured with some number of secrets.
#[derive(Clone, Copy, Debug)]
pub struct SizeFigures {
    /// Start to the last of the files, in milliseconds.
    pub start: f64,
    /// Its memory while idle.
    pub memory: Memory,
}

/// Measures Vault Agent.
///
/// # Errors
/// If it does not start or does not write the files.
pub fn measure(program: &Path) -> Result<VaultAgentFigures> {
    let name = format!("Vault Agent {}", version(program)?);
    print_progress(&format!("{name}: a development server"));
    let directory = tempfile::Builder::new().prefix("enclii-bench-vault-").tempdir()?;
    let server = Server::start(program, directory.path())?;
    for (number, secret) in names(MANY).iter().enumerate() {
        server.write(secret, &value("first", number))?;
    }
    print_progress(&format!("{name}: {START_COUNT} starts"));
    let peer = Peer { program, directory: directory.path(), server };
    let start = peer.median_start(SECRETS)?;
    print_progress(&format!("{name}: memory while idle, and a minute's processor time"));
    let mut it = peer.idle(SECRETS)?;
    let memory = Memory::of(it.agent.id())?;
    let idle = idle_time(it.agent.id())?;
    it.agent.check()?;
    drop(it);
    let mut sizes = BTreeMap::new();
    for count in [1, MANY] {
        print_progress(&format!("{name}: {START_COUNT} starts and memory, secrets: {count}"));
        let start = peer.median_start(count)?;
        sizes.insert(
            count,
            SizeFigures { start, memory: Memory::of(peer.idle(count)?.agent.id())? },
        );
    }
    print_progress(&format!("{name}: {WRITES} writes"));
    let write_to_file = peer.writes()?;
    let polling = format!("{name}, polling every second");
    Ok(VaultAgentFigures {
        polling,
        name,
        start,
        memory,
        idle,
        sizes,
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

/// Vault Agent and its server.
struct Peer<'a> {
    program: &'a Path,
    directory: &'a Path,
    server: Server,
}

impl Peer<'_> {
    fn start(&self, files: &Path, count: usize, refresh: Refresh) -> Result<Agent> {
        Agent::start(self.program, self.directory, &self.server, files, &names(count), refresh)
    }

    fn median_start(&self, count: usize) -> Result<f64> {
        let mut times = Vec::with_capacity(START_COUNT);
        for _ in 0..START_COUNT {
            let files = files()?;
            let from = Instant::now();
            let mut agent = self.start(files.path(), count, Refresh::Default)?;
            agent.wait_for_files(POLL_INTERVAL, STEP_TIMEOUT)?;
            times.push(milliseconds(from.elapsed()));
        }
        median(&times).context("no start")
    }

    /// One that has had its files for a while.
    fn idle(&self, count: usize) -> Result<IdleAgent> {
        let files = files()?;
        let mut agent = self.start(files.path(), count, Refresh::Default)?;
        agent.wait_for_files(POLL_INTERVAL, STEP_TIMEOUT)?;
        sleep(IDLE_TIME);
        Ok(IdleAgent { agent, _files: files })
    }

    fn writes(&self) -> Result<f64> {
        let files = files()?;
        let mut agent = self.start(files.path(), SECRETS, Refresh::EverySecond)?;
        agent.wait_for_files(POLL_INTERVAL, STEP_TIMEOUT)?;
        let file = files.path().join(SECRET);
        let mut times = Vec::with_capacity(WRITES);
        for number in 0..WRITES {
            // Spreads the writes over its polling interval.
            sleep(Duration::from_millis((number * 379 % 1000) as u64));
            let value = value("write", number);
            let write = || self.server.write(SECRET, &value);
            times.push(time_until_file(&file, &value, STEP_TIMEOUT, write)?);
        }
        percentile(&times, 99).context("no write")
    }
}

/// A running agent and its files.
struct IdleAgent {
    agent: Agent,
    // Gone after the agent.
    _files: TempDir,
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
