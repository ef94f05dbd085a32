//! `enclii-webhook`: see `--help`.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use runtime::logs::{self, ErrorChain};
use runtime::provider;
use runtime::signals::Shutdown;
use runtime::tasks::Tasks;
use webhook::args::Args;
use webhook::run::run;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = logs::init(args.daemon.log_format, &args.daemon.log_filter) {
        // Logging is not set up yet.
        let _ = writeln!(std::io::stderr(), "enclii-webhook: {}", ErrorChain(&error));
        return ExitCode::from(2);
    }
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %ErrorChain(&*error), "the webhook failed");
            ExitCode::FAILURE
        }
    }
}

fn start(args: Args) -> Result<(), Box<dyn Error>> {
    provider::install()?;
    // A review takes microseconds, so more than two threads would only use more memory.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let tasks = Tasks::new();
        let shutdown = Shutdown::on_signals(&tasks)?;
        run(args, tasks, shutdown).await?;
        tracing::info!("webhook stopped");
        Ok(())
    })
}
