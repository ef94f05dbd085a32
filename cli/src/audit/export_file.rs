//! An export of the audit log in a file, which is to be verified.
//!
//! A file that is no complete export in jsonl is not a sign of tampering: it says what it is, and
//! what to do.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use audit::{Format, Record};

use crate::error::Error;

/// Records that show in which order a file is.
const ORDER_LEN: usize = 3;

/// Reads an export record by record. `partial`: it does not have to start with record 1. Returns
/// how many records it has.
///
/// # Errors
/// If the file cannot be read, is no export that can be verified, or has a line in the middle that
/// is no record.
pub(super) fn each_record(
    path: &Path,
    partial: bool,
    mut take: impl FnMut(&Record),
) -> Result<u64, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    // The first records, until there are enough of them to tell what the file is.
    let mut first: Option<Vec<Record>> = Some(Vec::with_capacity(ORDER_LEN));
    let mut count = 0;
    for (at, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(failed)?;
        let record: Record = serde_json::from_str(&line).map_err(|_| match at {
            0 => not_verifiable(path, &describe_foreign(&line)),
            _ => Error::Tampered(format!("{}: line {} is not a record", path.display(), at + 1)),
        })?;
        count += 1;
        match &mut first {
            None => take(&record),
            Some(records) => {
                records.push(record);
                if records.len() == ORDER_LEN {
                    check_start(path, records, partial)?;
                    first.take().iter().flatten().for_each(&mut take);
                }
            }
        }
    }
    if let Some(records) = first {
        check_start(path, &records, partial)?;
        records.iter().for_each(take);
    }
    Ok(count)
}

/// Checks that the first records are the start of an export.
fn check_start(path: &Path, records: &[Record], partial: bool) -> Result<(), Error> {
    let Some(first) = records.first() else { return Ok(()) };
    let is_descending = records.is_sorted_by(|one, next| one.sequence > next.sequence);
    if records.len() > 1 && is_descending {
        return Err(not_verifiable(
            path,
            "its records are newest first, as 'enclii audit list' prints them; export the log with \
             'enclii audit export'",
        ));
    }
    let lowest = records.iter().map(|it| it.sequence).min().unwrap_or(first.sequence);
    if partial || lowest <= 1 {
        return Ok(());
    }
    let missing = match lowest - 1 {
        1 => "record 1 is missing".to_owned(),
        last => format!("records 1 to {last} are missing"),
    };
    Err(not_verifiable(
        path,
        &format!(
            "it begins with record {lowest}: {missing}, because it is a part of the log (--since) \
             or because somebody removed them; --partial verifies the rest"
        ),
    ))
}

fn describe_foreign(line: &str) -> String {
    match Format::detect(line) {
        Some(format) => format!(
            "it is an export in the format {format}, which is for collectors; only jsonl can be \
             verified: enclii audit export --format jsonl"
        ),
        None => "its first line is not a record, so it is not an export of the audit log in the \
                 format jsonl"
            .to_owned(),
    }
}

/// The error for a file that says nothing about tampering.
pub(super) fn not_verifiable(path: &Path, reason: &str) -> Error {
    Error::NotVerifiable { path: path.to_owned(), reason: reason.to_owned() }
}
