//! `enclii secrets rotate`.

use contract::SecretName;
use contract::api::{Alphabet, Generate, RotateRequest, Written};
use serde::Serialize;

use super::report;
use super::value_source::ValueSource;
use crate::client::Client;
use crate::common_args::{OutputFormat, SecretArgs};
use crate::error::Error;
use crate::input;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  enclii secrets rotate SESSION_KEY --service api --env prod --project shop
  enclii secrets rotate SESSION_KEY --length 64 --alphabet hex --env prod --project shop
  enclii secrets rotate STRIPE_API_KEY --value - --service api --env prod --project shop < new-key
  enclii secrets rotate --service api --env prod --project shop      (lists what --all would rotate)

Without --value, switchyard generates the new value and shows it nowhere. That suits keys and
passwords that no other system has to know; a connection string or a third party's key needs
--value. The previous version is kept, and `enclii secrets rollback` makes it active again.";

/// Give existing secrets a new value, generated or given.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RotateArgs {
    /// The secrets; without a name, all secrets of the scope are listed, and --all rotates them.
    #[arg(value_name = "NAME")]
    names: Vec<SecretName>,
    /// Rotate every secret of the scope.
    #[arg(long, conflicts_with_all = ["names", "value", "if_version"])]
    all: bool,
    /// Generate the value, which is the default without --value.
    #[arg(long, conflicts_with = "value")]
    generate: bool,
    /// The length of the generated value.
    #[arg(
        long,
        value_name = "CHARACTERS",
        default_value_t = Generate::default().length,
        value_parser = clap::value_parser!(u32)
            .range(i64::from(Generate::MIN_LENGTH)..=i64::from(Generate::MAX_LENGTH)),
        conflicts_with = "value"
    )]
    length: u32,
    /// The characters of the generated value: alphanumeric, hex, base64url or ascii.
    #[arg(
        long,
        value_name = "ALPHABET",
        default_value_t = Alphabet::Alphanumeric,
        conflicts_with = "value"
    )]
    alphabet: Alphabet,
    /// The new value: `-` is standard input, @PATH a file, `?` asks at the terminal.
    // Not parsed by clap, whose error would quote it.
    #[arg(long, value_name = "-|@PATH|?")]
    value: Option<String>,
    /// Rotate only if this is the active version.
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u64).range(1..))]
    if_version: Option<u64>,
    /// Do not ask for confirmation.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    request: SecretArgs,
}

/// The JSON output of several rotations.
#[derive(Serialize)]
struct RotationReport<'a> {
    rotated: &'a [Written],
}

pub(crate) async fn run(args: RotateArgs, output: &Output) -> Result<(), Error> {
    let RotateArgs { mut names, all, generate, length, alphabet, value, if_version, yes, request } =
        args;
    let SecretArgs { scope, connection, output: format } = request;
    let value = value.as_deref().map(parse_source).transpose()?;
    let scope = scope.scope()?;
    if names.len() != 1 && (value.is_some() || if_version.is_some()) {
        return Err(Error::Usage("--value and --if-version need exactly one NAME".to_owned()));
    }
    let client = Client::new(&connection, output)?;
    if names.is_empty() {
        names = client.list(&scope).await?.into_iter().map(|it| it.name).collect();
        let listed = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match names.len() {
            0 => return Err(Error::Usage(format!("{scope} has no secrets"))),
            count if !all => {
                return Err(Error::Usage(format!(
                    "--all would generate new values for {count} secrets of {scope}: {listed}"
                )));
            }
            count
                if !yes
                    && !output.confirm(&format!(
                        "Generate new values for {count} secrets of {scope}: {listed}?"
                    ))? =>
            {
                return Err(Error::NotConfirmed("rotated"));
            }
            _ => {}
        }
    }
    let value = match (value, names.first()) {
        (Some(ValueSource::File(path)), _) => Some(input::file(&path)?),
        (Some(ValueSource::Stdin), _) => Some(input::stdin_value()?),
        (Some(_), Some(name)) => Some(input::prompt(name)?),
        _ => None,
    };
    let generate = (generate || value.is_none()).then_some(Generate { length, alphabet });
    let request = RotateRequest { value, generate, if_version };
    let mut rotated = Vec::with_capacity(names.len());
    let progress = output.progress("rotating", names.len() as u64);
    for (done, name) in (0..).zip(&names) {
        progress.set(done);
        match client.rotate(&scope, name, &request).await {
            Ok(written) => rotated.push(written),
            Err(error) => {
                drop(progress);
                // The user must know which secrets were rotated.
                rotated
                    .iter()
                    .try_for_each(|it| report::written(it, OutputFormat::Table, output))?;
                return Err(error);
            }
        }
    }
    drop(progress);
    match (format, rotated.as_slice()) {
        (OutputFormat::Json, [one]) => output.json(one),
        (OutputFormat::Json, _) => output.json(&RotationReport { rotated: &rotated }),
        (OutputFormat::Table, _) => {
            rotated.iter().try_for_each(|it| report::written(it, format, output))
        }
    }
}

/// Parses `--value`, which never holds the value itself.
fn parse_source(text: &str) -> Result<ValueSource, Error> {
    match text {
        "-" => Ok(ValueSource::Stdin),
        "?" => Ok(ValueSource::Terminal),
        path if path.len() > 1 && path.starts_with('@') => Ok(ValueSource::File(path[1..].into())),
        _ => Err(Error::Usage(
            "--value: give - (standard input), @PATH (a file) or ? (asks): a value does not belong \
             on the command line"
                .to_owned(),
        )),
    }
}
