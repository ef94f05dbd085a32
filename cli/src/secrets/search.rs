//! `enclii secrets search`.

use contract::Scope;
use contract::api::SecretSummary;
use contract::metadata::{Tag, join_tags};
use jiff::Timestamp;
use serde::Serialize;

use super::expiry::expiry;
use crate::client::Client;
use crate::common_args::{
    ConnectionArgs, OutputFormat, TimeOrSpan, parse_future, parse_past, parse_scope,
};
use crate::error::Error;
use crate::output::{Output, seconds};

const EXAMPLES: &str = "\
Examples:
  enclii secrets search stripe                          (a part of the name, in whatever case)
  enclii secrets search --tag team=payments --tag pci   (both of them)
  enclii secrets search --expires-before 30d --in shop.prod
  enclii secrets search --unused 90d                    (that nobody read for so long)

All scopes are searched, whatever ENCLII_PROJECT says, as far as you may list their secrets. Values
and notes are not searched.";

/// Find secrets of all scopes by name, tag, expiry or last read, without values.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SearchArgs {
    /// A part of the name, in whatever case; without it, every name.
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// A tag that the secret has, with this value or with whatever value; may be given several
    /// times.
    #[arg(long, value_name = "KEY[=VALUE]")]
    tag: Vec<Tag>,
    /// Only secrets whose credential ends before this time, or has ended: a date (UTC), a time, or
    /// how long from now (30d).
    #[arg(long, value_name = "TIME", value_parser = parse_future)]
    expires_before: Option<TimeOrSpan>,
    /// Only secrets that nobody read since this time, neither a pod nor anybody else: a date (UTC),
    /// a time, or how long ago (90d). One that was never read counts from when it was first
    /// written.
    #[arg(long, value_name = "TIME", value_parser = parse_past)]
    unused: Option<TimeOrSpan>,
    /// Only this scope and those below it: shop, shop.prod or shop.prod.api.
    #[arg(long = "in", value_name = "SCOPE", value_parser = parse_scope)]
    within: Option<Scope>,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    output: OutputFormat,
}

/// The JSON output.
#[derive(Serialize)]
struct SearchReport<'a> {
    secrets: &'a [SecretSummary],
}

pub(crate) async fn run(args: SearchArgs, output: &Output) -> Result<(), Error> {
    let now = Timestamp::now();
    let tag = |Tag { key, value }: &Tag| match value {
        Some(value) => format!("{key}={value}"),
        None => key.to_string(),
    };
    let filters = [
        ("q", args.text),
        ("tag", Some(args.tag.iter().map(tag).collect::<Vec<_>>().join(","))),
        ("expiring_before", args.expires_before.map(|it| it.after(now).to_string())),
        ("unused_since", args.unused.map(|it| it.before(now).to_string())),
        ("scope", args.within.map(|it| it.to_string())),
    ];
    let filters: Vec<_> = filters
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.filter(|it| !it.is_empty())?)))
        .collect();
    let found = Client::new(&args.connection, output)?.search(&filters).await?;
    if args.output == OutputFormat::Json {
        return output.json(&SearchReport { secrets: &found });
    }
    if found.is_empty() {
        output.note("nothing was found among the secrets that you may list");
        return Ok(());
    }
    let has_expiry = found.iter().any(|it| it.metadata.expires_at.is_some());
    let has_tags = found.iter().any(|it| !it.metadata.tags.is_empty());
    let row = |it: &SecretSummary| {
        let version = it.version.to_string();
        let mut row =
            vec![it.scope.to_string(), it.name.to_string(), version, seconds(it.updated_at)];
        if has_expiry {
            let at = it.metadata.expires_at;
            row.push(at.map_or_else(|| "-".to_owned(), |at| expiry(at, now)));
        }
        if has_tags {
            row.push(join_tags(&it.metadata.tags));
        }
        row
    };
    let mut columns = vec!["SCOPE", "NAME", "VERSION", "UPDATED"];
    columns.extend(has_expiry.then_some("EXPIRES"));
    columns.extend(has_tags.then_some("TAGS"));
    output.table(&columns, &found.iter().map(row).collect::<Vec<_>>());
    Ok(())
}
