//! `enclii secrets rollback`.

use contract::{SecretName, Version};

use super::report;
use crate::client::Client;
use crate::common_args::{SecretArgs, parse_version};
use crate::error::Error;
use crate::output::Output;

const EXAMPLES: &str = "\
Example:
  enclii secrets versions DATABASE_URL --service api --env prod --project shop
  enclii secrets rollback DATABASE_URL --to 3 --service api --env prod --project shop

The bundles get a new generation with the old version. No version is lost.";

/// Make an earlier version of a secret active again.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RollbackArgs {
    /// The secret.
    name: SecretName,
    /// The version to go back to.
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    to: Version,
    #[command(flatten)]
    request: SecretArgs,
}

pub(crate) async fn run(args: RollbackArgs, output: &Output) -> Result<(), Error> {
    let RollbackArgs { name, to, request: SecretArgs { scope, connection, output: format } } = args;
    let written = Client::new(&connection, output)?.rollback(&scope.scope()?, &name, to).await?;
    report::written(&written, format, output)
}
