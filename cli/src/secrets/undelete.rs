//! `enclii secrets undelete`.

use contract::SecretName;

use super::report;
use crate::client::Client;
use crate::common_args::SecretArgs;
use crate::error::Error;
use crate::missing;
use crate::output::Output;

const EXAMPLES: &str = "\
Example:
  enclii secrets list --deleted --service api --env prod --project shop
  enclii secrets undelete OLD_KEY --service api --env prod --project shop";

/// Restore a deleted secret with all its versions, until its retention ends.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UndeleteArgs {
    /// The secret.
    name: SecretName,
    #[command(flatten)]
    request: SecretArgs,
}

pub(crate) async fn run(args: UndeleteArgs, output: &Output) -> Result<(), Error> {
    let UndeleteArgs { name, request: SecretArgs { scope, connection, output: format } } = args;
    let scope = scope.scope()?;
    let client = Client::new(&connection, output)?;
    match client.undelete(&scope, &name).await {
        Ok(written) => report::written(&written, format, output),
        Err(error) => Err(missing::explain(&client, &scope, Some(&name), error).await),
    }
}
