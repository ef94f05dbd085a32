//! Child processes: each writes to its own log and ends with the value that owns it. It also ends
//! if this process is killed: see [`crate::guard`].

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::guard::{self, Registration};
use crate::proc_stat::status;
use crate::wait;

/// A running child. Dropping it sends SIGTERM, and SIGKILL if it is still running after ten
/// seconds.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    // Dropped after the child has been waited for.
    _registration: Registration,
}

impl Process {
    /// Starts a program whose output goes to `<log_directory>/<name>.log`.
    ///
    /// # Errors
    /// If the log cannot be opened or the program cannot be started.
    pub fn start(name: &str, command: &mut Command, log_directory: &Path) -> Result<Self> {
        let log = log_directory.join(format!("{name}.log"));
        let out = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("open {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let (child, registration) = guard::spawn(command).with_context(|| {
            format!("start {name} ({})", command.get_program().to_string_lossy())
        })?;
        Ok(Self { name: name.to_owned(), child, log, _registration: registration })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The output so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Checks that it is still running.
    ///
    /// # Errors
    /// If it has ended; the message has the end of its log.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended ({status}); the end of its log:\n{}", self.name, self.tail());
        }
        Ok(())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// If it is still running after `timeout`.
    pub fn finish(&mut self, timeout: Duration) -> Result<std::process::ExitStatus> {
        let name = self.name.clone();
        wait::until(&format!("{name} to end"), timeout, || Ok(self.child.try_wait()?))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process has ended.
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

/// The running child processes of a process.
///
/// # Errors
/// If the process table cannot be read.
pub fn children(parent: u32) -> Result<Vec<u32>> {
    let processes = std::fs::read_dir("/proc").context("read /proc")?.flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    Ok(ids
        .filter(|id| status(*id).is_some_and(|(state, of)| of == parent && state != "Z"))
        .collect())
}

/// Whether a process is running. A zombie is not.
#[must_use]
pub fn is_running(id: u32) -> bool {
    status(id).is_some_and(|(state, _)| state != "Z")
}

/// The path of a program of this workspace: in the folder `ENCLII_BIN`, else beside the running
/// one.
///
/// # Errors
/// If it was not built.
pub fn program(name: &str) -> Result<PathBuf> {
    let beside = || std::env::current_exe().ok()?.parent().map(Path::to_owned);
    let directory = std::env::var_os("ENCLII_BIN")
        .map(PathBuf::from)
        .or_else(beside)
        .context("find the programs' directory")?;
    let path = directory.join(name);
    if !path.is_file() {
        bail!("{} does not exist: `make programs` builds it", path.display());
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_process_has_ended() {
        let logs = tempfile::tempdir().unwrap();
        let process =
            Process::start("sleep", Command::new("sleep").arg("60"), logs.path()).unwrap();
        let id = process.id();
        assert!(is_running(id));
        drop(process);
        assert!(!is_running(id));
    }
}
