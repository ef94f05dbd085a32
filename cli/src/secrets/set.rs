//! `enclii secrets set`.

use std::io::Read;
use std::path::PathBuf;

use contract::api::{NewValue, WriteRequest};
use contract::layout::MAX_VALUE_BYTES;
use contract::{Redacted, SecretName};

use crate::assignment::{Assignment, Origin};
use crate::client::Client;
use crate::common::{Format, Request};
use crate::env_file;
use crate::error::Error;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  enclii secrets set DATABASE_URL=- --service api --env prod --project shop   (value from standard input)
  enclii secrets set TLS_KEY=@server.key --service api --env prod --project shop
  enclii secrets set LOG_TOKEN=abc FLAG=on --env prod --project shop          (for every service of prod)
  enclii secrets set --env-file .env --service api --env prod --project shop

NAME=-     reads standard input, byte for byte, to its end
NAME=@PATH reads a file, byte for byte
--literal  takes values as they stand, so that '-' and '@x' can be values
A value written on the command line is seen by every user of the machine and kept by the shell's
history: prefer the other ways for anything that matters.";

/// Write secrets: all of them become one new generation, or none does.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to write: NAME=VALUE, NAME=- or NAME=@PATH.
    #[arg(value_name = "NAME=VALUE", required_unless_present = "env_file")]
    pub(crate) assignments: Vec<String>,
    /// A .env file, each line of which is a secret.
    #[arg(long, value_name = "PATH")]
    pub(crate) env_file: Option<PathBuf>,
    /// Take values as they stand.
    #[arg(long)]
    pub(crate) literal: bool,
    #[command(flatten)]
    pub(crate) request: Request,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let Args { assignments, env_file, literal, request: Request { place, connection, output: format } } = args;
    let scope = place.scope()?;
    let mut request = WriteRequest::default();
    let mut add = |name: SecretName, value: Redacted| {
        if value.len() > MAX_VALUE_BYTES {
            return Err(Error::Usage(format!("value of {name}: {} bytes are over the limit of {MAX_VALUE_BYTES}", value.len())));
        }
        if value.expose().ends_with(b"\n") {
            output.note(&format!("the value of {name} ends with a line end, which is kept"));
        }
        match request.secrets.insert(name.clone(), NewValue { value }) {
            None => Ok(()),
            Some(_) => Err(Error::Usage(format!("{name} is given twice"))),
        }
    };
    if let Some(path) = env_file {
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        for (name, value) in env_file::parse(&text).map_err(|error| Error::Manifest { path, reason: error.to_string() })? {
            add(name, value)?;
        }
    }
    let mut stdin_taken = false;
    for argument in &assignments {
        let Assignment { name, value } = Assignment::parse(argument, literal)?;
        let value = match value {
            Origin::Given(value) => value,
            Origin::Stdin if stdin_taken => return Err(Error::Usage("standard input can be one value only".to_owned())),
            Origin::Stdin => {
                stdin_taken = true;
                stdin()?
            }
            Origin::File(path) => std::fs::read(&path).map(Redacted::new).map_err(|source| Error::Read { path, source })?,
        };
        add(name, value)?;
    }
    if request.secrets.is_empty() {
        return Err(Error::Usage("nothing to write: the file has no secrets".to_owned()));
    }

    let written = Client::new(&connection, output)?.write(&scope, &request).await?;
    if format == Format::Json {
        return output.json(&written);
    }
    for (name, version) in &written.versions {
        output.done(&format!("{scope} {name} is version {version}"));
    }
    for state in &written.bundles {
        output.line(&format!("bundle {} ({}) is generation {}", state.bundle, state.scope, state.generation));
    }
    if written.bundles.is_empty() {
        output.note(&format!("no bundle holds {scope} yet: a bundle comes into being with its service's first secret"));
    }
    Ok(())
}

fn stdin() -> Result<Redacted, Error> {
    let mut bytes = Vec::new();
    // One byte over the limit is enough to know.
    let limit = u64::try_from(MAX_VALUE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(Error::Stdin)?;
    Ok(Redacted::new(bytes))
}
