//! `enclii secrets delete`.

use contract::{SecretName, Version};

use super::report;
use crate::client::Client;
use crate::common_args::{OutputFormat, SecretArgs, parse_version};
use crate::error::Error;
use crate::missing;
use crate::output::{Output, seconds};

const EXAMPLES: &str = "\
Example:
  enclii secrets delete OLD_KEY --service api --env prod --project shop --yes

`enclii secrets undelete` restores it until its retention ends.";

/// Delete a secret and remove its file from every pod.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DeleteArgs {
    /// The secret.
    name: SecretName,
    /// Delete only if this is the active version.
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    if_version: Option<Version>,
    /// Do not ask for confirmation.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    request: SecretArgs,
}

pub(crate) async fn run(args: DeleteArgs, output: &Output) -> Result<(), Error> {
    let DeleteArgs {
        name,
        if_version,
        yes,
        request: SecretArgs { scope, connection, output: format },
    } = args;
    let scope = scope.scope()?;
    if !yes
        && !output.confirm(&format!(
            "Delete {name} from {scope}? Its file is removed from every pod that has it."
        ))?
    {
        return Err(Error::NotConfirmed("deleted"));
    }
    let client = Client::new(&connection, output)?;
    let deleted = match client.delete(&scope, &name, if_version).await {
        Ok(deleted) => deleted,
        Err(error) => return Err(missing::explain(&client, &scope, Some(&name), error).await),
    };
    if format == OutputFormat::Json {
        return output.json(&deleted);
    }
    output.success(&format!("{scope} {name} is deleted"));
    report::bundles(&deleted.bundles, output);
    if let Some(until) = deleted.recoverable_until {
        let until = seconds(until);
        output.note(&format!("`enclii secrets undelete {name}` restores it until {until}"));
    }
    Ok(())
}
