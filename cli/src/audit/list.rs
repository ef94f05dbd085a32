//! `enclii audit list`.

use std::time::Duration;

use audit::{Action, Format as Form, Outcome, Record};
use jiff::Timestamp;

use super::source;
use super::span::Span;
use crate::client::Client;
use crate::common::{Connection, Format};
use crate::error::Error;
use crate::output::Output;

/// How often the trail is asked for new events.
const EVERY: Duration = Duration::from_secs(2);

/// List events, oldest first.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  enclii audit list --since 2h --outcome denied\n  enclii audit list --scope shop.prod --action read --follow\n  enclii audit list --since 1d --output json | jq .actor_id"
)]
pub(crate) struct Args {
    #[command(flatten)]
    span: Span,
    /// Events of this action: read, write, delete, denied, login, …
    #[arg(long, value_parser = action)]
    action: Option<Action>,
    /// Events of this actor: a person, a token, or a pod's namespace/service-account.
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Events in this scope and below: project, project.environment or project.environment.service.
    #[arg(long)]
    scope: Option<String>,
    /// Events that ended so: allowed, denied or failed.
    #[arg(long, value_parser = outcome)]
    outcome: Option<Outcome>,
    /// The most events; with --follow, only those of the start.
    #[arg(long, default_value_t = 1000, value_name = "NUMBER")]
    limit: usize,
    /// Go on with what happens from now on.
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    connection: Connection,
    /// How to print events; json is one event a line.
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let client = Client::new(&args.connection, output)?;
    let filter = args.filter();
    let (mut after, mut left, mut any) = (0, args.limit, false);
    loop {
        let page = source::page(&client, after, left.min(source::PAGE), &filter).await?;
        let full = page.len() == left.min(source::PAGE);
        if let Some(last) = page.last() {
            after = last.sequence;
        }
        print(&page, args.output, !any, output);
        any |= !page.is_empty();
        left -= page.len().min(left);
        if full && left > 0 {
            continue;
        }
        if !args.follow {
            if full {
                output.note(&format!("there may be more: --limit is {}", args.limit));
            } else if !any {
                output.note("no event is so");
            }
            return Ok(());
        }
        left = usize::MAX;
        tokio::time::sleep(EVERY).await;
    }
}

impl Args {
    fn filter(&self) -> String {
        let mut filter = self.span.query(Timestamp::now());
        let texts = [
            ("action", self.action.map(Action::as_str)),
            ("actor", self.actor.as_deref()),
            ("scope", self.scope.as_deref()),
            ("outcome", self.outcome.map(Outcome::as_str)),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                filter.push_str(&format!("&{name}={}", escaped(text)));
            }
        }
        filter
    }
}

/// A text as it may stand in a query.
fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn print(page: &[Record], format: Format, head: bool, output: &Output) {
    if format == Format::Json {
        page.iter().for_each(|record| output.line(&Form::Jsonl.line(record)));
        return;
    }
    if page.is_empty() {
        return;
    }
    let header =
        ["NUMBER", "TIME", "WHO", "ACTION", "WHAT", "VERSION", "OUTCOME", "FROM", "DETAILS"];
    let rows: Vec<_> = page.iter().map(row).collect();
    if head {
        output.table(&header, &rows)
    } else {
        rows.iter().for_each(|row| output.line(&row.join("  ")))
    }
}

fn row(record: &Record) -> Vec<String> {
    let who = if record.actor_id.is_empty() {
        record.actor_type.clone()
    } else {
        format!("{} {}", record.actor_type, record.actor_id)
    };
    let what = match &record.scope {
        Some(scope) if *scope != record.resource_id => format!("{scope} {}", record.resource_id),
        _ => record.resource_id.clone(),
    };
    let cells = [
        record.sequence.to_string(),
        record.at.to_string(),
        who,
        record.action.clone(),
        what,
        record.version.map_or_else(|| "-".to_owned(), |version| version.to_string()),
        record.outcome.clone(),
        record.address.clone().unwrap_or_else(|| "-".to_owned()),
        record.details.clone().unwrap_or_default(),
    ];
    // What a database says is shown to a terminal here.
    cells
        .map(|cell| cell.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect())
        .into()
}

fn action(word: &str) -> Result<Action, String> {
    let known = || Action::ALL.iter().map(|action| action.as_str()).collect::<Vec<_>>().join(", ");
    Action::parse(word).ok_or_else(|| format!("it is one of {}", known()))
}

fn outcome(word: &str) -> Result<Outcome, String> {
    Outcome::parse(word).ok_or_else(|| "it is one of allowed, denied, failed".to_owned())
}
