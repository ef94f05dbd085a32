//! `enclii audit …`: one file per command.

mod export;
mod export_file;
mod fetch;
mod list;
mod time_range;
mod verify;

use clap::Subcommand;
pub(crate) use time_range::TimeRange;

use crate::error::Error;
use crate::output::Output;

/// Show who did what, export the audit log, and verify that nobody changed it.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    List(list::ListEventsArgs),
    Export(export::ExportEventsArgs),
    Verify(verify::VerifyArgs),
}

pub(crate) async fn run(command: AuditCommand, output: &Output) -> Result<(), Error> {
    match command {
        AuditCommand::List(it) => list::run(it, output).await,
        AuditCommand::Export(it) => export::run(it, output).await,
        AuditCommand::Verify(it) => verify::run(it, output).await,
    }
}
