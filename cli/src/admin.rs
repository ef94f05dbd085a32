//! `enclii admin`: operations on the system itself, for owners.

mod rekey;

use clap::Subcommand;

use crate::error::Error;
use crate::output::Output;

/// Maintain the system itself.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    Rekey(rekey::RekeyArgs),
}

pub(crate) async fn run(command: AdminCommand, output: &Output) -> Result<(), Error> {
    match command {
        AdminCommand::Rekey(args) => rekey::run(args, output).await,
    }
}
