//! `enclii secrets list`.

use contract::Scope;
use contract::api::SecretSummary;
use serde::Serialize;

use crate::client::Client;
use crate::common::{Format, Request};
use crate::error::Error;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  enclii secrets list --service api --env prod --project shop --output json
  enclii secrets list --deleted --service api --env prod --project shop      (what can be brought back, too)

`enclii bundles show` lists what a pod gets: also what its environment and project have.";

/// List the secrets of a scope, without values.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Deleted ones too, as long as they can be brought back.
    #[arg(long)]
    deleted: bool,
    #[command(flatten)]
    request: Request,
}

/// What programs read of it: all pages as one.
#[derive(Serialize)]
struct All<'a> {
    scope: &'a Scope,
    secrets: &'a [SecretSummary],
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let Args { deleted, request: Request { place, connection, output: format } } = args;
    let scope = place.scope()?;
    let client = Client::new(&connection, output)?;
    let secrets =
        if deleted { client.list_with_deleted(&scope).await? } else { client.list(&scope).await? };
    if format == Format::Json {
        return output.json(&All { scope: &scope, secrets: &secrets });
    }
    if secrets.is_empty() {
        output.note(&format!("{scope} has no secrets"));
        return Ok(());
    }
    let row = |it: &SecretSummary| {
        let mut row = vec![
            it.name.to_string(),
            it.version.to_string(),
            it.updated_at.clone(),
            it.created_at.clone(),
        ];
        if deleted {
            row.extend(
                [&it.deleted_at, &it.recoverable_until]
                    .map(|it| it.clone().unwrap_or_else(|| "-".to_owned())),
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
