//! `enclii secrets …`: one file for each command.

mod assignment;
mod delete;
mod destroy;
mod export;
mod get;
mod import;
mod list;
mod report;
mod rollback;
mod rotate;
mod set;
mod undelete;
mod versions;

use clap::Subcommand;

use crate::error::Error;
use crate::output::Output;

/// Write, read, rotate and delete secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Set(set::Args),
    Get(get::Args),
    List(list::Args),
    Versions(versions::Args),
    Rotate(rotate::Args),
    Rollback(rollback::Args),
    Delete(delete::Args),
    Undelete(undelete::Args),
    Destroy(destroy::Args),
    Import(import::Args),
    Export(export::Args),
}

pub(crate) async fn run(command: Command, output: &Output) -> Result<(), Error> {
    match command {
        Command::Set(it) => set::run(it, output).await,
        Command::Get(it) => get::run(it, output).await,
        Command::List(it) => list::run(it, output).await,
        Command::Versions(it) => versions::run(it, output).await,
        Command::Rotate(it) => rotate::run(it, output).await,
        Command::Rollback(it) => rollback::run(it, output).await,
        Command::Delete(it) => delete::run(it, output).await,
        Command::Undelete(it) => undelete::run(it, output).await,
        Command::Destroy(it) => destroy::run(it, output).await,
        Command::Import(it) => import::run(it, output).await,
        Command::Export(it) => export::run(it, output).await,
    }
}
