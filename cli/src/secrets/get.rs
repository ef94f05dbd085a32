//! `enclii secrets get`.

use contract::{SecretName, Version};

use crate::client::Client;
use crate::common::{self, Format, Request};
use crate::error::Error;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  enclii secrets get DATABASE_URL --service api --env prod --project shop
  enclii secrets get DATABASE_URL --version 3 --service api --env prod --project shop
  enclii secrets get tls.key --service api --env prod --project shop > tls.key

The bytes are printed as they are, with a line end behind them on a terminal alone. JSON has them in
base64, with the version.";

/// Print one secret's value, byte for byte.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The secret.
    #[arg(value_parser = common::name)]
    name: SecretName,
    /// This version instead of the active one.
    #[arg(long, value_name = "VERSION", value_parser = common::version)]
    version: Option<Version>,
    #[command(flatten)]
    request: Request,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let Args { name, version, request: Request { place, connection, output: format } } = args;
    let secret =
        Client::new(&connection, output)?.read_version(&place.scope()?, &name, version).await?;
    match format {
        Format::Table => output.bytes(secret.value.expose()),
        Format::Json => {
            let body = secret.to_body().map_err(|error| Error::Start(error.to_string()))?;
            output.bytes(&[body.expose(), b"\n"].concat())
        }
    }
}
