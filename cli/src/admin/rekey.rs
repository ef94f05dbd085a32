//! `enclii admin rekey`.

use std::time::Duration;

use contract::api::Rekey;
use reqwest::Method;

use crate::client::Client;
use crate::common_args::{ConnectionArgs, OutputFormat};
use crate::error::Error;
use crate::output::Output;

const PATH: &str = "/v1/admin/rekey";

/// How often --wait asks for the progress.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
Examples:
  enclii admin rekey --wait        (start, and wait until it is done)
  enclii admin rekey --status      (show the progress)

First give switchyard the new key as --key and the old one as --key-previous. Switchyard works in
the background and resumes after a restart; values stay readable throughout. Remove the previous
key when no values remain under it, and keep it for backups from before.";

/// Re-encrypt every value under the current key-encryption key.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RekeyArgs {
    /// Wait until it is done; the exit code is 1 if values remain under the previous key.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Show the progress without starting anything.
    #[arg(long)]
    pub(crate) status: bool,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
}

pub(crate) async fn run(args: RekeyArgs, output: &Output) -> Result<(), Error> {
    let RekeyArgs { wait, status: status_only, connection, output: format } = args;
    let client = Client::new(&connection, output)?;
    let mut status: Rekey =
        client.call(if status_only { Method::GET } else { Method::POST }, PATH).await?;
    let progress = output.progress("values under the current key", status.total);
    while wait && status.running {
        progress.set(status.total.saturating_sub(status.remaining));
        tokio::time::sleep(POLL_INTERVAL).await;
        status = client.get(PATH).await?;
    }
    drop(progress);
    if format == OutputFormat::Json {
        output.json(&status)?;
    } else {
        for line in lines(&status) {
            output.line(&line);
        }
    }
    if wait && status.remaining > 0 {
        Err(Error::RekeyIncomplete(status.remaining))
    } else {
        Ok(())
    }
}

/// The status for people.
fn lines(status: &Rekey) -> Vec<String> {
    let Rekey { running, current_key, remaining, done, total, error } = status;
    let state = match (running, remaining) {
        (true, _) => "running",
        (false, 0) => "done",
        (false, _) => "incomplete",
    };
    let mut lines = vec![
        format!("rekey:       {state}"),
        format!("current key: {current_key}"),
        format!(
            "values:      {} of {total} under it, {remaining} to do, {done} done in this run",
            total.saturating_sub(*remaining)
        ),
    ];
    lines.extend(error.iter().map(|error| format!("error:       {error}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_readable() {
        let it = Rekey {
            running: true,
            current_key: "abc".into(),
            remaining: 3,
            done: 4,
            total: 7,
            error: None,
        };
        assert_eq!(lines(&it)[0], "rekey:       running");
        assert_eq!(lines(&it)[2], "values:      4 of 7 under it, 3 to do, 4 done in this run");
        let it = Rekey { running: false, error: Some("1 values do not open".into()), ..it };
        assert_eq!((lines(&it)[0].as_str(), lines(&it).len()), ("rekey:       incomplete", 4));
        let it = Rekey { remaining: 0, error: None, ..it };
        assert_eq!((lines(&it)[0].as_str(), lines(&it).len()), ("rekey:       done", 3));
    }
}
