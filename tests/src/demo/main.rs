//! `make demo`: the whole system on one machine, without a cluster and without root.
//!
//! It takes the example Deployment through everything that a cluster would: the API server's
//! review, the patched pod, the agent and the application as that pod describes them, and a
//! rotation under load.
#![expect(clippy::print_stdout, reason = "a demonstration prints")]

mod output;
mod pod_processes;
mod steps;

use std::process::ExitCode;

use clap::Parser;

/// Shows a secret on its way from the command line into an application, and its rotation under
/// load.
#[derive(Debug, Parser)]
#[command(name = "enclii-demo", version)]
struct Args {
    /// Stay up at the end, until Ctrl-C, and say how to use what runs.
    #[arg(long)]
    keep: bool,
    /// Requests a second to the application.
    #[arg(long, default_value_t = 1000)]
    rate: u32,
}

fn main() -> ExitCode {
    let Args { keep, rate } = Args::parse();
    if let Err(error) = runtime::provider::install() {
        println!("error: {error}");
        return ExitCode::FAILURE;
    }
    match steps::run(keep, rate) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\nfailed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
