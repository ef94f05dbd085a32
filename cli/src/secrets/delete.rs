//! `enclii secrets delete`.

use contract::SecretName;

use super::report;
use crate::client::Client;
use crate::common::{self, Format, Request};
use crate::error::Error;
use crate::output::Output;

/// Delete a secret: its file leaves every pod.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  enclii secrets delete OLD_KEY --service api --env prod --project shop --yes")]
pub(crate) struct Args {
    /// The secret.
    #[arg(value_parser = common::name)]
    pub(crate) name: SecretName,
    /// Do not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) request: Request,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let Args { name, yes, request: Request { place, connection, output: format } } = args;
    let scope = place.scope()?;
    if !yes && !output.confirm(&format!("Delete {name} from {scope}? Its file leaves every pod that holds it."))? {
        return Err(Error::NotConfirmed("deleted"));
    }
    let deleted = Client::new(&connection, output)?.delete(&scope, &name).await?;
    if format == Format::Json {
        return output.json(&deleted);
    }
    output.done(&format!("{scope} {name} is deleted"));
    report::bundles(&deleted.bundles, output);
    Ok(())
}
