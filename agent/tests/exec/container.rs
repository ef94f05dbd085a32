//! A volume as the agent writes it, and commands that read it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use contract::ExecConfig;
use contract::exec_config::VERSION;
use contract::layout::EXEC_VARIABLE;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a test waits for what it expects.
const TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_enclii-agent");

pub(crate) struct ExecContainer {
    directory: TempDir,
}

impl ExecContainer {
    /// A container whose volume holds generation 1 with these values.
    pub(crate) fn new(values: &[(&str, &[u8])]) -> Self {
        let container = Self { directory: tempfile::tempdir().unwrap() };
        container.swap(1, values);
        container
    }

    pub(crate) fn volume(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a generation and swaps it in, as the agent does.
    pub(crate) fn swap(&self, generation: u32, values: &[(&str, &[u8])]) {
        let name = format!("..{generation}");
        let directory = self.volume().join(&name);
        fs::create_dir(&directory).unwrap();
        for (secret, value) in values {
            fs::File::create(directory.join(secret)).unwrap().write_all(value).unwrap();
        }
        let temporary = self.volume().join("..data_tmp");
        symlink(&name, &temporary).unwrap();
        fs::rename(&temporary, self.volume().join("..data")).unwrap();
    }

    pub(crate) fn config(&self, variables: &[&str], restart: Option<u32>) -> String {
        let names: Vec<String> = variables.iter().map(|name| (*name).to_owned()).collect();
        let config = ExecConfig {
            version: VERSION,
            directory: self.volume().to_str().unwrap().to_owned(),
            variables: names.try_into().unwrap(),
            restart_grace_seconds: restart,
        };
        config.to_json().unwrap()
    }

    /// The command, not yet started.
    pub(crate) fn command(&self, variables: &[&str], words: &[&str]) -> Command {
        self.command_with(variables, None, words)
    }

    pub(crate) fn command_with(
        &self,
        variables: &[&str],
        restart: Option<u32>,
        words: &[&str],
    ) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(["exec", "--"])
            .args(words)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env(EXEC_VARIABLE, self.config(variables, restart));
        command
    }

    /// The path of a file of the test's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.volume().join(name)
    }
}

/// A command that runs, with its output line by line.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = sync_channel(0);
        // Ends with the output, or when nobody reads its lines any more.
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| send.send(line))
        });
        Self { child, lines }
    }

    pub(crate) fn id(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }

    /// The next line, without its end; empty after the last one. Waits for it, 20 s at most.
    pub(crate) fn line(&mut self) -> String {
        match self.lines.recv_timeout(TIMEOUT) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => String::new(),
            Err(RecvTimeoutError::Timeout) => panic!("no line comes"),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.id()).unwrap(), signal).unwrap();
    }

    /// Waits for the end, 20 s at most.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < TIMEOUT, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A container ends with its first process; here nothing does that.
        for pid in descendants(self.id()) {
            let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a condition holds, 20 s at most.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < TIMEOUT, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The children of a process.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn descendants(pid: i32) -> Vec<i32> {
    let children = children(pid);
    children.iter().flat_map(|child| descendants(*child)).chain(children.clone()).collect()
}
