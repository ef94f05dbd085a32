//! `enclii secrets …`: one file per command.

mod annotate;
mod delete;
mod destroy;
mod expiry;
mod export;
mod file_args;
mod get;
mod import;
mod list;
mod report;
mod rollback;
mod rotate;
mod search;
mod set;
mod show;
mod undelete;
mod value_source;
mod versions;

use clap::Subcommand;

use crate::error::Error;
use crate::output::Output;

/// Write, read, rotate and delete secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    Set(set::SetArgs),
    Get(get::GetArgs),
    List(list::ListSecretsArgs),
    Search(search::SearchArgs),
    Show(show::ShowSecretArgs),
    Annotate(annotate::AnnotateArgs),
    #[command(visible_alias = "history")]
    Versions(versions::VersionsArgs),
    Rotate(rotate::RotateArgs),
    Rollback(rollback::RollbackArgs),
    Delete(delete::DeleteArgs),
    Undelete(undelete::UndeleteArgs),
    Destroy(destroy::DestroyArgs),
    Import(import::ImportArgs),
    Export(export::ExportSecretsArgs),
}

pub(crate) async fn run(command: SecretsCommand, output: &Output) -> Result<(), Error> {
    match command {
        SecretsCommand::Set(it) => set::run(it, output).await,
        SecretsCommand::Get(it) => get::run(it, output).await,
        SecretsCommand::List(it) => list::run(it, output).await,
        SecretsCommand::Search(it) => search::run(it, output).await,
        SecretsCommand::Show(it) => show::run(it, output).await,
        SecretsCommand::Annotate(it) => annotate::run(it, output).await,
        SecretsCommand::Versions(it) => versions::run(it, output).await,
        SecretsCommand::Rotate(it) => rotate::run(it, output).await,
        SecretsCommand::Rollback(it) => rollback::run(it, output).await,
        SecretsCommand::Delete(it) => delete::run(it, output).await,
        SecretsCommand::Undelete(it) => undelete::run(it, output).await,
        SecretsCommand::Destroy(it) => destroy::run(it, output).await,
        SecretsCommand::Import(it) => import::run(it, output).await,
        SecretsCommand::Export(it) => export::run(it, output).await,
    }
}
