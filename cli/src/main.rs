//! `enclii`: secrets for people and scripts.

mod access;
mod admin;
mod agent;
mod args;
mod audit;
mod bundles;
mod client;
mod common_args;
mod completions;
mod connect_failure;
mod credentials;
mod doctor;
mod error;
mod file_formats;
mod grants;
mod inject;
mod input;
mod kubectl;
mod login;
mod manifest;
mod missing;
mod output;
mod run;
mod scan;
mod scopes;
mod secrets;
mod tokens;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some((error, code)) = run::exec_if_child(std::env::args_os()) {
        output::Output::new(output::ColorMode::Auto, false).error(&error);
        return code;
    }
    let cli = args::parse();
    let output = output::Output::new(cli.color, cli.verbose);
    let result = execute(cli.command, &output).and_then(|code| output.finish().map(|()| code));
    result.unwrap_or_else(|error| {
        output.error(&error);
        error.exit_code()
    })
}

fn execute(command: args::Command, output: &output::Output) -> Result<ExitCode, error::Error> {
    let failed = |step: &str, reason: &dyn std::fmt::Display| {
        error::Error::System(format!("{step}: {reason}"))
    };
    runtime::provider::install()
        .map_err(|error| failed("install cryptography provider", &error))?;
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("start async runtime", &error))?;
    executor.block_on(command.run(output))
}
