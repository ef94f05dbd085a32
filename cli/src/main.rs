//! `enclii`: secrets for people and scripts.

mod args;
mod client;
mod common;
mod error;
mod inject;
mod output;
mod secrets;
mod values;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let output = output::Output::new(args.color, args.verbose);
    match run(args.command, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            error.exit_code()
        }
    }
}

fn run(command: args::Command, output: &output::Output) -> Result<(), error::Error> {
    runtime::provider::install().map_err(|error| error::Error::Start(error.to_string()))?;
    let threads =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error::Error::Start(error.to_string()))?;
    threads.block_on(command.run(output))
}
