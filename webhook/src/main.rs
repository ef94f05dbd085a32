//! `enclii-webhook`: see `--help`.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use runtime::logs::{self, ErrorChain};
use runtime::signals::Shutdown;
use runtime::tasks::Tasks;
use runtime::{hardening, provider};
use webhook::args::{Args, Command};
use webhook::run::{keep_certificates, run};

fn main() -> ExitCode {
    let command = Args::parse().command();
    let (format, filter) = match &command {
        Command::Serve(args) => (args.daemon.log_format, &args.daemon.log_filter),
        Command::Certificates(args) => (args.log_format, &args.log_filter),
    };
    if let Err(error) = logs::init(format, filter) {
        // Logging is not set up yet.
        let _ = writeln!(std::io::stderr(), "enclii-webhook: {}", ErrorChain(&error));
        return ExitCode::from(2);
    }
    match start(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %ErrorChain(&*error), "the webhook failed");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> Result<(), Box<dyn Error>> {
    hardening::apply()?;
    provider::install()?;
    // A review takes microseconds, so more than two threads would only use more memory.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let tasks = Tasks::new();
        let shutdown = Shutdown::on_signals(&tasks)?;
        match command {
            Command::Serve(args) => run(*args, tasks, shutdown).await?,
            Command::Certificates(args) => keep_certificates(*args, tasks, shutdown).await?,
        }
        tracing::info!("webhook stopped");
        Ok(())
    })
}
