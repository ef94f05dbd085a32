//! `enclii audit list`.

use std::time::Duration;

use audit::{Action, Outcome, Record};
use jiff::Timestamp;

use super::fetch;
use super::time_range::TimeRange;
use crate::client::Client;
use crate::common_args::{ConnectionArgs, OutputFormat};
use crate::error::Error;
use crate::output::Output;

/// How often --follow asks for new events.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// List events, oldest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  enclii audit list --since 2h --outcome denied\n  \
                  enclii audit list --scope shop.prod --action read --follow\n  \
                  enclii audit list --since 1d --output json | jq .actor_id")]
pub(crate) struct ListEventsArgs {
    #[command(flatten)]
    range: TimeRange,
    /// Only events of this action: read, write, delete, denied, login, …
    #[arg(long, value_parser = parse_action)]
    action: Option<Action>,
    /// Only events of this actor: a person, a token, or a pod's namespace/service-account.
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Only events in this scope and below it: project, project.environment or
    /// project.environment.service.
    #[arg(long)]
    scope: Option<String>,
    /// Only events with this outcome: allowed, denied or failed.
    #[arg(long, value_parser = parse_outcome)]
    outcome: Option<Outcome>,
    /// The maximum number of events; with --follow, of past events.
    #[arg(long, default_value_t = 1000, value_name = "NUMBER")]
    limit: usize,
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
    let filter = args.filter();
    let (mut after, mut left, mut any) = (0, args.limit, false);
    loop {
        let page = fetch::page(&client, after, left.min(fetch::MAX_PAGE_LEN), &filter).await?;
        let full = page.len() == left.min(fetch::MAX_PAGE_LEN);
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
                output.note(&format!("there may be more events: --limit is {}", args.limit));
            } else if !any {
                output.note("no event matches");
            }
            return Ok(());
        }
        left = usize::MAX;
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

impl ListEventsArgs {
    fn filter(&self) -> String {
        let mut filter = self.range.query(Timestamp::now());
        let texts = [
            ("action", self.action.map(Action::as_str)),
            ("actor", self.actor.as_deref()),
            ("scope", self.scope.as_deref()),
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
        page.iter().for_each(|record| output.line(&audit::Format::Jsonl.line(record)));
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
    // Whoever writes the database must not be able to act on the terminal.
    cells
        .map(|cell| cell.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect())
        .into()
}

fn parse_action(word: &str) -> Result<Action, String> {
    let known = || Action::ALL.iter().map(|action| action.as_str()).collect::<Vec<_>>().join(", ");
    Action::parse(word).ok_or_else(|| format!("must be one of {}", known()))
}

fn parse_outcome(word: &str) -> Result<Outcome, String> {
    Outcome::parse(word).ok_or_else(|| "must be one of allowed, denied, failed".to_owned())
}
