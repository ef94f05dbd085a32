//! `enclii secrets list`.

use contract::Scope;
use contract::api::{SecretOrigin, SecretSummary};
use contract::metadata::join_tags;
use jiff::Timestamp;
use serde::Serialize;

use super::expiry::expiry;
use crate::client::Client;
use crate::common_args::{OutputFormat, SecretArgs, TimeOrSpan, parse_future};
use crate::error::Error;
use crate::missing;
use crate::output::{Output, seconds};

const EXAMPLES: &str = "\
Examples:
  enclii secrets list --service api --env prod --project shop --output json
  enclii secrets list --inherited --service api --env prod --project shop (and those it inherits)
  enclii secrets list --deleted --service api --env prod --project shop   (deleted ones too)
  enclii secrets list --expires-before 30d --service api --env prod --project shop

Inherited secrets are those of the environment and the project, unless the scope has its own of that
name. `enclii bundles show` lists what a pod gets.";

/// List the secrets of a scope, without values.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListSecretsArgs {
    /// Include deleted secrets that can still be restored.
    #[arg(long)]
    deleted: bool,
    /// Include the secrets that the scope inherits, with the scope that each belongs to.
    #[arg(long)]
    inherited: bool,
    /// Only secrets whose credential ends before this time, or has ended: a date (UTC), a time, or
    /// how long from now (30d).
    #[arg(
        long,
        value_name = "TIME",
        value_parser = parse_future,
        conflicts_with_all = ["deleted", "inherited"]
    )]
    expires_before: Option<TimeOrSpan>,
    #[command(flatten)]
    request: SecretArgs,
}

/// The JSON output.
#[derive(Serialize)]
struct SecretListReport<'a> {
    scope: &'a Scope,
    secrets: &'a [SecretSummary],
}

pub(crate) async fn run(args: ListSecretsArgs, output: &Output) -> Result<(), Error> {
    let ListSecretsArgs {
        deleted,
        inherited,
        expires_before,
        request: SecretArgs { scope, connection, output: format },
    } = args;
    let scope = scope.scope()?;
    let client = Client::new(&connection, output)?;
    // A table without the inherited ones says how many there are.
    let counts_inherited = format == OutputFormat::Table && !deleted;
    let listed = if let Some(before) = expires_before {
        client.list_expiring(&scope, before.after(Timestamp::now())).await
    } else if deleted {
        client.list_with_deleted(&scope, inherited).await
    } else if inherited || counts_inherited {
        client.list_inherited(&scope).await
    } else {
        client.list(&scope).await
    };
    let mut secrets = match listed {
        Ok(secrets) => secrets,
        Err(error) => return Err(missing::explain(&client, &scope, None, error).await),
    };
    if format == OutputFormat::Json {
        return output.json(&SecretListReport { scope: &scope, secrets: &secrets });
    }
    let hidden: Vec<_> = if inherited {
        Vec::new()
    } else {
        secrets.extract_if(.., |it| it.origin == SecretOrigin::Inherited).collect()
    };
    if secrets.is_empty() {
        let such = if expires_before.is_some() { " that end before then" } else { "" };
        output.note(&format!("{scope} has no secrets{such}"));
    } else {
        print(&secrets, deleted, inherited, output);
    }
    if let Some(first) = hidden.first() {
        output.note(&format!(
            "{scope} inherits {} more, such as {} of {}: --inherited lists them",
            hidden.len(),
            first.name,
            first.scope
        ));
    }
    Ok(())
}

fn print(secrets: &[SecretSummary], deleted: bool, inherited: bool, output: &Output) {
    let now = Timestamp::now();
    let has_expiry = secrets.iter().any(|it| it.metadata.expires_at.is_some());
    let has_tags = secrets.iter().any(|it| !it.metadata.tags.is_empty());
    let row = |it: &SecretSummary| {
        let mut row = vec![
            it.name.to_string(),
            it.version.to_string(),
            seconds(it.updated_at),
            seconds(it.created_at),
        ];
        if inherited {
            row.extend([it.origin.to_string(), it.scope.to_string()]);
        }
        if deleted {
            row.extend(
                [it.deleted_at, it.recoverable_until]
                    .map(|it| it.map_or_else(|| "-".to_owned(), seconds)),
            );
        }
        if has_expiry {
            let at = it.metadata.expires_at;
            row.push(at.map_or_else(|| "-".to_owned(), |at| expiry(at, now)));
        }
        if has_tags {
            row.push(join_tags(&it.metadata.tags));
        }
        row
    };
    let mut columns = vec!["NAME", "VERSION", "UPDATED", "CREATED"];
    if inherited {
        columns.extend(["ORIGIN", "SCOPE"]);
    }
    if deleted {
        columns.extend(["DELETED", "RECOVERABLE UNTIL"]);
    }
    columns.extend(has_expiry.then_some("EXPIRES"));
    columns.extend(has_tags.then_some("TAGS"));
    output.table(&columns, &secrets.iter().map(row).collect::<Vec<_>>());
}
