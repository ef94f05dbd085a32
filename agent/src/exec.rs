//! `enclii-agent exec -- COMMAND…`: starts the application's command with secrets in its
//! environment, and stands in for it.
//!
//! ```text
//! environment   (pure) what the command gets, and whether the kernel takes it
//! lookup        finds the command's program as a container runtime does
//! signals       catches what can be caught, to be passed on
//! supervision   (pure) the command's life: signals, restarts, its end
//! process       starts, signals and reaps
//! rotation      sees that another generation was swapped in
//! ```
//!
//! It has one thread and no runtime: it is in every container, for as long as that lives. What it
//! has read is wiped as soon as the command runs (see the allocator in `main`).

mod environment;
mod lookup;
mod process;
mod rotation;
mod signals;
mod supervision;

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use contract::ExecConfig;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub use environment::EnvironmentError;
pub use lookup::LookupError;
pub use process::Ending;

use crate::error::error_chain;
use crate::files::CurrentGeneration;
use environment::{Environment, Limits};
use process::Processes;
use rotation::Rotation;
use signals::Signals;
use supervision::{Effect, Event, Supervision};

/// The status when the command could not be started for a reason of ours, as of `env` and `docker`.
const STATUS_FAILED: u8 = 125;
/// The status when the command's program cannot be executed, as of a shell.
const STATUS_NOT_EXECUTABLE: u8 = 126;
/// The status when the command's program does not exist, as of a shell.
const STATUS_NOT_FOUND: u8 = 127;

/// What to start.
#[derive(Debug)]
pub struct ExecArgs {
    /// The variables; `None` if they are set already, because a command of ours starts this one.
    pub config: Option<ExecConfig>,
    /// The program and its arguments; never empty.
    pub command: Vec<OsString>,
    /// The environment of this process, without the configuration.
    pub environment: Vec<(OsString, OsString)>,
}

/// Why the command did not start.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The signals cannot be caught.
    #[error("catch signals")]
    Signals(#[source] io::Error),
    /// The volume has no generation.
    #[error("read secrets: {directory} holds no files of the agent", directory = .0.display())]
    NoGeneration(PathBuf, #[source] io::Error),
    /// The environment.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The command's program.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The kernel refused to start it.
    #[error("start {program}", program = program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The wait for signals failed.
    #[error("wait for signals")]
    Wait(#[source] io::Error),
}

impl ExecError {
    /// The status to exit with.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Lookup(LookupError::NotFound(_)) => STATUS_NOT_FOUND,
            Self::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                STATUS_NOT_FOUND
            }
            Self::Lookup(LookupError::NotExecutable(_)) | Self::Start { .. } => {
                STATUS_NOT_EXECUTABLE
            }
            _ => STATUS_FAILED,
        }
    }
}

/// Runs the command until it ends.
///
/// # Errors
/// When it cannot be started. A restart that cannot be prepared leaves the command running, and
/// `report` is told.
pub fn run(args: &ExecArgs, report: impl Fn(&str)) -> Result<Ending, ExecError> {
    let mut signals = Signals::install().map_err(ExecError::Signals)?;
    let restarts = args.config.as_ref().and_then(|it| it.restart_grace_seconds);
    let mut processes = Processes::new(restarts.is_some());
    let mut supervision =
        Supervision::new(Duration::from_secs(u64::from(restarts.unwrap_or_default())));
    let started = start(args, &mut processes)?;
    let mut rotation = match (&args.config, restarts, started) {
        (Some(config), Some(_), Some(name)) => Some(Rotation::watch(&config.directory, name)),
        _ => None,
    };
    loop {
        wait(&signals, rotation.as_ref(), supervision.deadline())?;
        let mut events: Vec<Event> = signals.pending().map(Event::Signal).collect();
        events.extend(processes.reap().map(Event::Ended));
        if rotation.as_mut().is_some_and(|it| it.is_due(Instant::now())) {
            match prepare(args) {
                Ok(_) => events.push(Event::Swapped),
                Err(error) => report(&format!(
                    "the secrets changed, and the command goes on with the old ones: {}",
                    error_chain(&error)
                )),
            }
        }
        events.push(Event::Tick { children: processes.has_children() });
        for event in events {
            for effect in supervision.on(event, Instant::now()) {
                match effect {
                    Effect::Signal(signal) => processes.signal(signal),
                    Effect::SignalChildren(signal) => processes.signal_children(signal),
                    Effect::Start => {
                        report("the secrets changed: the command starts again");
                        let started = start(args, &mut processes)?;
                        if let (Some(rotation), Some(name)) = (&mut rotation, started) {
                            rotation.started_with(name);
                        }
                    }
                    Effect::Finish(ending) => return Ok(ending),
                }
            }
        }
    }
}

/// Starts the command and returns the name of the generation that it got.
fn start(args: &ExecArgs, processes: &mut Processes) -> Result<Option<String>, ExecError> {
    let (environment, generation) = prepare(args)?;
    let program = lookup::program(&args.command[0], environment.get("PATH"))?;
    processes
        .start(&program, &args.command, &environment)
        .map_err(|source| ExecError::Start { program, source })?;
    Ok(generation)
}

/// Reads the secrets, all of one generation.
fn prepare(args: &ExecArgs) -> Result<(Environment, Option<String>), ExecError> {
    let mut environment = Environment::new(args.environment.clone());
    let Some(config) = &args.config else { return Ok((environment, None)) };
    let directory = Path::new(&config.directory);
    let none = |source| ExecError::NoGeneration(directory.to_owned(), source);
    let generation = CurrentGeneration::open(directory).map_err(none)?;
    for (name, secret) in &config.variables.0 {
        let value = generation.read(secret).map_err(|source| EnvironmentError::Read {
            name: name.clone(),
            secret: secret.clone(),
            source,
        })?;
        environment.set(name, secret, value)?;
    }
    environment.check(&args.command, Limits::of_this_process())?;
    Ok((environment, Some(generation.name().to_owned())))
}

/// Waits for a signal, a swap or the deadline.
fn wait(
    signals: &Signals,
    rotation: Option<&Rotation>,
    deadline: Option<Instant>,
) -> Result<(), ExecError> {
    let deadline = [deadline, rotation.and_then(Rotation::deadline)].into_iter().flatten().min();
    let timeout = deadline.map(|at| at.saturating_duration_since(Instant::now()));
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    let mut descriptors = vec![PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
    let swaps = rotation.and_then(Rotation::descriptor);
    descriptors.extend(swaps.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    match poll(&mut descriptors, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(ExecError::Wait(errno.into())),
    }
}
