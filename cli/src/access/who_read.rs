//! `enclii access who-read`.

use contract::api::{SecretRead, SecretReadList};
use jiff::Timestamp;
use serde::Serialize;

use super::target::AccessTarget;
use crate::audit::TimeRange;
use crate::client::Client;
use crate::common_args::{ConnectionArgs, OutputFormat};
use crate::error::Error;
use crate::output::{Output, seconds};

/// The most reads that one request returns.
const MAX_PAGE_LEN: usize = 1000;

/// List who read a secret, newest first: people, tokens, and the pods that it was delivered to.
///
/// The list is made from the audit log. An admin of a scope gets the reads in that scope.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  enclii access who-read shop.prod.api/DATABASE_URL --since 7d
  enclii access who-read shop/SIGNING_KEY --by pod --output json")]
pub(crate) struct WhoReadArgs {
    /// The secret: SCOPE/NAME.
    #[arg(value_parser = parse_secret)]
    secret: AccessTarget,
    /// Only reads by pods, tokens or people.
    #[arg(long, value_parser = ["pod", "token", "user", "workload"])]
    by: Option<String>,
    #[command(flatten)]
    range: TimeRange,
    /// The maximum number of reads.
    #[arg(long, default_value_t = 100, value_name = "NUMBER")]
    limit: usize,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    output: OutputFormat,
}

/// The JSON output.
#[derive(Serialize)]
struct ReadReport<'a> {
    reads: &'a [SecretRead],
    #[serde(skip_serializing_if = "Option::is_none")]
    known_since: Option<Timestamp>,
}

pub(super) async fn run(args: WhoReadArgs, output: &Output) -> Result<(), Error> {
    let WhoReadArgs { secret, by, range, limit, connection, output: format } = args;
    let AccessTarget { scope, secret: Some(name) } = secret else {
        return Err(Error::System("name a secret".to_owned()));
    };
    let client = Client::new(&connection, output)?;
    let by = by.map(|it| format!("&by={it}")).unwrap_or_default();
    let range = range.query(Timestamp::now());
    let (mut reads, mut before, mut known_since) = (Vec::new(), String::new(), None);
    let more = loop {
        let size = (limit - reads.len()).clamp(1, MAX_PAGE_LEN);
        let path =
            format!("/v1/access/reads?scope={scope}&secret={name}{by}{range}&limit={size}{before}");
        let page: SecretReadList = client.get(&path).await?;
        reads.extend(page.reads);
        known_since = known_since.max(page.known_since);
        match page.next {
            Some(next) if reads.len() < limit => before = format!("&before={next}"),
            next => break next.is_some(),
        }
    };
    reads.truncate(limit);
    if format == OutputFormat::Json {
        return output.json(&ReadReport { reads: &reads, known_since });
    }
    if let Some(at) = known_since {
        output.note(&format!(
            "deliveries to pods before {} may be missing: what generations held then was pruned",
            seconds(at)
        ));
    }
    if reads.is_empty() {
        output.note("the audit log has no such read");
        return Ok(());
    }
    let header = ["TIME", "WHO", "POD", "VERSION", "BUNDLE", "FROM", "TRACE"];
    output.table(&header, &reads.iter().map(row).collect::<Vec<_>>());
    if reads.iter().any(|it| it.uncertain) {
        output.note("?: the audit event is too short to tell whether the secret was in the bundle");
    }
    if more {
        output.note(&format!("there may be more reads: --limit is {limit}"));
    }
    Ok(())
}

fn row(read: &SecretRead) -> Vec<String> {
    let text = |it: &Option<String>| it.clone().unwrap_or_else(|| "-".to_owned());
    let bundle = match (&read.bundle, read.generation) {
        (Some(bundle), Some(generation)) => {
            format!("{bundle}@{generation}{}", if read.uncertain { "?" } else { "" })
        }
        _ => "-".to_owned(),
    };
    vec![
        read.at.to_string(),
        read.reader.clone(),
        text(&read.pod),
        read.version.map_or_else(|| "-".to_owned(), |it| it.to_string()),
        bundle,
        text(&read.address),
        text(&read.trace_id),
    ]
}

fn parse_secret(text: &str) -> Result<AccessTarget, String> {
    let target: AccessTarget = text.parse()?;
    match target.secret {
        Some(_) => Ok(target),
        None => Err("must be SCOPE/NAME, such as shop.prod.api/DATABASE_URL".to_owned()),
    }
}
