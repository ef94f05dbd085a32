//! `enclii secrets …`: one file for each command.

mod assignment;
mod delete;
mod export;
mod get;
mod import;
mod list;
mod report;
mod set;
mod versions;

use clap::Subcommand;

use crate::error::Error;
use crate::output::Output;

/// Write, read and delete secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Set(set::Args),
    Get(get::Args),
    List(list::Args),
    Versions(versions::Args),
    Delete(delete::Args),
    Import(import::Args),
    Export(export::Args),
}

pub(crate) async fn run(command: Command, output: &Output) -> Result<(), Error> {
    match command {
        Command::Set(it) => set::run(it, output).await,
        Command::Get(it) => get::run(it, output).await,
        Command::List(it) => list::run(it, output).await,
        Command::Versions(it) => versions::run(it, output).await,
        Command::Delete(it) => delete::run(it, output).await,
        Command::Import(it) => import::run(it, output).await,
        Command::Export(it) => export::run(it, output).await,
    }
}
