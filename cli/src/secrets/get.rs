//! `enclii secrets get`.

use contract::{SecretName, Version};
use zeroize::Zeroizing;

use crate::client::Client;
use crate::common_args::{OutputFormat, SecretArgs, parse_version};
use crate::error::Error;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  enclii secrets get DATABASE_URL --service api --env prod --project shop
  enclii secrets get DATABASE_URL --version 3 --service api --env prod --project shop
  enclii secrets get tls.key --service api --env prod --project shop > tls.key

The bytes are printed unchanged; only a terminal gets a final newline. JSON has the value in base64,
with the version.";

/// Print one secret's value, byte for byte.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GetArgs {
    /// The secret.
    name: SecretName,
    /// The version; without it, the active one.
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    version: Option<Version>,
    #[command(flatten)]
    request: SecretArgs,
}

pub(crate) async fn run(args: GetArgs, output: &Output) -> Result<(), Error> {
    let GetArgs { name, version, request: SecretArgs { scope, connection, output: format } } = args;
    let secret =
        Client::new(&connection, output)?.read_version(&scope.scope()?, &name, version).await?;
    match format {
        OutputFormat::Table => output.bytes(secret.value.expose()),
        OutputFormat::Json => {
            let body = secret.to_body().map_err(|error| Error::Encode(error.to_string()))?;
            output.bytes(&Zeroizing::new([body.expose(), b"\n"].concat()))
        }
    }
}
