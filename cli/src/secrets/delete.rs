//! `enclii secrets delete`.

use contract::{SecretName, Version};

use super::report;
use crate::client::Client;
use crate::common::{self, Format, Request};
use crate::error::Error;
use crate::output::Output;

const EXAMPLES: &str = "\
Example:
  enclii secrets delete OLD_KEY --service api --env prod --project shop --yes

`enclii secrets undelete` brings it back until its retention is over.";

/// Delete a secret: its file leaves every pod.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The secret.
    #[arg(value_parser = common::name)]
    name: SecretName,
    /// Delete only if this is the active version.
    #[arg(long, value_name = "VERSION", value_parser = common::version)]
    if_version: Option<Version>,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    request: Request,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let Args { name, if_version, yes, request: Request { place, connection, output: format } } =
        args;
    let scope = place.scope()?;
    if !yes
        && !output.confirm(&format!(
            "Delete {name} from {scope}? Its file leaves every pod that holds it."
        ))?
    {
        return Err(Error::NotConfirmed("deleted"));
    }
    let deleted = Client::new(&connection, output)?.delete(&scope, &name, if_version).await?;
    if format == Format::Json {
        return output.json(&deleted);
    }
    output.done(&format!("{scope} {name} is deleted"));
    report::bundles(&deleted.bundles, output);
    if let Some(until) = &deleted.recoverable_until {
        output.note(&format!("`enclii secrets undelete {name}` brings it back until {until}"));
    }
    Ok(())
}
