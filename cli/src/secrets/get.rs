//! `enclii secrets get`.

use contract::SecretName;

use crate::client::Client;
use crate::common::{self, Format, Request};
use crate::error::Error;
use crate::output::Output;

/// Print one secret's value, byte for byte.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  enclii secrets get DATABASE_URL --service api --env prod --project shop\n  enclii secrets get tls.key --service api --env prod --project shop > tls.key"
)]
pub(crate) struct Args {
    /// The secret.
    #[arg(value_parser = common::name)]
    pub(crate) name: SecretName,
    #[command(flatten)]
    pub(crate) request: Request,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let Args { name, request: Request { place, connection, output: format } } = args;
    let secret = Client::new(&connection, output)?.read(&place.scope()?, &name).await?;
    match format {
        Format::Table => output.bytes(secret.value.expose()),
        Format::Json => {
            let body = secret.to_body().map_err(|error| Error::Start(error.to_string()))?;
            output.bytes(&[body.expose(), b"\n"].concat())
        }
    }
}
