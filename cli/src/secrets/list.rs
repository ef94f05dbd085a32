//! `enclii secrets list`.

use contract::Scope;
use contract::api::SecretSummary;
use serde::Serialize;

use crate::client::Client;
use crate::common_args::{OutputFormat, SecretArgs};
use crate::error::Error;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  enclii secrets list --service api --env prod --project shop --output json
  enclii secrets list --deleted --service api --env prod --project shop   (deleted ones too)

`enclii bundles show` lists what a pod gets, including the secrets of its environment and project.";

/// List the secrets of a scope, without values.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListSecretsArgs {
    /// Include deleted secrets that can still be restored.
    #[arg(long)]
    deleted: bool,
    #[command(flatten)]
    request: SecretArgs,
}

/// The JSON output.
#[derive(Serialize)]
struct SecretListReport<'a> {
    scope: &'a Scope,
    secrets: &'a [SecretSummary],
}

pub(crate) async fn run(args: ListSecretsArgs, output: &Output) -> Result<(), Error> {
    let ListSecretsArgs { deleted, request: SecretArgs { scope, connection, output: format } } =
        args;
    let scope = scope.scope()?;
    let client = Client::new(&connection, output)?;
    let secrets =
        if deleted { client.list_with_deleted(&scope).await? } else { client.list(&scope).await? };
    if format == OutputFormat::Json {
        return output.json(&SecretListReport { scope: &scope, secrets: &secrets });
    }
    if secrets.is_empty() {
        output.note(&format!("{scope} has no secrets"));
        return Ok(());
    }
    let row = |it: &SecretSummary| {
        let mut row = vec![
            it.name.to_string(),
            it.version.to_string(),
            it.updated_at.to_string(),
            it.created_at.to_string(),
        ];
        if deleted {
            row.extend(
                [it.deleted_at, it.recoverable_until]
                    .map(|it| it.map_or_else(|| "-".to_owned(), |at| at.to_string())),
            );
        }
        row
    };
    let columns = ["NAME", "VERSION", "UPDATED", "CREATED", "DELETED", "RECOVERABLE UNTIL"];
    output.table(
        &columns[..if deleted { 6 } else { 4 }],
        &secrets.iter().map(row).collect::<Vec<_>>(),
    );
    Ok(())
}
