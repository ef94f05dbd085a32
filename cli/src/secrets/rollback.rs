//! `enclii secrets rollback`.

use contract::api::VersionState;
use contract::{SecretName, Version};

use super::report;
use crate::client::Client;
use crate::common_args::{MessageArgs, OutputFormat, SecretArgs, parse_version};
use crate::error::Error;
use crate::missing;
use crate::output::Output;

const EXAMPLES: &str = "\
Example:
  enclii secrets versions DATABASE_URL --service api --env prod --project shop
  enclii secrets rollback DATABASE_URL --to 3 --service api --env prod --project shop

The bundles get a new generation with the old version. No version is lost. A message goes into the
audit log; the old version keeps its own.";

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
    message: MessageArgs,
    #[command(flatten)]
    request: SecretArgs,
}

pub(crate) async fn run(args: RollbackArgs, output: &Output) -> Result<(), Error> {
    let RollbackArgs { name, to, message: MessageArgs { message }, request } = args;
    let SecretArgs { scope, connection, output: format } = request;
    let scope = scope.scope()?;
    let client = Client::new(&connection, output)?;
    let versions = match client.versions(&scope, &name).await {
        Ok(versions) => versions,
        Err(error) => return Err(missing::explain(&client, &scope, Some(&name), error).await),
    };
    let found = versions.iter().find(|it| it.version == to);
    if found.is_some_and(|it| it.state == VersionState::Active) && format == OutputFormat::Table {
        output.success(&format!("{scope} {name} is at version {to} already: nothing has changed"));
        return Ok(());
    }
    let written = match client.rollback(&scope, &name, to, message).await {
        Err(Error::Refused(problem)) if problem.status == 404 && found.is_none() => {
            let newest = versions.first().map(|it| format!("its newest is {}", it.version));
            return Err(Error::missing(&problem, newest.as_deref()));
        }
        written => written?,
    };
    report::written(&written, format, output)
}
