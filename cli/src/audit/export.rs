//! `enclii audit export`.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use audit::Format;
use jiff::Timestamp;
use runtime::logs::ErrorChain;

use super::span::Span;
use crate::client::Client;
use crate::common::Connection;
use crate::error::Error;
use crate::output::Output;

/// Take events along, as the form that a collector reads.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  enclii audit export --out audit.jsonl\n  enclii audit export --format ocsf --since 7d > week.ocsf.jsonl"
)]
pub(crate) struct Args {
    /// The form: jsonl can be verified, ocsf and cef are for collectors.
    #[arg(long, default_value_t = Format::Jsonl, value_name = "jsonl|ocsf|cef")]
    format: Format,
    #[command(flatten)]
    span: Span,
    /// Write to this file, which must not exist, instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let Args { format, span, out, connection } = args;
    let client = Client::new(&connection, output)?;
    let mut answer = client
        .stream(&format!("/v1/audit/export?format={format}{}", span.query(Timestamp::now())))
        .await?;
    let mut to = To::open(out)?;
    let (mut lines, mut ended, telling) = (0, true, io::stderr().is_terminal());
    loop {
        let piece = answer.chunk().await.map_err(|error| Error::Answer {
            address: connection.addr.clone(),
            reason: ErrorChain(&error).to_string(),
        })?;
        let Some(piece) = piece else { break };
        to.write(&piece)?;
        lines += piece.iter().filter(|byte| **byte == b'\n').count();
        ended = piece.ends_with(b"\n");
        if telling {
            // That a terminal cannot be told is no reason to stop.
            let _ = write!(io::stderr(), "\r{lines} events");
        }
    }
    if telling {
        let _ = writeln!(io::stderr());
    }
    if !ended {
        return Err(Error::Answer {
            address: connection.addr,
            reason: "the last line is cut short".to_owned(),
        });
    }
    let place = to.finish()?;
    if let Some(path) = place {
        output.done(&format!("{lines} events in {}", path.display()));
    }
    Ok(())
}

/// Where events go.
enum To {
    Standard(io::Stdout),
    File(PathBuf, File),
}

impl To {
    fn open(path: Option<PathBuf>) -> Result<Self, Error> {
        let Some(path) = path else { return Ok(Self::Standard(io::stdout())) };
        // Who read what is nobody else's business.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => Ok(Self::File(path, file)),
            Err(source) => Err(Error::Write { path, source }),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Self::Standard(out) => out.write_all(bytes).map_err(Error::Stdout),
            Self::File(path, file) => {
                file.write_all(bytes).map_err(|source| Error::Write { path: path.clone(), source })
            }
        }
    }

    fn finish(self) -> Result<Option<PathBuf>, Error> {
        match self {
            Self::Standard(mut out) => out.flush().map(|()| None).map_err(Error::Stdout),
            Self::File(path, file) => match file.sync_all() {
                Ok(()) => Ok(Some(path)),
                Err(source) => Err(Error::Write { path, source }),
            },
        }
    }
}
