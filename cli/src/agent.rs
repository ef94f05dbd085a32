//! `enclii agent …`: what the agents in pods hold, and how their applications took it.

mod list;
mod status;

use std::process::ExitCode;

use clap::Subcommand;

use crate::error::Error;
use crate::output::Output;

/// Show what the agents in pods hold and what is wrong with them.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    List(list::ListAgentsArgs),
    Status(status::AgentStatusArgs),
}

pub(crate) async fn run(command: AgentCommand, output: &Output) -> Result<ExitCode, Error> {
    match command {
        AgentCommand::List(it) => list::run(it, output).await.map(|()| ExitCode::SUCCESS),
        AgentCommand::Status(it) => status::run(it, output).await,
    }
}
