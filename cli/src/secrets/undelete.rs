//! `enclii secrets undelete`.

use contract::SecretName;

use super::report;
use crate::client::Client;
use crate::common::{self, Request};
use crate::error::Error;
use crate::output::Output;

const EXAMPLES: &str = "\
Example:
  enclii secrets list --deleted --service api --env prod --project shop
  enclii secrets undelete OLD_KEY --service api --env prod --project shop";

/// Bring a deleted secret back, with all its versions, until its retention is over.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The secret.
    #[arg(value_parser = common::name)]
    name: SecretName,
    #[command(flatten)]
    request: Request,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let Args { name, request: Request { place, connection, output: format } } = args;
    report::written(
        &Client::new(&connection, output)?.undelete(&place.scope()?, &name).await?,
        format,
        output,
    )
}
