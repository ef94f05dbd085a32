//! `enclii secrets list`.

use contract::Scope;
use contract::api::{SecretOrigin, SecretSummary};
use contract::metadata::join_tags;
use jiff::Timestamp;
use serde::Serialize;

use super::expiry::expiry;
use crate::client::Client;
use crate::common_args::{OutputFormat, SecretArgs, TimeOrSpan, parse_future, parse_past};
use crate::error::Error;
use crate::missing;
use crate::output::{Output, seconds};

const EXAMPLES: &str = "\
Examples:
  enclii secrets list --service api --env prod --project shop --output json
  enclii secrets list --inherited --service api --env prod --project shop (and those it inherits)
  enclii secrets list --deleted --service api --env prod --project shop   (deleted ones too)
  enclii secrets list --expires-before 30d --service api --env prod --project shop
  enclii secrets list --unused 90d --service api --env prod --project shop

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
    /// Only secrets that nobody read since this time, neither a pod nor anybody else: a date (UTC),
    /// a time, or how long ago (90d). One that was never read counts from when it was first
    /// written.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = parse_past,
        conflicts_with_all = ["deleted", "inherited", "expires_before"]
    )]
    unused: Option<TimeOrSpan>,
    #[command(flatten)]
    request: SecretArgs,
}

/// The JSON output.
#[derive(Serialize)]
struct SecretListReport<'a> {
    scope: &'a Scope,
    secrets: &'a [SecretSummary],
    #[serde(skip_serializing_if = "Option::is_none")]
    reads_until: Option<Timestamp>,
}

pub(crate) async fn run(args: ListSecretsArgs, output: &Output) -> Result<(), Error> {
    let ListSecretsArgs {
        deleted,
        inherited,
        expires_before,
        unused,
        request: SecretArgs { scope, connection, output: format },
    } = args;
    let scope = scope.scope()?;
    let client = Client::new(&connection, output)?;
    // A table without the inherited ones says how many there are.
    let counts_inherited = format == OutputFormat::Table && !deleted;
    let mut reads_until = None;
    let listed = if let Some(since) = unused {
        client.list_unused(&scope, since.before(Timestamp::now())).await.map(|(listed, until)| {
            reads_until = until;
            listed
        })
    } else if let Some(before) = expires_before {
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
        return output.json(&SecretListReport { scope: &scope, secrets: &secrets, reads_until });
    }
    let hidden: Vec<_> = if inherited {
        Vec::new()
    } else {
        secrets.extract_if(.., |it| it.origin == SecretOrigin::Inherited).collect()
    };
    if secrets.is_empty() {
        let such = match (expires_before, unused) {
            (Some(_), _) => " that end before then",
            (_, Some(_)) => " that nobody read since then",
            _ => "",
        };
        output.note(&format!("{scope} has no secrets{such}"));
    } else {
        print(&secrets, Columns { deleted, inherited, reads: unused.is_some() }, output);
    }
    if let Some(until) = reads_until {
        output.note(&format!("reads are counted up to {}", seconds(until)));
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

/// The columns of a table beside the usual ones.
struct Columns {
    deleted: bool,
    inherited: bool,
    reads: bool,
}

fn print(secrets: &[SecretSummary], columns: Columns, output: &Output) {
    let Columns { deleted, inherited, reads } = columns;
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
        if reads {
            let last = [it.last_read_by_pod, it.last_read_by_person, it.last_read_by_program];
            row.push(last.into_iter().max().flatten().map_or_else(|| "never".to_owned(), seconds));
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
    columns.extend(reads.then_some("LAST READ"));
    columns.extend(has_expiry.then_some("EXPIRES"));
    columns.extend(has_tags.then_some("TAGS"));
    output.table(&columns, &secrets.iter().map(row).collect::<Vec<_>>());
}
