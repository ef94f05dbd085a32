//! `enclii access who-can-read`.

use std::cell::Cell;

use contract::api::{AccessReader, AccessReaderList};
use serde::Serialize;

use super::target::AccessTarget;
use crate::client::Client;
use crate::common_args::{ConnectionArgs, OutputFormat};
use crate::error::Error;
use crate::output::{Output, seconds};

/// List who can read a secret or all of a scope: each rule that lets somebody, and when it ends.
///
/// Only somebody who may grant in the scope gets the list.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  enclii access who-can-read shop.prod.api/DATABASE_URL
  enclii access who-can-read shop.prod --output json")]
pub(crate) struct WhoCanReadArgs {
    /// The secret or the scope: SCOPE/NAME or SCOPE.
    target: AccessTarget,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    output: OutputFormat,
}

/// The JSON output.
#[derive(Serialize)]
struct ReaderReport<'a> {
    readers: &'a [AccessReader],
    hidden_referrers: u64,
}

pub(super) async fn run(args: WhoCanReadArgs, output: &Output) -> Result<(), Error> {
    let WhoCanReadArgs { target: AccessTarget { scope, secret }, connection, output: format } =
        args;
    let client = Client::new(&connection, output)?;
    let secret = secret.map(|it| format!("&secret={it}")).unwrap_or_default();
    let path = format!("/v1/access/readers?scope={scope}{secret}&limit=1000");
    let hidden = Cell::new(0);
    let parts = |page: AccessReaderList| {
        hidden.set(page.hidden_referrers);
        (page.readers, page.next)
    };
    let readers: Vec<AccessReader> = client.pages(&path, parts).await?;
    let hidden_referrers = hidden.get();
    if format == OutputFormat::Json {
        return output.json(&ReaderReport { readers: &readers, hidden_referrers });
    }
    let has_through = readers.iter().any(|it| it.through.is_some());
    let columns = if has_through { 5 } else { 4 };
    let rows: Vec<_> = readers.iter().map(|it| row(it)[..columns].to_vec()).collect();
    output.table(&["WHO", "RULE", "BUNDLE", "UNTIL", "THROUGH"][..columns], &rows);
    if hidden_referrers > 0 {
        output.note(&format!(
            "{hidden_referrers} more secrets have this one in their value; only who may grant in \
             their scopes sees who can read them"
        ));
    }
    Ok(())
}

fn row(reader: &AccessReader) -> Vec<String> {
    let AccessReader { kind, name, rule, grant, bundle, until, through, .. } = reader;
    let none = || "-".to_owned();
    // The rule of a person's grant has its number already.
    let rule = match grant {
        Some(id) if bundle.is_some() => format!("{rule} (grant {id})"),
        _ => rule.clone(),
    };
    vec![
        format!("{}:{name}", kind.as_str().replace('_', "-")),
        rule,
        bundle.as_ref().map_or_else(none, ToString::to_string),
        until.map_or_else(none, seconds),
        through.as_ref().map_or_else(none, ToString::to_string),
    ]
}
