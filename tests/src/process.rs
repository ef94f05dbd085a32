//! Child processes: each writes to a log of its own and ends with the value that owns it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// A running child. Dropping it ends it: SIGTERM, and SIGKILL where that is not heeded.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program whose output goes to `<log_directory>/<name>.log`.
    ///
    /// # Errors
    /// Where the log cannot be made or the program cannot be started.
    pub fn start(name: &str, command: &mut Command, log_directory: &Path) -> Result<Self> {
        let log = log_directory.join(format!("{name}.log"));
        let out = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("open {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| {
                format!("start {name} ({})", command.get_program().to_string_lossy())
            })?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Fails, with the end of its log, where it has ended.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended ({status}); the end of its log:\n{}", self.name, self.tail());
        }
        Ok(())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// Where it is still running after `deadline`.
    pub fn finish(&mut self, deadline: Duration) -> Result<std::process::ExitStatus> {
        let name = self.name.clone();
        wait::until(&format!("{name} to end"), deadline, || Ok(self.child.try_wait()?))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// Where the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("process id")?;
        kill_process(pid, signal).with_context(|| format!("signal {}", self.name))
    }

    /// The last lines of its log.
    #[must_use]
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = self.signal(Signal::TERM);
        if self.finish(Duration::from_secs(10)).is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The processes that a process started and that have not ended.
///
/// # Errors
/// Where the process table cannot be read.
pub fn children(parent: u32) -> Result<Vec<u32>> {
    let processes = std::fs::read_dir("/proc").context("read /proc")?.flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    Ok(ids
        .filter(|id| status(*id).is_some_and(|(state, of)| of == parent && state != "Z"))
        .collect())
}

/// Whether a process runs; one that ended and that nobody has asked for its status does not.
#[must_use]
pub fn is_running(id: u32) -> bool {
    status(id).is_some_and(|(state, _)| state != "Z")
}

/// A process's state, as one letter, and its parent.
fn status(id: u32) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // Its name is in brackets, and may hold any letter, brackets and spaces too.
    let mut words = stat.rsplit_once(')')?.1.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

/// A program of ours: from `ENCLII_BIN`, else from beside the running program.
///
/// # Errors
/// Where it was not built.
pub fn program(name: &str) -> Result<PathBuf> {
    let beside = || std::env::current_exe().ok()?.parent().map(Path::to_owned);
    let directory = std::env::var_os("ENCLII_BIN")
        .map(PathBuf::from)
        .or_else(beside)
        .context("find the programs' directory")?;
    let path = directory.join(name);
    if !path.is_file() {
        bail!("{} is not there; `make build` builds it", path.display());
    }
    Ok(path)
}
