//! `enclii secrets list`.

use crate::client::Client;
use crate::common::{Format, Request};
use crate::error::Error;
use crate::output::Output;

/// List the secrets of a scope, without values.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  enclii secrets list --service api --env prod --project shop --output json")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) request: Request,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let Args { request: Request { place, connection, output: format } } = args;
    let list = Client::new(&connection, output)?.list(&place.scope()?).await?;
    if format == Format::Json {
        return output.json(&list);
    }
    if list.secrets.is_empty() {
        output.note(&format!("{} has no secrets", list.scope));
        return Ok(());
    }
    let rows: Vec<_> = list
        .secrets
        .iter()
        .map(|it| vec![it.name.to_string(), it.version.to_string(), it.updated_at.clone(), it.created_at.clone()])
        .collect();
    output.table(&["NAME", "VERSION", "UPDATED", "CREATED"], &rows);
    Ok(())
}
