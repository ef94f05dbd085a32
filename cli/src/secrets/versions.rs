//! `enclii secrets versions`.

use contract::SecretName;

use crate::client::Client;
use crate::common::{self, Format, Request};
use crate::error::Error;
use crate::output::Output;

/// List the versions of a secret, without values.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  enclii secrets versions DATABASE_URL --service api --env prod --project shop")]
pub(crate) struct Args {
    /// The secret.
    #[arg(value_parser = common::name)]
    pub(crate) name: SecretName,
    #[command(flatten)]
    pub(crate) request: Request,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let Args { name, request: Request { place, connection, output: format } } = args;
    let list = Client::new(&connection, output)?.versions(&place.scope()?, &name).await?;
    if format == Format::Json {
        return output.json(&list);
    }
    let rows: Vec<_> = list
        .versions
        .iter()
        .map(|it| vec![it.version.to_string(), it.state.as_str().to_owned(), it.created_at.clone(), it.created_by.clone()])
        .collect();
    output.table(&["VERSION", "STATE", "CREATED", "BY"], &rows);
    Ok(())
}
