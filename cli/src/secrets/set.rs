//! `enclii secrets set`.

use std::path::PathBuf;

use contract::api::{NewValue, WriteRequest};
use contract::{Redacted, SecretName};

use super::assignment::{Assignment, Origin};
use super::report;
use crate::client::Client;
use crate::common::{Request, input};
use crate::error::Error;
use crate::output::Output;
use crate::values::{self, Form, Values};

const EXAMPLES: &str = "\
Examples:
  enclii secrets set DATABASE_URL --service api --env prod --project shop     (asks, and shows nothing)
  enclii secrets set DATABASE_URL=- --service api --env prod --project shop   (value from standard input)
  enclii secrets set TLS_KEY=@server.key --service api --env prod --project shop
  enclii secrets set LOG_TOKEN=abc FLAG=on --env prod --project shop          (for every service of prod)
  enclii secrets set --env-file .env --service api --env prod --project shop
  enclii secrets set FLAG=on --create --service api --env prod --project shop

NAME       asks for one line at the terminal, without echo
NAME=-     reads standard input, byte for byte, to its end
NAME=@PATH reads a file, byte for byte
--literal  takes values as they stand, so that '-' and '@x' can be values
A value written on the command line is seen by every user of the machine and kept by the shell's
history: prefer the other ways for anything that matters. `enclii secrets import` reads JSON, YAML and
Kubernetes Secrets too, and leaves alone what has not changed.";

/// Write secrets: all of them become one new generation, or none does.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to write: NAME, NAME=-, NAME=@PATH or NAME=VALUE.
    #[arg(value_name = "NAME[=VALUE]", required_unless_present = "env_file")]
    assignments: Vec<String>,
    /// A .env file, each line of which is a secret.
    #[arg(long, value_name = "PATH")]
    env_file: Option<PathBuf>,
    /// Take values as they stand.
    #[arg(long)]
    literal: bool,
    /// Write only if this is the active version; for one secret.
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u64).range(1..))]
    if_version: Option<u64>,
    /// Write only what does not exist yet.
    #[arg(long, conflicts_with = "if_version")]
    create: bool,
    #[command(flatten)]
    request: Request,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let Args {
        assignments,
        env_file,
        literal,
        if_version,
        create,
        request: Request { place, connection, output: format },
    } = args;
    let scope = place.scope()?;
    let mut values = Values::default();
    let mut add = |name: SecretName, value: Redacted| {
        if value.expose().ends_with(b"\n") {
            output.note(&format!("the value of {name} ends with a line end, which is kept"));
        }
        values.add(name, value).map_err(Error::Usage)
    };
    if let Some(path) = env_file {
        let read = values::read(input::file(&path)?.expose(), Some(Form::Env), &path);
        for (name, value) in read.map_err(|reason| Error::Manifest { path, reason })?.values {
            add(name, value)?;
        }
    }
    let mut stdin_taken = false;
    for argument in &assignments {
        let Assignment { name, value } = Assignment::parse(argument, literal)?;
        let value = match value {
            Origin::Given(value) => value,
            Origin::Stdin if stdin_taken => {
                return Err(Error::Usage("standard input can be one value only".to_owned()));
            }
            Origin::Stdin => {
                stdin_taken = true;
                input::stdin_value()?
            }
            Origin::File(path) => input::file(&path)?,
            Origin::Terminal if input::is_terminal() => input::typed(&name)?,
            Origin::Terminal => {
                return Err(Error::Usage(
                    "an argument has no '=', and there is no terminal to ask at: write NAME=- or NAME=@PATH".to_owned(),
                ));
            }
        };
        add(name, value)?;
    }
    if values.is_empty() {
        return Err(Error::Usage("nothing to write: the file has no secrets".to_owned()));
    }
    if if_version.is_some() && values.len() > 1 {
        return Err(Error::Usage("--if-version is for one secret".to_owned()));
    }
    let if_version = if create { Some(0) } else { if_version };
    let secrets =
        values.into_iter().map(|(name, value)| (name, NewValue { value, if_version })).collect();
    let request = WriteRequest { secrets };
    report::written(
        &Client::new(&connection, output)?.write(&scope, &request).await?,
        format,
        output,
    )
}
