//! `enclii secrets set`.

use std::path::{Path, PathBuf};

use contract::api::{NewValue, WriteRequest};
use contract::{Redacted, SecretName};
use jiff::Timestamp;

use super::file_args::KeyArgs;
use super::report;
use super::value_source::{Assignment, ValueSource};
use crate::client::Client;
use crate::common_args::{ExpiryArgs, MessageArgs, NotesArgs, SecretArgs};
use crate::error::Error;
use crate::file_formats::{FileFormat, SecretValues};
use crate::input;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  enclii secrets set DATABASE_URL --service api --env prod --project shop     (asks, without echo)
  enclii secrets set DATABASE_URL=- --service api --env prod --project shop   (standard input)
  enclii secrets set TLS_KEY=@server.key --service api --env prod --project shop
  enclii secrets set LOG_TOKEN=abc FLAG=on --env prod --project shop          (for every service)
  enclii secrets set --env-file .env --service api --env prod --project shop
  enclii secrets set FLAG=on --create --service api --env prod --project shop
  enclii secrets set 'URL=postgres://${shop.prod/DB_HOST}/shop' --references --service api \
    --env prod --project shop
  enclii secrets set STRIPE_KEY=- --message 'leaked, INC-4711' --expires 90d --tag team=payments

NAME       asks for one line at the terminal, without echo
NAME=-     reads standard input, byte for byte, to its end
NAME=@PATH reads a file, byte for byte
--literal  takes values literally, so that '-' and '@x' can be values, and so can the ciphertext
           of other tools in a --env-file
Every user of the machine can see a value on the command line, and the shell's history keeps it:
use the other ways for anything that matters. `enclii secrets import` also reads JSON, YAML and
Kubernetes Secrets, and skips unchanged values.

With --references a value follows the secrets that it refers to: a change of one is a new generation
of each bundle that has a value with it. You must be allowed to read them.

Message, notes, tags and expiry are not secret. Notes and tags stay with the secret; message and
expiry are of the new version alone. `enclii secrets annotate` changes them without a new one.";

/// Write secrets as one new generation: all of them or none.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SetArgs {
    /// What to write: NAME, NAME=-, NAME=@PATH or NAME=VALUE.
    #[arg(value_name = "NAME[=VALUE]", required_unless_present = "env_file")]
    assignments: Vec<String>,
    /// A .env or .properties file whose variables are the secrets.
    #[arg(long, value_name = "PATH")]
    env_file: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
    /// Take values literally.
    #[arg(long)]
    literal: bool,
    /// Let ${shop.prod/NAME} in a value stand for the value of that secret, and $${ for ${.
    #[arg(long)]
    references: bool,
    /// Write only if this is the active version; needs exactly one secret.
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u64).range(1..))]
    if_version: Option<u64>,
    /// Write only if none of the secrets exists yet.
    #[arg(long, conflicts_with = "if_version")]
    create: bool,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    notes: NotesArgs,
    #[command(flatten)]
    expiry: ExpiryArgs,
    #[command(flatten)]
    request: SecretArgs,
}

pub(crate) async fn run(args: SetArgs, output: &Output) -> Result<(), Error> {
    let SetArgs {
        assignments,
        env_file,
        keys,
        literal,
        references,
        if_version,
        create,
        message: MessageArgs { message },
        notes,
        expiry,
        request: SecretArgs { scope, connection, output: format },
    } = args;
    let scope = scope.scope()?;
    let mut values = SecretValues::default();
    let mut add = |name: SecretName, value: Redacted| {
        if value.expose().ends_with(b"\n") {
            output.note(&format!("the value of {name} ends with a newline, which is kept"));
        }
        values.add(name, value).map_err(Error::Usage)
    };
    if let Some(path) = env_file {
        let format = env_format(&path)?;
        for (name, value) in keys.read(&path, Some(format), literal)?.values {
            add(name, value)?;
        }
    } else if !keys.is_empty() {
        return Err(Error::Usage("--rename and --skip need --env-file".to_owned()));
    }
    let mut stdin_used = false;
    for argument in &assignments {
        let Assignment { name, value: source } = Assignment::parse(argument, literal)?;
        let is_input = matches!(source, ValueSource::Stdin | ValueSource::File(_));
        let value = match source {
            ValueSource::Given(value) => value,
            ValueSource::Stdin if stdin_used => {
                return Err(Error::Usage(
                    "standard input can be the value of only one secret".to_owned(),
                ));
            }
            ValueSource::Stdin => {
                stdin_used = true;
                input::stdin_value()?
            }
            ValueSource::File(path) => input::file(&path)?,
            ValueSource::Terminal if input::is_terminal() => input::prompt(&name)?,
            ValueSource::Terminal => {
                return Err(Error::Usage(
                    "an argument has no '=', and there is no terminal to ask on: write NAME=- or \
                     NAME=@PATH"
                        .to_owned(),
                ));
            }
        };
        if is_input && value.is_empty() {
            output.note(&format!("the value of {name} is empty: its input has no byte"));
        }
        add(name, value)?;
    }
    if values.is_empty() {
        return Err(Error::Usage("nothing to write: the file has no secrets".to_owned()));
    }
    if if_version.is_some() && values.len() > 1 {
        return Err(Error::Usage("--if-version needs exactly one secret".to_owned()));
    }
    let if_version = if create { Some(0) } else { if_version };
    let expires_at = expiry.at(Timestamp::now());
    let new = |value| NewValue {
        value,
        if_version,
        message: message.clone(),
        expires_at,
        notes: notes.note.clone().map(Some),
        tags: notes.tags(),
        references,
    };
    let secrets = values.into_iter().map(|(name, value)| (name, new(value))).collect();
    let client = Client::new(&connection, output)?;
    let written = match client.write(&scope, &WriteRequest { secrets }).await {
        Err(Error::Refused(problem)) if create && problem.status == 412 => {
            return Err(Error::Condition(format!(
                "nothing was written, because --create takes only new secrets: {}; omit --create \
                 to write a new version",
                problem.detail
            )));
        }
        written => written?,
    };
    report::written(&written, format, output)?;
    report::created(&client, &written, output).await;
    Ok(())
}

/// The format of --env-file. Other formats are for `import`.
fn env_format(path: &Path) -> Result<FileFormat, Error> {
    match FileFormat::from_path(path) {
        None | Some(FileFormat::Env) => Ok(FileFormat::Env),
        Some(FileFormat::Properties) => Ok(FileFormat::Properties),
        Some(_) => Err(Error::Usage(format!(
            "--env-file reads .env and .properties: `enclii secrets import {}` reads this file",
            path.display()
        ))),
    }
}
