//! `enclii secrets destroy`.

use contract::api::DestroyRequest;
use contract::{SecretName, Version};

use crate::client::Client;
use crate::common::{self, Format, Request};
use crate::error::Error;
use crate::output::Output;

const EXAMPLES: &str = "\
Example:
  enclii secrets destroy DATABASE_URL --versions 1,2 --service api --env prod --project shop

The value's key is destroyed, so that nobody can read it again, and no backup of the store opens it
without a backup of the keys. The active version cannot be destroyed: write or roll back first, or delete.";

/// Destroy values of earlier versions for good.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The secret.
    #[arg(value_parser = common::name)]
    name: SecretName,
    /// The versions.
    #[arg(long, value_name = "VERSION,VERSION", value_delimiter = ',', required = true, value_parser = common::version)]
    versions: Vec<Version>,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    request: Request,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let Args { name, versions, yes, request: Request { place, connection, output: format } } = args;
    let scope = place.scope()?;
    let versions: std::collections::BTreeSet<_> = versions.into_iter().collect();
    let listed = versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if !yes
        && !output.confirm(&format!(
            "Destroy version {listed} of {name} in {scope}? Nobody can read it again."
        ))?
    {
        return Err(Error::NotConfirmed("destroyed"));
    }
    let destroyed = Client::new(&connection, output)?
        .destroy(&scope, &name, &DestroyRequest { versions })
        .await?;
    if format == Format::Json {
        return output.json(&destroyed);
    }
    for version in &destroyed.versions {
        output.done(&format!("{scope} {name} version {version} is destroyed"));
    }
    Ok(())
}
