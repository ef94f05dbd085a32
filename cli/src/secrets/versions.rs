//! `enclii secrets versions`.

use contract::api::VersionSummary;
use contract::{Scope, SecretName};
use serde::Serialize;

use crate::client::Client;
use crate::common_args::{OutputFormat, SecretArgs};
use crate::error::Error;
use crate::missing;
use crate::output::{Output, seconds};

/// List the versions of a secret, newest first, without values.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  enclii secrets versions DATABASE_URL --service api --env prod \
                  --project shop"
)]
pub(crate) struct VersionsArgs {
    /// The secret.
    name: SecretName,
    #[command(flatten)]
    request: SecretArgs,
}

/// The JSON output.
#[derive(Serialize)]
struct VersionListReport<'a> {
    scope: &'a Scope,
    name: &'a SecretName,
    versions: &'a [VersionSummary],
}

pub(crate) async fn run(args: VersionsArgs, output: &Output) -> Result<(), Error> {
    let VersionsArgs { name, request: SecretArgs { scope, connection, output: format } } = args;
    let scope = scope.scope()?;
    let client = Client::new(&connection, output)?;
    let versions = match client.versions(&scope, &name).await {
        Ok(versions) => versions,
        Err(error) => return Err(missing::explain(&client, &scope, Some(&name), error).await),
    };
    if format == OutputFormat::Json {
        return output.json(&VersionListReport { scope: &scope, name: &name, versions: &versions });
    }
    let rows: Vec<_> = versions
        .iter()
        .map(|it| {
            vec![
                it.version.to_string(),
                it.state.as_str().to_owned(),
                seconds(it.created_at),
                it.created_by.clone(),
            ]
        })
        .collect();
    output.table(&["VERSION", "STATE", "CREATED", "BY"], &rows);
    Ok(())
}
