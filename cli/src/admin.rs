//! `enclii admin`: what an owner does to the system itself.

mod rekey;

use clap::Subcommand;

use crate::error::Error;
use crate::output::Output;

/// Look after the system itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Rekey(rekey::Args),
}

pub(crate) async fn run(command: Command, output: &Output) -> Result<(), Error> {
    match command {
        Command::Rekey(args) => rekey::run(args, output).await,
    }
}
