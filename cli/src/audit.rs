//! `enclii audit …`: one file for each command.

mod export;
mod list;
mod source;
mod span;
mod verify;

use clap::Subcommand;

use crate::error::Error;
use crate::output::Output;

/// See who did what, take the audit trail along, and check that nobody changed it.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(list::Args),
    Export(export::Args),
    Verify(verify::Args),
}

pub(crate) async fn run(command: Command, output: &Output) -> Result<(), Error> {
    match command {
        Command::List(it) => list::run(it, output).await,
        Command::Export(it) => export::run(it, output).await,
        Command::Verify(it) => verify::run(it, output).await,
    }
}
