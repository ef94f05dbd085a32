//! `enclii secrets destroy`.

use contract::api::DestroyRequest;
use contract::{SecretName, Version};

use crate::client::Client;
use crate::common_args::{OutputFormat, SecretArgs, parse_version};
use crate::error::Error;
use crate::missing;
use crate::output::Output;

const EXAMPLES: &str = "\
Example:
  enclii secrets destroy DATABASE_URL --versions 1,2 --service api --env prod --project shop

The key of each value is destroyed, so that nobody can read the value again, not even from a
backup of the store without a backup of the keys. The active version cannot be destroyed: write or
roll back first, or delete the secret.";

/// Destroy the values of earlier versions permanently.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DestroyArgs {
    /// The secret.
    name: SecretName,
    /// The versions.
    #[arg(
        long,
        value_name = "VERSION,VERSION",
        value_delimiter = ',',
        required = true,
        value_parser = parse_version
    )]
    versions: Vec<Version>,
    /// Do not ask for confirmation.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    request: SecretArgs,
}

pub(crate) async fn run(args: DestroyArgs, output: &Output) -> Result<(), Error> {
    let DestroyArgs {
        name,
        versions,
        yes,
        request: SecretArgs { scope, connection, output: format },
    } = args;
    let scope = scope.scope()?;
    let versions: std::collections::BTreeSet<_> = versions.into_iter().collect();
    let listed = versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if !yes
        && !output.confirm(&format!(
            "Destroy version {listed} of {name} in {scope}? Nobody can read it again."
        ))?
    {
        return Err(Error::NotConfirmed("destroyed"));
    }
    let client = Client::new(&connection, output)?;
    let destroyed = match client.destroy(&scope, &name, &DestroyRequest { versions }).await {
        Ok(destroyed) => destroyed,
        Err(error) => return Err(missing::explain(&client, &scope, Some(&name), error).await),
    };
    if format == OutputFormat::Json {
        return output.json(&destroyed);
    }
    for version in &destroyed.versions {
        output.success(&format!("{scope} {name} version {version} is destroyed"));
    }
    Ok(())
}
