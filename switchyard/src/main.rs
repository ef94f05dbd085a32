//! `switchyard`: see `--help`.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use runtime::logs::{self, ErrorChain};
use runtime::signals::Shutdown;
use runtime::tasks::Tasks;
use runtime::{hardening, provider};
use switchyard::args::{Args, ServeArgs};

fn main() -> ExitCode {
    let args = Args::parse().serve();
    if let Err(error) = logs::init(args.daemon.log_format, &args.daemon.log_filter) {
        // Logging is not set up, so the error goes to stderr.
        let _ = writeln!(std::io::stderr(), "switchyard: {}", ErrorChain(&error));
        return ExitCode::from(2);
    }
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %ErrorChain(&*error), "switchyard failed");
            ExitCode::FAILURE
        }
    }
}

fn start(args: ServeArgs) -> Result<(), Box<dyn Error>> {
    hardening::apply()?;
    provider::install()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let tasks = Tasks::new();
        let shutdown = Shutdown::on_signals(&tasks)?;
        switchyard::serve(args, tasks, shutdown).await?;
        tracing::info!("switchyard stopped");
        Ok(())
    })
}
