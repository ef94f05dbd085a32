//! `enclii audit verify`.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use audit::{Checkpoint, Finding, Kind, PublicKey, Record, Report, Start, Verifier};

use super::source;
use crate::client::Client;
use crate::common::{Connection, Format};
use crate::error::Error;
use crate::output::Output;

/// Check that nobody edited, deleted, inserted, reordered or cut off events. Exit code 7: somebody
/// did.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  enclii audit verify --checkpoints /mnt/elsewhere/checkpoints.jsonl --key audit.pub\n  enclii audit verify --file audit.jsonl --checkpoints /mnt/elsewhere --key audit.pub\n\nThe end of a trail can be cut off, and all of it can be written anew, by whoever has the database; only\ncheckpoints that were kept elsewhere show that."
)]
pub(crate) struct Args {
    /// Verify this export (jsonl) instead of asking switchyard.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The file of checkpoints that was kept elsewhere, or its directory.
    #[arg(long, value_name = "FILE")]
    checkpoints: Option<PathBuf>,
    /// The public keys that signed them (PEM); without it, switchyard is asked for its key.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The file is an export of a part, and need not begin with record 1.
    #[arg(long, requires = "file")]
    partial: bool,
    #[command(flatten)]
    connection: Connection,
    /// How to print what was found.
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let mut checkpoints =
        args.checkpoints.as_deref().map(read_checkpoints).transpose()?.unwrap_or_default();
    let mut keys = args.key.as_deref().map(read_keys).transpose()?.unwrap_or_default();
    let outside = checkpoints.len();
    let start = if args.partial { Start::Anywhere } else { Start::Origin };
    let report = if let Some(path) = &args.file {
        if outside > 0 && keys.is_empty() {
            return Err(Error::Usage(
                "checkpoints of a file need --key, the public key that signed them".to_owned(),
            ));
        }
        let mut verifier = Verifier::new(start, checkpoints, &keys);
        each_line(path, |record| verifier.take(&record))?;
        verifier.finish()
    } else {
        let client = Client::new(&args.connection, output)?;
        let theirs = source::checkpoints(&client).await?;
        if args.key.is_none()
            && let Some(pem) = &theirs.public_key
        {
            keys = PublicKey::all_from_pem(pem).map_err(|error| Error::Start(error.to_string()))?;
        }
        // Those of the database are compared where there are keys for them; those from elsewhere
        // always are.
        checkpoints.extend(
            theirs
                .checkpoints
                .into_iter()
                .filter(|it| keys.iter().any(|key| key.id() == it.key_id)),
        );
        online(&client, Verifier::new(start, checkpoints, &keys), &theirs.head, output).await?
    };
    tell(&report, outside, args.output, output)?;
    report.finding.map_or(Ok(()), |finding| Err(Error::Tampered(finding.to_string())))
}

/// Verifies what switchyard has, page by page.
async fn online(
    client: &Client<'_>,
    mut verifier: Verifier,
    head: &source::Head,
    output: &Output,
) -> Result<Report, Error> {
    let (mut after, mut there) = (0, head.sequence == 0);
    loop {
        let page = source::page(client, after, source::PAGE, "").await?;
        for record in &page {
            there |= record.sequence == head.sequence && record.hash == head.hash;
            verifier.take(record);
        }
        output.detail(|| format!("{} records behind {after}", page.len()));
        match page.last() {
            // A number that does not grow would ask for the same page for ever.
            Some(last) if page.len() == source::PAGE && last.sequence > after => {
                after = last.sequence
            }
            _ => break,
        }
    }
    let mut report = verifier.finish();
    if report.finding.is_none() && !there {
        let next = report.last.map_or(0, |(last, _)| last) + 1;
        let kind = if next > head.sequence {
            Kind::Rewritten { until: head.sequence }
        } else {
            Kind::CutOff { until: head.sequence }
        };
        report.finding = Some(Finding { sequence: next.min(head.sequence), kind });
    }
    Ok(report)
}

fn tell(report: &Report, outside: usize, format: Format, output: &Output) -> Result<(), Error> {
    if format == Format::Json {
        return output.json(report);
    }
    let Some((last, hash)) = report.last else {
        output.line("no record was right");
        return Ok(());
    };
    let first = report.first.unwrap_or(1);
    output.line(&format!("records {first} to {last} hang together; the hash of {last} is {hash}"));
    if let Some((signed, at)) = report.signed {
        output.line(&format!(
            "{} checkpoints agree; the last one is of record {signed}, signed at {at}",
            report.checkpoints
        ));
    }
    if outside == 0 {
        output.note(
            "no checkpoints from elsewhere were compared: that the end was cut off or all was rewritten would not show (--checkpoints)",
        );
    }
    if report.partial && !report.anchored {
        output.note(&format!(
            "nothing vouches for record {first} itself: what comes before it is not here"
        ));
    }
    if report.finding.is_none() {
        output.done("nobody changed the audit trail");
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
            let reason = |_| format!("line {} is no checkpoint", at + 1);
            serde_json::from_str(line)
                .map_err(reason)
                .map_err(|reason| Error::Manifest { path: path.clone(), reason })
        })
        .collect()
}

fn read_keys(path: &Path) -> Result<Vec<PublicKey>, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    PublicKey::all_from_pem(&text)
        .map_err(|error| Error::Manifest { path: path.to_owned(), reason: error.to_string() })
}

fn each_line(path: &Path, mut take: impl FnMut(Record)) -> Result<(), Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    for (at, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(failed)?;
        let form = |_| Error::Tampered(format!("{}: line {} is no record", path.display(), at + 1));
        take(serde_json::from_str(&line).map_err(form)?);
    }
    Ok(())
}
