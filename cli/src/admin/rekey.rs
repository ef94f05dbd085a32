//! `enclii admin rekey`.

use std::time::Duration;

use contract::api::Rekey;
use reqwest::Method;

use crate::client::Client;
use crate::common::{Connection, Format};
use crate::error::Error;
use crate::output::Output;

const PATH: &str = "/v1/admin/rekey";

/// How often switchyard is asked how far it is.
const EVERY: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
Examples:
  enclii admin rekey --wait        (start, and wait until it is done)
  enclii admin rekey --status      (how far it is)

Give switchyard the new key as --key and the one of before as --key-previous first. Switchyard does
the work in the background and goes on with it after a restart; values stay readable all the time.
The previous key may go when no values remain under it, and it must stay for backups of before.";

/// Bring every value under the current key-encryption key.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Wait until it is done; the exit code says whether every value came along.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Start nothing, say how far it is.
    #[arg(long)]
    pub(crate) status: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let Args { wait, status, connection, output: format } = args;
    let client = Client::new(&connection, output)?;
    let mut it: Rekey = client.call(if status { Method::GET } else { Method::POST }, PATH).await?;
    while wait && it.running {
        let done = it.total.saturating_sub(it.remaining);
        output.progress("values under the current key", count(done), count(it.total));
        tokio::time::sleep(EVERY).await;
        it = client.get(PATH).await?;
    }
    output.progress_ends();
    if format == Format::Json {
        output.json(&it)?;
    } else {
        for line in lines(&it) {
            output.line(&line);
        }
    }
    if wait && it.remaining > 0 { Err(Error::Unfinished(it.remaining)) } else { Ok(()) }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// What a person reads.
fn lines(it: &Rekey) -> Vec<String> {
    let Rekey { running, current_key, remaining, done, total, error } = it;
    let state = match (running, remaining) {
        (true, _) => "under way",
        (false, 0) => "done",
        (false, _) => "not done",
    };
    let mut lines = vec![
        format!("change of key: {state}"),
        format!("current key:   {current_key}"),
        format!(
            "values:        {} of {total} under it, {remaining} to do, {done} done in this run",
            total.saturating_sub(*remaining)
        ),
    ];
    lines.extend(error.iter().map(|error| format!("trouble:       {error}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_reads() {
        let it = Rekey {
            running: true,
            current_key: "abc".into(),
            remaining: 3,
            done: 4,
            total: 7,
            error: None,
        };
        assert_eq!(lines(&it)[0], "change of key: under way");
        assert_eq!(lines(&it)[2], "values:        4 of 7 under it, 3 to do, 4 done in this run");
        let it = Rekey { running: false, error: Some("1 values do not open".into()), ..it };
        assert_eq!((lines(&it)[0].as_str(), lines(&it).len()), ("change of key: not done", 4));
        let it = Rekey { remaining: 0, error: None, ..it };
        assert_eq!((lines(&it)[0].as_str(), lines(&it).len()), ("change of key: done", 3));
    }
}
