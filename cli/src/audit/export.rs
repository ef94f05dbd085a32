//! `enclii audit export`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use audit::Format;
use jiff::Timestamp;
use runtime::logs::ErrorChain;

use super::time_range::TimeRange;
use crate::client::Client;
use crate::common_args::{ConnectionArgs, words};
use crate::error::Error;
use crate::output::Output;

/// Export events in a format that a collector reads.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  enclii audit export --out audit.jsonl\n  \
                  enclii audit export --format ocsf --since 7d > week.ocsf.jsonl")]
pub(crate) struct ExportEventsArgs {
    /// The format: jsonl can be verified, ocsf and cef are for collectors.
    #[arg(
        long,
        default_value_t = Format::Jsonl,
        value_parser = words(&Format::ALL, Format::as_str)
    )]
    format: Format,
    #[command(flatten)]
    range: TimeRange,
    /// Write to this file, which must not exist, instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: ExportEventsArgs, output: &Output) -> Result<(), Error> {
    let ExportEventsArgs { format, range, out, connection } = args;
    // Before switchyard is asked: an export is itself an audit event.
    let mut target = ExportTarget::open(out)?;
    let client = Client::new(&connection, output)?;
    let mut response = client
        .stream(&format!("/v1/audit/export?format={format}{}", range.query(Timestamp::now())))
        .await?;
    let progress = output.counter("events");
    let (mut lines, mut complete) = (0, true);
    loop {
        let chunk = response.chunk().await.map_err(|error| Error::Response {
            address: connection.addr.clone(),
            reason: ErrorChain(&error).to_string(),
        })?;
        let Some(chunk) = chunk else { break };
        target.write(&chunk, output)?;
        if output.is_closed() {
            return Ok(());
        }
        lines += chunk.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        complete = chunk.ends_with(b"\n");
        progress.set(lines);
    }
    drop(progress);
    if !complete {
        return Err(Error::Response {
            address: connection.addr,
            reason: "the last line is incomplete".to_owned(),
        });
    }
    if let Some(path) = target.finish()? {
        output.success(&format!("{lines} events in {}", path.display()));
    }
    Ok(())
}

/// Where the events are written. A file that is not finished is removed.
enum ExportTarget {
    Stdout,
    File(NewFile),
}

impl ExportTarget {
    fn open(path: Option<PathBuf>) -> Result<Self, Error> {
        let Some(path) = path else { return Ok(Self::Stdout) };
        // Only its owner may read who did what.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => Ok(Self::File(NewFile { path, file, finished: false })),
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::FileExists { path, advice: "choose another path" })
            }
            Err(source) => Err(Error::Write { path, source }),
        }
    }

    fn write(&mut self, bytes: &[u8], output: &Output) -> Result<(), Error> {
        match self {
            Self::Stdout => {
                output.piece(bytes);
                Ok(())
            }
            Self::File(new) => new
                .file
                .write_all(bytes)
                .map_err(|source| Error::Write { path: new.path.clone(), source }),
        }
    }

    fn finish(self) -> Result<Option<PathBuf>, Error> {
        match self {
            // The output itself is flushed at the end.
            Self::Stdout => Ok(None),
            Self::File(mut new) => match new.file.sync_all() {
                Ok(()) => {
                    new.finished = true;
                    Ok(Some(new.path.clone()))
                }
                Err(source) => Err(Error::Write { path: new.path.clone(), source }),
            },
        }
    }
}

/// A file that this command created.
struct NewFile {
    path: PathBuf,
    file: File,
    finished: bool,
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.finished {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
