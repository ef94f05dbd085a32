//! `enclii secrets import`: a file's secrets become one generation, and what has not changed is
//! left alone.

mod compare;

use std::collections::BTreeMap;
use std::path::PathBuf;

use contract::api::{NewValue, WriteRequest, Written};
use contract::{Scope, SecretName};
use serde::Serialize;

use self::compare::Change;
use super::report;
use crate::client::Client;
use crate::common::{Format, Request, input};
use crate::error::Error;
use crate::output::Output;
use crate::values::{self, Form};

const EXAMPLES: &str = "\
Examples:
  enclii secrets import .env --service api --env prod --project shop --dry-run
  enclii secrets import secrets.json --service api --env prod --project shop
  kubectl get secret api -o yaml | enclii secrets import - --service api --env prod --project shop
  sops --decrypt prod.yaml | enclii secrets import - --format yaml --env prod --project shop

The form is known by the file's name or its text: .env, a JSON or YAML object of strings (bytes that
are no text as {\"base64\": \"…\"}), or manifests of Kubernetes Secrets. A number, true or false must
stand in quotes, so that its characters are certain. Secrets that the file lacks stay as they are.

What is written becomes one generation of each bundle, or nothing does. Present values are read to be
compared, which the audit trail shows; whoever may not read them writes them all.";

/// Write the secrets of a .env, JSON, YAML or Kubernetes Secret file.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The file; `-` is standard input.
    file: PathBuf,
    /// The file's form, where its name and text do not tell.
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// Say what would be written, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write every value as a new version, without comparing.
    #[arg(long, conflicts_with = "dry_run")]
    rewrite: bool,
    #[command(flatten)]
    request: Request,
}

/// What programs read of it.
#[derive(Serialize)]
struct Outcome<'a> {
    scope: &'a Scope,
    changes: &'a BTreeMap<SecretName, Change>,
    /// What was written; absent where nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<Written>,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let Args {
        file,
        format: form,
        dry_run,
        rewrite,
        request: Request { place, connection, output: format },
    } = args;
    let scope = place.scope()?;
    let read = values::read(input::file(&file)?.expose(), form, &file)
        .map_err(|reason| Error::Manifest { path: file.clone(), reason })?;
    read.notes.iter().for_each(|note| output.note(note));
    if read.values.is_empty() {
        return Err(Error::Manifest { path: file, reason: "there is no secret in it".to_owned() });
    }
    let client = Client::new(&connection, output)?;
    let changes = if rewrite {
        read.values.iter().map(|(name, _)| (name.clone(), Change::Rewritten)).collect()
    } else {
        compare::with_store(&client, &scope, &read.values, output).await?
    };
    let secrets: BTreeMap<_, _> = read
        .values
        .into_iter()
        .filter(|(name, _)| changes.get(name) != Some(&Change::Unchanged))
        .map(|(name, value)| (name, NewValue::new(value)))
        .collect();
    let written = if dry_run || secrets.is_empty() {
        None
    } else {
        Some(client.write(&scope, &WriteRequest { secrets }).await?)
    };
    if format == Format::Json {
        return output.json(&Outcome { scope: &scope, changes: &changes, written });
    }
    tell(&scope, &changes, written.as_ref(), dry_run, output);
    Ok(())
}

fn tell(
    scope: &Scope,
    changes: &BTreeMap<SecretName, Change>,
    written: Option<&Written>,
    dry_run: bool,
    output: &Output,
) {
    let version = |name| {
        written
            .and_then(|it| it.versions.get(name))
            .map_or_else(|| "-".to_owned(), ToString::to_string)
    };
    if dry_run {
        let rows: Vec<_> = changes
            .iter()
            .map(|(name, change)| vec![name.to_string(), change.as_str().to_owned()])
            .collect();
        output.table(&["NAME", "CHANGE"], &rows);
    } else {
        let rows: Vec<_> = changes
            .iter()
            .map(|(name, change)| vec![name.to_string(), change.as_str().to_owned(), version(name)])
            .collect();
        output.table(&["NAME", "CHANGE", "VERSION"], &rows);
    }
    let unchanged = changes.values().filter(|it| **it == Change::Unchanged).count();
    let rest = changes.len() - unchanged;
    match written {
        Some(written) => {
            output.done(&format!("{scope}: {rest} written, {unchanged} unchanged"));
            report::bundles(&written.bundles, output);
        }
        None if dry_run => {
            output.note(&format!("nothing was written; {rest} would be, {unchanged} are unchanged"))
        }
        None => output.done(&format!("{scope}: nothing to write, {unchanged} unchanged")),
    }
}
