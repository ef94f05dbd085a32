//! `enclii secrets get`.

use contract::api::SecretValue;
use contract::{Scope, SecretName, Version};
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::client::{Client, VersionChoice};
use crate::common_args::{OutputFormat, SecretArgs, parse_version};
use crate::error::Error;
use crate::missing;
use crate::output::{Output, seconds};

const EXAMPLES: &str = "\
Examples:
  enclii secrets get DATABASE_URL --service api --env prod --project shop
  enclii secrets get DATABASE_URL --version 3 --service api --env prod --project shop
  enclii secrets get SENTRY_DSN --inherited --service api --env prod --project shop
  enclii secrets get tls.key --service api --env prod --project shop > tls.key
  enclii secrets get DATABASE_URL --raw --service api --env prod --project shop

The bytes are printed unchanged; only a terminal gets a final newline. JSON has the value in base64,
with the version and the scope that it belongs to.";

/// Print one secret's value, byte for byte.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GetArgs {
    /// The secret.
    name: SecretName,
    /// The version; without it, the active one.
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    version: Option<Version>,
    /// Print a value with references as it was written, without resolving them.
    #[arg(long)]
    raw: bool,
    /// Read it from the environment or the project if the scope has none of that name.
    #[arg(long)]
    inherited: bool,
    #[command(flatten)]
    request: SecretArgs,
}

pub(crate) async fn run(args: GetArgs, output: &Output) -> Result<(), Error> {
    let GetArgs {
        name,
        version,
        raw,
        inherited,
        request: SecretArgs { scope, connection, output: format },
    } = args;
    let scope = scope.scope()?;
    let client = Client::new(&connection, output)?;
    let mut read = client.read_version(&scope, &name, VersionChoice { version, raw }).await;
    if inherited {
        read =
            from_wider_scopes(&client, &scope, &name, VersionChoice { version, raw }, read).await;
    }
    let secret = match read {
        Ok(secret) => secret,
        Err(error) => return Err(missing::explain(&client, &scope, Some(&name), error).await),
    };
    if secret.scope != scope {
        output.note(&format!("{name} is inherited from {}", secret.scope));
    }
    if let Some(at) = secret.metadata.expires_at.filter(|at| *at <= Timestamp::now()) {
        output.note(&format!("{name}: the credential ended at its issuer on {}", seconds(at)));
    }
    match format {
        OutputFormat::Table => output.bytes(secret.value.expose()),
        OutputFormat::Json => {
            let body = secret.to_body().map_err(|error| Error::Encode(error.to_string()))?;
            output.bytes(&Zeroizing::new([body.expose(), b"\n"].concat()))
        }
    }
}

/// The value in the narrowest scope that has it. `read` is the result of the scope itself. A scope
/// that has the secret without that version ends the search: it hides the wider ones.
async fn from_wider_scopes(
    client: &Client<'_>,
    scope: &Scope,
    name: &SecretName,
    options: VersionChoice,
    mut read: Result<SecretValue, Error>,
) -> Result<SecretValue, Error> {
    let mut narrower = scope.clone();
    while let Err(Error::Refused(problem)) = &read
        && problem.status == 404
        && let Some(wider) = narrower.parent()
    {
        if options.version.is_some() && client.versions(&narrower, name).await.is_ok() {
            break;
        }
        match client.read_version(&wider, name, options).await {
            // The error about the scope that was asked for says more.
            Err(Error::Refused(problem)) if problem.status == 404 => {}
            found => read = found,
        }
        narrower = wider;
    }
    read
}
