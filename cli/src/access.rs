//! `enclii access …`: who may do what, and by which rule.

mod check;
mod target;
mod who_can_read;
mod who_read;

use std::process::ExitCode;

use clap::Subcommand;

use crate::error::Error;
use crate::output::Output;

/// Ask who may do what and by which rule, who can read a secret, and who read it.
#[derive(Debug, Subcommand)]
pub(crate) enum AccessCommand {
    Check(check::CheckAccessArgs),
    WhoCanRead(who_can_read::WhoCanReadArgs),
    WhoRead(who_read::WhoReadArgs),
}

pub(crate) async fn run(command: AccessCommand, output: &Output) -> Result<ExitCode, Error> {
    let done = match command {
        AccessCommand::Check(it) => return check::run(it, output).await,
        AccessCommand::WhoCanRead(it) => who_can_read::run(it, output).await,
        AccessCommand::WhoRead(it) => who_read::run(it, output).await,
    };
    done.map(|()| ExitCode::SUCCESS)
}
