//! `enclii-agent`: see [`agent::args`] for what it understands.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use agent::app::{Application, PROC};
use agent::args::{self, Args, Command};
use agent::fault::chain;
use agent::{cycle, harden, wait};
use runtime::signals::Shutdown;
use runtime::tasks::Tasks;

fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let done = match args::parse(&words, args::environment) {
        Ok(Command::Help) => io::stdout().write_all(args::HELP.as_bytes()),
        Ok(Command::Version) => io::stdout()
            .write_all(concat!("enclii-agent ", env!("CARGO_PKG_VERSION"), "\n").as_bytes()),
        Ok(Command::Wait(directory)) => match wait::until_files(&directory, wait::DEADLINE) {
            true => Ok(()),
            false => say(&format!(
                "no files after {} s; the container's log and last state say why",
                wait::DEADLINE.as_secs()
            ))
            .and_then(|()| Err(io::ErrorKind::TimedOut.into())),
        },
        Ok(Command::Run(args)) => return start(*args),
        Err(error) => {
            let _ = say(&chain(&error));
            return ExitCode::from(2);
        }
    };
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn start(args: Args) -> ExitCode {
    if let Err(error) = runtime::logs::init(args.log_format, &args.log_filter) {
        let _ = say(&chain(&error));
        return ExitCode::from(2);
    }
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = chain(&*error), "the agent cannot go on");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let Args { config, pod_uid, log_filter: _, log_format: _ } = args;
    harden::start()?;
    let application = Application::new(
        config.reload.clone(),
        config.reload_container.clone(),
        pod_uid,
        PROC.into(),
    )?;
    // One thread. The one that resolves names ends soon after it has done so.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .thread_keep_alive(std::time::Duration::from_secs(1))
        .build()?;
    runtime.block_on(async {
        let tasks = Tasks::new();
        let shutdown = Shutdown::on_signals(&tasks)?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "agent started");
        cycle::run(config, application, &tasks, &shutdown).await?;
        tracing::info!("agent ended");
        Ok(())
    })
}

/// For people, where there is no log yet.
fn say(text: &str) -> io::Result<()> {
    writeln!(io::stderr(), "enclii-agent: {text}")
}
