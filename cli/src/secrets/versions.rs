//! `enclii secrets versions`.

use contract::api::VersionSummary;
use contract::{Scope, SecretName};
use jiff::Timestamp;
use serde::Serialize;

use super::expiry::expiry;
use crate::client::Client;
use crate::common_args::{OutputFormat, SecretArgs};
use crate::error::Error;
use crate::missing;
use crate::output::{Output, seconds};

/// List the versions of a secret, newest first, without values: when, by whom and why.
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
    let now = Timestamp::now();
    let has_expiry = versions.iter().any(|it| it.expires_at.is_some());
    let has_message = versions.iter().any(|it| it.message.is_some());
    let row = |it: &VersionSummary| {
        let mut row = vec![
            it.version.to_string(),
            it.state.as_str().to_owned(),
            seconds(it.created_at),
            it.created_by.clone(),
        ];
        if has_expiry {
            row.push(it.expires_at.map_or_else(|| "-".to_owned(), |at| expiry(at, now)));
        }
        if has_message {
            row.push(it.message.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string));
        }
        row
    };
    let mut columns = vec!["VERSION", "STATE", "CREATED", "BY"];
    columns.extend(has_expiry.then_some("EXPIRES"));
    columns.extend(has_message.then_some("MESSAGE"));
    output.table(&columns, &versions.iter().map(row).collect::<Vec<_>>());
    Ok(())
}
