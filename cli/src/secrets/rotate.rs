//! `enclii secrets rotate`.

use contract::SecretName;
use contract::api::{Alphabet, Generate, RotateRequest, Written};
use serde::Serialize;

use super::assignment::Origin;
use super::report;
use crate::client::Client;
use crate::common::{self, Format, Request, input};
use crate::error::Error;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  enclii secrets rotate SESSION_KEY --service api --env prod --project shop
  enclii secrets rotate SESSION_KEY --length 64 --alphabet hex --service api --env prod --project shop
  enclii secrets rotate STRIPE_API_KEY --value - --service api --env prod --project shop < new-key
  enclii secrets rotate --service api --env prod --project shop              (says what --all would rotate)

Without --value the new value is made up by switchyard and shown nowhere. That suits keys and passwords
that nothing else must know; a connection string or another party's key needs --value.
The version before stays, and `enclii secrets rollback` makes it active again.";

/// Give secrets that exist a new value: made up, or given.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The secrets; without one, all of the scope are listed, and --all rotates them.
    #[arg(value_name = "NAME", value_parser = common::name)]
    names: Vec<SecretName>,
    /// Rotate every secret of the scope.
    #[arg(long, conflicts_with_all = ["names", "value", "if_version"])]
    all: bool,
    /// Make the value up, which is what is done without --value.
    #[arg(long, conflicts_with = "value")]
    generate: bool,
    /// How many characters are made up.
    #[arg(long, value_name = "CHARACTERS", default_value_t = Generate::default().length, value_parser = clap::value_parser!(u32).range(i64::from(Generate::SHORTEST)..=i64::from(Generate::LONGEST)), conflicts_with = "value")]
    length: u32,
    /// Of which characters: alphanumeric, hex, base64url or ascii.
    #[arg(long, value_name = "ALPHABET", default_value_t = Alphabet::Alphanumeric, conflicts_with = "value")]
    alphabet: Alphabet,
    /// The new value: `-` is standard input, @PATH a file, `?` asks at the terminal.
    // Parsed later: what clap does not take, it quotes.
    #[arg(long, value_name = "-|@PATH|?")]
    value: Option<String>,
    /// Rotate only if this is the active version.
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u64).range(1..))]
    if_version: Option<u64>,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    request: Request,
}

/// What programs read of several rotations.
#[derive(Serialize)]
struct Rotated<'a> {
    rotated: &'a [Written],
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let Args { mut names, all, generate, length, alphabet, value, if_version, yes, request } = args;
    let Request { place, connection, output: format } = request;
    let value = value.as_deref().map(origin).transpose()?;
    let scope = place.scope()?;
    if names.len() != 1 && (value.is_some() || if_version.is_some()) {
        return Err(Error::Usage("--value and --if-version are for one NAME".to_owned()));
    }
    let client = Client::new(&connection, output)?;
    if names.is_empty() {
        names = client.list(&scope).await?.into_iter().map(|it| it.name).collect();
        let listed = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match names.len() {
            0 => return Err(Error::Usage(format!("{scope} has no secrets"))),
            count if !all => {
                return Err(Error::Usage(format!(
                    "--all would make up new values for {count} secrets of {scope}: {listed}"
                )));
            }
            count
                if !yes
                    && !output.confirm(&format!(
                        "Make up new values for {count} secrets of {scope}: {listed}?"
                    ))? =>
            {
                return Err(Error::NotConfirmed("rotated"));
            }
            _ => {}
        }
    }
    let value = match (value, names.first()) {
        (Some(Origin::File(path)), _) => Some(input::file(&path)?),
        (Some(Origin::Stdin), _) => Some(input::stdin_value()?),
        (Some(_), Some(name)) => Some(input::typed(name)?),
        _ => None,
    };
    let generate = (generate || value.is_none()).then_some(Generate { length, alphabet });
    let request = RotateRequest { value, generate, if_version };
    let mut rotated = Vec::with_capacity(names.len());
    for (done, name) in names.iter().enumerate() {
        output.progress("rotating", done, names.len());
        match client.rotate(&scope, name, &request).await {
            Ok(written) => rotated.push(written),
            Err(error) => {
                output.progress_ends();
                // What is done is done, and must be known.
                rotated.iter().try_for_each(|it| report::written(it, Format::Table, output))?;
                return Err(error);
            }
        }
    }
    output.progress_ends();
    match (format, rotated.as_slice()) {
        (Format::Json, [one]) => output.json(one),
        (Format::Json, _) => output.json(&Rotated { rotated: &rotated }),
        (Format::Table, _) => rotated.iter().try_for_each(|it| report::written(it, format, output)),
    }
}

/// Where a value may come from that is not on the command line.
fn origin(text: &str) -> Result<Origin, Error> {
    match text {
        "-" => Ok(Origin::Stdin),
        "?" => Ok(Origin::Terminal),
        path if path.len() > 1 && path.starts_with('@') => Ok(Origin::File(path[1..].into())),
        _ => Err(Error::Usage(
            "--value: give - (standard input), @PATH (a file) or ? (typed): a value does not belong on the command line".to_owned(),
        )),
    }
}
