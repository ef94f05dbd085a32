//! `enclii-agent`: see [`agent::args`] for the command line and the environment.

use std::alloc::System;
use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use agent::app::{Application, PROC};
use agent::args::{self, Args, Command};
use agent::error::error_chain;
use agent::exec::{self, Ending, ExecArgs};
use agent::render::Renderer;
use agent::supervisor::{Mode, Stopped};
use agent::verify::Verifier;
use agent::{files, program, supervisor, wait};
use contract::agent_status::report::{self, Line, LineMark};
use contract::layout::RESTART_EXIT_CODE;
use runtime::hardening;
use runtime::signals::Shutdown;
use runtime::tasks::Tasks;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::low_level::emulate_default_handler;
use zeroizing_alloc::ZeroAlloc;

// Wipes heap memory when it is freed or reallocated: the TLS and HTTP libraries copy values into
// buffers that they free without wiping them.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let result = match args::parse(&words, args::environment, args::whole_environment) {
        Ok(Command::Help) => io::stdout().write_all(args::HELP.as_bytes()),
        Ok(Command::Version) => io::stdout()
            .write_all(concat!("enclii-agent ", env!("CARGO_PKG_VERSION"), "\n").as_bytes()),
        Ok(Command::Wait(directory)) => {
            match wait::wait_for_files(&directory, wait::WAIT_TIMEOUT) {
                true => Ok(()),
                false => print_error(&format!(
                    "no files after {} s; see the agent's log and its container's last state",
                    wait::WAIT_TIMEOUT.as_secs()
                ))
                .and_then(|()| Err(io::ErrorKind::TimedOut.into())),
            }
        }
        Ok(Command::Status { directory, is_json }) => return status(&directory, is_json),
        Ok(Command::Run(args, mode)) => return start(*args, mode),
        Ok(Command::Exec(args)) => return exec(&args),
        Err(error) => {
            let _ = print_error(&error_chain(&error));
            return ExitCode::from(2);
        }
    };
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints what the agent that runs beside this process has recorded.
fn status(directory: &Path, is_json: bool) -> ExitCode {
    let mut status = match files::read_status(directory) {
        Ok(status) => status,
        Err(error) => {
            let _ = print_error(&format!("read status in {}: {error}", directory.display()));
            return ExitCode::FAILURE;
        }
    };
    status.now = supervisor::now();
    let text = match is_json {
        true => status.to_json().map(|json| json + "\n").unwrap_or_default(),
        false => report::lines("of this agent", &status).iter().map(report_line).collect(),
    };
    let printed = io::stdout().write_all(text.as_bytes());
    // A program that asks finds the problems in the JSON.
    match printed.is_ok() && (is_json || report::problems(&status).is_empty()) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn report_line(line: &Line) -> String {
    let mark = match line.mark {
        None => "",
        Some(LineMark::Good) => "✓ ",
        Some(LineMark::Bad) => "✗ ",
        Some(LineMark::Unknown) => "– ",
    };
    format!("{mark}{}\n", line.text)
}

fn exec(args: &ExecArgs) -> ExitCode {
    let report = |text: &str| {
        let _ = print_error(text);
    };
    match exec::run(args, report) {
        Ok(Ending::Exited(status)) => ExitCode::from(status),
        Ok(Ending::Killed(signal)) => killed(signal),
        Err(error) => {
            report(&error_chain(&error));
            ExitCode::from(error.status())
        }
    }
}

/// Ends by the signal that ended the command, so that a parent sees what it would have seen. The
/// kernel spares process 1 its own signals, and then the status says it, as that of a shell.
fn killed(signal: i32) -> ExitCode {
    // The command has left its core already, if any.
    let none = Rlimit { current: Some(0), ..getrlimit(Resource::Core) };
    if std::process::id() != 1 && setrlimit(Resource::Core, none).is_ok() {
        let _ = emulate_default_handler(signal);
    }
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX))
}

fn start(args: Args, mode: Mode) -> ExitCode {
    if let Err(error) = runtime::logs::init(args.log_format, &args.log_filter) {
        let _ = print_error(&error_chain(&error));
        return ExitCode::from(2);
    }
    match run(args, mode) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(error = error_chain(&*error), "agent failed");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args, mode: Mode) -> Result<ExitCode, Box<dyn Error>> {
    let Args { config, pod_uid, log_filter: _, log_format: _ } = args;
    if let Some(directory) = &config.program_directory {
        program::install(Path::new(directory))?;
    }
    hardening::apply()?;
    let application = Application::new(&config, pod_uid, PROC.into())?;
    let (verifier, renderer) = (Verifier::new(&config), Renderer::default());
    // One thread serves everything. The blocking thread resolves host names and ends after a
    // second without work.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .thread_keep_alive(Duration::from_secs(1))
        .build()?;
    let stopped = runtime.block_on(async {
        let tasks = Tasks::new();
        let shutdown = Shutdown::on_signals(&tasks)?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "agent started");
        supervisor::run(config, (application, verifier, renderer), mode, &tasks, &shutdown)
            .await
            .map_err(Box::<dyn Error>::from)
    })?;
    // Without waiting for the resolver's thread.
    runtime.shutdown_background();
    match stopped {
        Stopped::Shutdown => {
            tracing::info!("agent stopped");
            Ok(ExitCode::SUCCESS)
        }
        Stopped::Restart(volume) => {
            tracing::info!("agent exits, so that kubelet restarts all containers");
            volume.record_restart()?;
            Ok(ExitCode::from(RESTART_EXIT_CODE))
        }
    }
}

/// Prints to standard error, for failures before the log is set up.
fn print_error(text: &str) -> io::Result<()> {
    writeln!(io::stderr(), "enclii-agent: {text}")
}
