//! `enclii audit list`.

use std::time::Duration;

use audit::{Action, Outcome, Record};
use contract::text::{escape, escape_json};
use contract::{Scope, SecretName};
use jiff::Timestamp;

use super::fetch::{self, PageStart};
use super::time_range::TimeRange;
use crate::client::Client;
use crate::common_args::{ConnectionArgs, OutputFormat, words};
use crate::error::Error;
use crate::output::Output;

/// How often --follow asks for new events.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// List events, newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  enclii audit list --since 2h --outcome denied\n  \
                  enclii audit list --secret shop.prod.api/DATABASE_URL --since 2026-11-01\n  \
                  enclii audit list --scope shop.prod --action read --follow\n  \
                  enclii audit list --since 1d --output json | jq .actor_id")]
pub(crate) struct ListEventsArgs {
    #[command(flatten)]
    range: TimeRange,
    /// Only events of this action.
    #[arg(long, value_parser = words(Action::ALL, Action::as_str))]
    action: Option<Action>,
    /// Only events of this actor, as the list shows it: user:NAME, token:NAME or
    /// pod:NAMESPACE/SERVICE-ACCOUNT; or only its name.
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
    /// Only events in this scope and below it: project, project.environment or
    /// project.environment.service.
    #[arg(long)]
    scope: Option<String>,
    /// Only events about this secret: SCOPE/NAME, or NAME in any scope.
    #[arg(long, value_name = "[SCOPE/]NAME", value_parser = parse_secret)]
    secret: Option<String>,
    /// Only events with this outcome.
    #[arg(long, value_parser = words(Outcome::ALL, Outcome::as_str))]
    outcome: Option<Outcome>,
    /// The maximum number of events; with --follow, of past events.
    #[arg(long, default_value_t = 1000, value_name = "NUMBER")]
    limit: usize,
    /// The oldest event first, and from the oldest one on; --follow prints in this order anyway.
    #[arg(long)]
    oldest_first: bool,
    /// Continue with new events as they happen.
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How to print events; json is one event per line.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    output: OutputFormat,
}

pub(crate) async fn run(args: ListEventsArgs, output: &Output) -> Result<(), Error> {
    let client = Client::new(&args.connection, output)?;
    let listing = Listing { client: &client, filter: args.filter(), format: args.output, output };
    if args.follow {
        return listing.follow(args.limit).await;
    }
    let start = if args.oldest_first { PageStart::After(0) } else { PageStart::Newest };
    let (printed, more) = listing
        .pages(start, args.limit, |page, is_first| {
            print(page, args.output, is_first, output);
        })
        .await?;
    if more {
        output.note(&format!("there may be more events: --limit is {}", args.limit));
    } else if printed == 0 {
        output.note("no event matches");
    }
    Ok(())
}

/// What is listed, and how it is printed.
struct Listing<'a> {
    client: &'a Client<'a>,
    filter: String,
    format: OutputFormat,
    output: &'a Output,
}

impl Listing<'_> {
    /// Takes pages of at most `limit` records in all. Returns how many there were, and whether
    /// there may be more.
    async fn pages(
        &self,
        mut start: PageStart,
        limit: usize,
        mut take: impl FnMut(&[Record], bool),
    ) -> Result<(usize, bool), Error> {
        let mut taken = 0;
        loop {
            let wanted = (limit - taken).min(fetch::MAX_PAGE_LEN);
            let page = fetch::page(self.client, start, wanted, &self.filter).await?;
            take(&page, taken == 0);
            taken += page.len().min(limit - taken);
            if self.output.is_closed() {
                return Ok((taken, false));
            }
            let is_full = page.len() >= wanted;
            let Some(last) = page.last().filter(|_| is_full && taken < limit) else {
                return Ok((taken, is_full));
            };
            start = match start {
                PageStart::After(_) => PageStart::After(last.sequence),
                PageStart::Newest | PageStart::Before(_) => PageStart::Before(last.sequence),
            };
        }
    }

    /// Prints the last `limit` events, and then new ones as they happen.
    async fn follow(&self, limit: usize) -> Result<(), Error> {
        let mut past = Vec::new();
        self.pages(PageStart::Newest, limit, |page, _| past.extend_from_slice(page)).await?;
        past.reverse();
        let mut after = past.last().map_or(0, |record| record.sequence);
        print(&past, self.format, true, self.output);
        let mut any = !past.is_empty();
        drop(past);
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            let start = PageStart::After(after);
            let new = |page: &[Record], _| {
                print(page, self.format, !any, self.output);
                any |= !page.is_empty();
                after = page.last().map_or(after, |record| record.sequence);
            };
            self.pages(start, usize::MAX, new).await?;
            if self.output.is_closed() {
                return Ok(());
            }
        }
    }
}

impl ListEventsArgs {
    fn filter(&self) -> String {
        let mut filter = self.range.query(Timestamp::now());
        let texts = [
            ("action", self.action.map(Action::as_str)),
            ("actor", self.actor.as_deref()),
            ("scope", self.scope.as_deref()),
            ("secret", self.secret.as_deref()),
            ("outcome", self.outcome.map(Outcome::as_str)),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                filter.push_str(&format!("&{name}={}", percent_encoded(text)));
            }
        }
        filter
    }
}

/// The text as a query parameter.
fn percent_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn print(page: &[Record], format: OutputFormat, with_header: bool, output: &Output) {
    if format == OutputFormat::Json {
        for record in page {
            output.line(&escape_json(&audit::Format::Jsonl.line(record)));
        }
        return;
    }
    if page.is_empty() {
        return;
    }
    let header =
        ["NUMBER", "TIME", "WHO", "ACTION", "WHAT", "VERSION", "OUTCOME", "FROM", "DETAILS"];
    let rows: Vec<_> = page.iter().map(row).collect();
    if with_header {
        output.table(&header, &rows)
    } else {
        rows.iter().for_each(|row| output.line(&row.join("  ")))
    }
}

fn row(record: &Record) -> Vec<String> {
    let what = match &record.scope {
        Some(scope) if *scope != record.resource_id => format!("{scope} {}", record.resource_id),
        _ => record.resource_id.clone(),
    };
    let cells = [
        record.sequence.to_string(),
        record.at.to_string(),
        record.actor(),
        record.action.clone(),
        what,
        record.version.map_or_else(|| "-".to_owned(), |version| version.to_string()),
        record.outcome.clone(),
        record.address.clone().unwrap_or_else(|| "-".to_owned()),
        record.details.clone().unwrap_or_default(),
    ];
    // Whoever writes the database must not be able to act on the terminal.
    cells.map(|cell| escape(&cell).into_owned()).into()
}

/// A name, or a scope and a name. Switchyard takes it as it is.
fn parse_secret(text: &str) -> Result<String, String> {
    let (scope, name) = match text.split_once('/') {
        None => (None, text),
        Some((scope, name)) => (Some(scope), name),
    };
    let fits = scope.is_none_or(|it| it.parse::<Scope>().is_ok());
    if fits && name.parse::<SecretName>().is_ok() {
        Ok(text.to_owned())
    } else {
        Err("must be NAME, or SCOPE/NAME such as shop.prod.api/DATABASE_URL".to_owned())
    }
}
