//! `enclii`: secrets for people and scripts.

mod admin;
mod args;
mod audit;
mod bundles;
mod client;
mod common;
mod completions;
mod credentials;
mod doctor;
mod error;
mod grants;
mod inject;
mod login;
mod output;
mod run;
mod secrets;
mod tokens;
mod values;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let output = output::Output::new(args.color, args.verbose);
    let result = run(args.command, &output).and_then(|code| output.finish().map(|()| code));
    result.unwrap_or_else(|error| {
        output.error(&error);
        error.exit_code()
    })
}

fn run(command: args::Command, output: &output::Output) -> Result<ExitCode, error::Error> {
    runtime::provider::install().map_err(|error| error::Error::Start(error.to_string()))?;
    let threads = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error::Error::Start(error.to_string()))?;
    threads.block_on(command.run(output))
}
