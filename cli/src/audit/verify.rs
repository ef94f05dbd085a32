//! `enclii audit verify`.

use std::path::{Path, PathBuf};

use audit::{Checkpoint, Finding, PublicKey, Report, StartingPoint, Tampering, Verifier};

use super::export_file::{each_record, not_verifiable};
use super::fetch::{self, PageStart};
use crate::client::Client;
use crate::common_args::{ConnectionArgs, OutputFormat};
use crate::error::Error;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  enclii audit verify --checkpoints /mnt/elsewhere/checkpoints.jsonl --key audit.pub
  enclii audit verify --file audit.jsonl --checkpoints /mnt/elsewhere --key audit.pub

Somebody with access to the database can truncate the audit log or rewrite all of it. Only
checkpoints that are stored elsewhere reveal that.";

/// Verify that nobody edited, deleted, inserted, reordered or truncated events. Exit code 7 means
/// that somebody did; 8 means that the file cannot tell, because it is no complete export in jsonl.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    /// Verify this export (jsonl) instead of asking switchyard.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The file of checkpoints that was stored elsewhere, or its directory.
    #[arg(long, value_name = "FILE")]
    checkpoints: Option<PathBuf>,
    /// The public keys that signed them (PEM); without it, switchyard's current key is used.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The file is a partial export, which does not have to start with record 1.
    #[arg(long, requires = "file")]
    partial: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How to print the result.
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    output: OutputFormat,
}

pub(crate) async fn run(args: VerifyArgs, output: &Output) -> Result<(), Error> {
    let mut checkpoints =
        args.checkpoints.as_deref().map(read_checkpoints).transpose()?.unwrap_or_default();
    let mut keys = args.key.as_deref().map(read_keys).transpose()?.unwrap_or_default();
    let external = checkpoints.len();
    let start = if args.partial { StartingPoint::Anywhere } else { StartingPoint::Genesis };
    let report = if let Some(path) = &args.file {
        if external > 0 && keys.is_empty() {
            return Err(Error::Usage(
                "--checkpoints with --file needs --key, the public key that signed them".to_owned(),
            ));
        }
        let mut verifier = Verifier::new(start, checkpoints, &keys);
        let records = each_record(path, args.partial, |record| verifier.push(record))?;
        if records == 0 && external == 0 {
            return Err(not_verifiable(path, "it holds no record"));
        }
        verifier.finish()
    } else {
        let client = Client::new(&args.connection, output)?;
        let stored = fetch::checkpoints(&client).await?;
        if args.key.is_none()
            && let Some(pem) = &stored.public_key
        {
            keys = PublicKey::all_from_pem(pem).map_err(|error| Error::Response {
                address: args.connection.addr.clone(),
                reason: error.to_string(),
            })?;
        }
        // Checkpoints in the database count only if their key is known; external ones always count.
        checkpoints.extend(
            stored
                .checkpoints
                .into_iter()
                .filter(|it| keys.iter().any(|key| key.id() == it.key_id)),
        );
        verify_online(&client, Verifier::new(start, checkpoints, &keys), &stored.head, output)
            .await?
    };
    print(&report, external, args.output, output)?;
    report.finding.map_or(Ok(()), |finding| Err(Error::Tampered(finding.to_string())))
}

/// Verifies the records of switchyard page by page.
async fn verify_online(
    client: &Client<'_>,
    mut verifier: Verifier,
    head: &fetch::LogHead,
    output: &Output,
) -> Result<Report, Error> {
    let (mut after, mut head_found) = (0, head.sequence == 0);
    loop {
        let start = PageStart::After(after);
        let page = fetch::page(client, start, fetch::MAX_PAGE_LEN, "").await?;
        for record in &page {
            head_found |= record.sequence == head.sequence && record.hash == head.hash;
            verifier.push(record);
        }
        output.verbose(|| format!("{} records after {after}", page.len()));
        match page.last() {
            // A sequence that does not grow would request the same page in an endless loop.
            Some(last) if page.len() == fetch::MAX_PAGE_LEN && last.sequence > after => {
                after = last.sequence
            }
            _ => break,
        }
    }
    let mut report = verifier.finish();
    if report.finding.is_none() && !head_found {
        let next = report.last.map_or(0, |(last, _)| last) + 1;
        let kind = if next > head.sequence {
            Tampering::Rewritten { until: head.sequence }
        } else {
            Tampering::CutOff { until: head.sequence }
        };
        report.finding = Some(Finding { sequence: next.min(head.sequence), kind });
    }
    Ok(report)
}

fn print(
    report: &Report,
    external: usize,
    format: OutputFormat,
    output: &Output,
) -> Result<(), Error> {
    if format == OutputFormat::Json {
        return output.json(report);
    }
    let Some((last, hash)) = report.last else {
        output.line("no record is valid");
        return Ok(());
    };
    let first = report.first.unwrap_or(1);
    output.line(&format!(
        "records {first} to {last} form an unbroken chain; the hash of {last} is {hash}"
    ));
    if let Some((signed, at)) = report.signed {
        output.line(&format!(
            "{} checkpoints match; the last one is of record {signed}, signed at {at}",
            report.checkpoints
        ));
    }
    if external == 0 {
        output.note(
            "no external checkpoints were compared, so a truncated or rewritten log would not be \
             detected (--checkpoints)",
        );
    }
    if report.partial && !report.anchored {
        output.note(&format!(
            "record {first} itself is not verified: the records before it are missing"
        ));
    }
    if report.finding.is_none() {
        output.success("nobody changed the audit log");
    }
    Ok(())
}

fn read_checkpoints(path: &Path) -> Result<Vec<Checkpoint>, Error> {
    let path = if path.is_dir() { path.join("checkpoints.jsonl") } else { path.to_owned() };
    let text = std::fs::read_to_string(&path)
        .map_err(|source| Error::Read { path: path.clone(), source })?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            let reason = |_| format!("line {} is not a checkpoint", at + 1);
            serde_json::from_str(line)
                .map_err(reason)
                .map_err(|reason| Error::Parse { path: path.clone(), reason })
        })
        .collect()
}

fn read_keys(path: &Path) -> Result<Vec<PublicKey>, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    PublicKey::all_from_pem(&text)
        .map_err(|error| Error::Parse { path: path.to_owned(), reason: error.to_string() })
}
