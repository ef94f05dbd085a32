//! `make demo`: the whole system on one machine, without a cluster and without root.
//!
//! It takes the example Deployment through what a cluster does: the API server's review, the
//! patched pod, the agent and the application as that pod describes them, and rotations under load.
//! It removes everything that it made, also when a signal ends it.
#![expect(clippy::print_stdout, reason = "a demonstration prints")]

mod example;
mod folders;
mod interrupt;
mod output;
mod pod_processes;
mod steps;
mod vault_steps;

use std::process::ExitCode;

use clap::Parser;

/// Shows how a secret gets from the command line into an application, and its rotation under load.
///
/// Takes the programs from the folder ENCLII_BIN, or from the folder of this program.
#[derive(Debug, Parser)]
#[command(name = "enclii-demo", version)]
struct Args {
    /// Keep everything running at the end, until Ctrl-C, and show how to use it
    #[arg(long)]
    keep: bool,
    /// Without switchyard: the secrets are in a Vault, which `tests/cluster/build.sh vault` builds
    #[arg(long)]
    vault: bool,
    /// Requests per second to the application
    #[arg(long, default_value_t = 1000)]
    rate: u32,
}

fn main() -> ExitCode {
    let Args { keep, vault, rate } = Args::parse();
    let outcome = runtime::provider::install()
        .map_err(anyhow::Error::from)
        .and_then(|()| interrupt::install())
        .and_then(|()| if vault { vault_steps::run(keep, rate) } else { steps::run(keep, rate) });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            interrupt::wait_if_ending();
            output::verdict(&format!("FAILED: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
