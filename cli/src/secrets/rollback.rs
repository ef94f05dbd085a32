//! `enclii secrets rollback`.

use contract::{SecretName, Version};

use super::report;
use crate::client::Client;
use crate::common::{self, Request};
use crate::error::Error;
use crate::output::Output;

const EXAMPLES: &str = "\
Example:
  enclii secrets versions DATABASE_URL --service api --env prod --project shop
  enclii secrets rollback DATABASE_URL --to 3 --service api --env prod --project shop

The bundles get a new generation with the old version; nothing is lost by it.";

/// Make an earlier version of a secret the active one again.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The secret.
    #[arg(value_parser = common::name)]
    name: SecretName,
    /// The version to go back to.
    #[arg(long, value_name = "VERSION", value_parser = common::version)]
    to: Version,
    #[command(flatten)]
    request: Request,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let Args { name, to, request: Request { place, connection, output: format } } = args;
    let written = Client::new(&connection, output)?.rollback(&place.scope()?, &name, to).await?;
    report::written(&written, format, output)
}
