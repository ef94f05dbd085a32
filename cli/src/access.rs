//! `enclii access …`: who may do what, and by which rule.

mod check;
mod target;

use std::process::ExitCode;

use clap::Subcommand;

use crate::error::Error;
use crate::output::Output;

/// Ask who may do what, and by which rule.
#[derive(Debug, Subcommand)]
pub(crate) enum AccessCommand {
    Check(check::CheckAccessArgs),
}

pub(crate) async fn run(command: AccessCommand, output: &Output) -> Result<ExitCode, Error> {
    match command {
        AccessCommand::Check(it) => check::run(it, output).await,
    }
}
