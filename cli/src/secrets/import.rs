//! `enclii secrets import`: writes the secrets of a file as one generation, except unchanged ones.

mod compare;

use std::collections::BTreeMap;
use std::path::PathBuf;

use contract::api::{NewValue, WriteRequest, Written};
use contract::{Scope, SecretName};
use serde::Serialize;

use self::compare::Change;
use super::file_args::KeyArgs;
use super::report;
use crate::client::Client;
use crate::common_args::{MessageArgs, OutputFormat, SecretArgs};
use crate::error::Error;
use crate::file_formats::FileFormat;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  enclii secrets import .env --service api --env prod --project shop --dry-run
  enclii secrets import secrets.json --service api --env prod --project shop
  kubectl get secret api -o yaml | enclii secrets import - --service api --env prod --project shop
  sops --decrypt prod.yaml | enclii secrets import - --format yaml --env prod --project shop
  enclii secrets import app.json --rename ConnectionStrings:Default=DB_URL --skip .dockerconfigjson

The format follows from the file's name or content: .env, a JSON or YAML object of strings (binary
values as {\"base64\": \"…\"}), Java .properties, or manifests of Kubernetes Secrets. Quote numbers,
true and false, so that their characters are kept. Values that another tool encrypted (SOPS,
dotenvx, Ansible Vault and others) are refused: decrypt the file first. Secrets that the file does
not name stay unchanged.

All changes become one generation of each bundle, or none is made. Current values are read for the
comparison, which adds audit events; without permission to read, every secret is written.";

/// Write the secrets of a .env, JSON, YAML, properties or Kubernetes Secret file.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ImportArgs {
    /// The file; `-` is standard input.
    file: PathBuf,
    /// The file's format, if its name and content do not determine it.
    #[arg(long, value_enum)]
    format: Option<FileFormat>,
    #[command(flatten)]
    keys: KeyArgs,
    /// Store values that another tool encrypted, or that refer to another tool's secret, as they
    /// are.
    #[arg(long)]
    literal: bool,
    /// Show what would be written without writing.
    #[arg(long)]
    dry_run: bool,
    /// Write every value as a new version without comparing.
    #[arg(long, conflicts_with = "dry_run")]
    rewrite: bool,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    request: SecretArgs,
}

/// The JSON output.
#[derive(Serialize)]
struct ImportReport<'a> {
    scope: &'a Scope,
    changes: &'a BTreeMap<SecretName, Change>,
    /// Absent if nothing was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<Written>,
}

pub(crate) async fn run(args: ImportArgs, output: &Output) -> Result<(), Error> {
    let ImportArgs {
        file,
        format: file_format,
        keys,
        literal,
        dry_run,
        rewrite,
        message: MessageArgs { message },
        request: SecretArgs { scope, connection, output: format },
    } = args;
    let scope = scope.scope()?;
    let parsed = keys.read(&file, file_format, literal)?;
    parsed.notes.iter().for_each(|note| output.note(note));
    if parsed.values.is_empty() {
        return Err(Error::Parse { path: file, reason: "the file has no secrets".to_owned() });
    }
    let client = Client::new(&connection, output)?;
    let changes = if rewrite {
        parsed.values.iter().map(|(name, _)| (name.clone(), Change::Rewritten)).collect()
    } else {
        compare::with_current(&client, &scope, &parsed.values, output).await?
    };
    let secrets: BTreeMap<_, _> = parsed
        .values
        .into_iter()
        .filter(|(name, _)| changes.get(name) != Some(&Change::Unchanged))
        .map(|(name, value)| (name, NewValue { message: message.clone(), ..NewValue::new(value) }))
        .collect();
    let written = if dry_run || secrets.is_empty() {
        None
    } else {
        Some(client.write(&scope, &WriteRequest { secrets }).await?)
    };
    if format == OutputFormat::Json {
        return output.json(&ImportReport { scope: &scope, changes: &changes, written });
    }
    print(&scope, &changes, written.as_ref(), dry_run, output);
    if let Some(written) = &written {
        report::created(&client, written, output).await;
    }
    Ok(())
}

fn print(
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
            .map(|(name, change)| vec![name.to_string(), change.to_string()])
            .collect();
        output.table(&["NAME", "CHANGE"], &rows);
    } else {
        let rows: Vec<_> = changes
            .iter()
            .map(|(name, change)| vec![name.to_string(), change.to_string(), version(name)])
            .collect();
        output.table(&["NAME", "CHANGE", "VERSION"], &rows);
    }
    let unchanged = changes.values().filter(|it| **it == Change::Unchanged).count();
    let changed = changes.len() - unchanged;
    match written {
        Some(written) => {
            output.success(&format!("{scope}: {changed} written, {unchanged} unchanged"));
            report::bundles(&written.bundles, output);
        }
        None if dry_run => output.note(&format!(
            "nothing was written: {changed} would be written, {unchanged} are unchanged"
        )),
        None => output.success(&format!("{scope}: nothing to write, {unchanged} unchanged")),
    }
}
