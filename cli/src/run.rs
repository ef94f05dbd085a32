//! `enclii run -- COMMAND`: a bundle's values in memory-only files of one program and its children.
//!
//! The values lie in this process's memory (`memfd`), and the program opens them as files of
//! `$ENCLII_SECRETS_DIR`, which holds links to them and nothing else. So there is nothing to wipe:
//! however this process ends, by SIGKILL too, the kernel takes the values with it.

mod environment;
mod files;
mod limits;
mod supervise;
mod watch;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use contract::SecretName;
use contract::reload::Signal;

use self::environment::Environment;
use self::files::Files;
use self::watch::Watch;
use crate::client::Client;
use crate::common::{self, Connection, Where};
use crate::error::Error;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  enclii run --service api --env prod --project shop -- ./server
  enclii run --service api --env prod --project shop -- sh -c 'psql \"$(cat \"$DATABASE_URL_FILE\")\"'
  enclii run --service api --env prod --project shop --watch --signal SIGHUP -- ./server
  enclii run --service api --env prod --project shop --as-env=DATABASE_URL -- ./legacy

For each secret NAME of the bundle the program finds NAME_FILE, the path of a file that holds the value,
and ENCLII_SECRETS_DIR, the directory of all of them: as a pod does, so that a program that runs in the
cluster runs here. A variable NAME that is set already is taken out, so that no old value is used.

The files are memory of this process and are gone with it. They can be read by the same user, and not
in a container or under another user. --as-env hands values over as variables instead, which every
process of the user can read and the program's children inherit.

Signals are passed on, and the exit code is the program's: 128+n where signal n ended it, 127 where it
was not found, 126 where it could not be run; before it started, the codes of `enclii --help`.
ENCLII_TOKEN is not passed on.";

/// Run a program with a bundle's values in memory-only files.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
    /// Take these secrets alone; may be given several times.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = common::name)]
    only: Vec<SecretName>,
    /// Hand values over as variables instead of files: all, or those named.
    #[arg(long, value_name = "NAME,NAME", num_args = 0.., require_equals = true, value_delimiter = ',', value_parser = common::name)]
    as_env: Option<Vec<SecretName>>,
    /// Replace the files when a secret changes.
    #[arg(long)]
    watch: bool,
    /// Then send the program this signal, if it catches it.
    #[arg(long, value_name = "SIGNAL", requires = "watch")]
    signal: Option<Signal>,
    /// How often to look for a change.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600), requires = "watch")]
    interval: u64,
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    connection: Connection,
    /// Where the links are made; the first that is a directory: this, /dev/shm, the directory for
    /// temporary files.
    #[arg(long, env = "XDG_RUNTIME_DIR", hide = true)]
    runtime_directory: Option<OsString>,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<ExitCode, Error> {
    let scope = common::service(args.place)?;
    let client = Client::new(&args.connection, output)?;
    let mut values = client.bundle_values(&scope).await?;
    let only: BTreeSet<_> = args.only.into_iter().collect();
    environment::narrow(&mut values.secrets, &only)?;
    let environment =
        Environment::new(&values.secrets, args.as_env.as_deref(), std::env::vars_os())?;
    environment.warnings.iter().for_each(|warning| output.note(warning));
    if args.watch && environment.files.is_empty() {
        return Err(Error::Usage(
            "--watch replaces files, and a variable of a running program cannot change: leave --as-env out".to_owned(),
        ));
    }

    let limits = limits::widen(environment.files.len())?;
    let mut files = Files::new(args.runtime_directory.as_deref().map(Path::new))?;
    files.replace(
        environment.files.iter().filter_map(|name| Some((name, &values.secrets.get(name)?.value))),
    )?;
    let generation = values.generation;
    let mut program = environment.command(&args.command, &values.secrets, files.directory());
    drop(values);

    limits.restore()?;
    let mut child = supervise::Child::start(&mut program)?;
    limits.apply()?;
    let watch = args.watch.then(|| Watch {
        client: &client,
        scope,
        held: generation,
        every: Duration::from_secs(args.interval),
        only,
        variables: environment.variables,
        signal: args.signal,
        output,
        said: None,
    });
    child.wait(watch, &mut files).await
}
