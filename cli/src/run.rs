//! `enclii run -- COMMAND`: runs a program with a bundle's values in memory-only files.
//!
//! The values are in this process's memory (`memfd`). The program opens them through links in
//! `$ENCLII_SECRETS_DIR`, which holds nothing else. So there is nothing to wipe: however this
//! process ends, even by SIGKILL, the kernel frees the values. It then ends the program too, which
//! would run without its files.

mod child;
mod core_limit;
mod environment;
mod limits;
mod memory_files;
mod signal_mask;
mod supervise;
mod watch;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueHint;
use contract::SecretName;
use contract::reload::Signal;

use self::environment::ProgramEnvironment;
use self::memory_files::MemoryFiles;
use self::watch::BundleWatch;
use crate::client::Client;
use crate::common_args::{ConnectionArgs, ScopeArgs, service_scope};
use crate::error::Error;
use crate::missing;
use crate::output::Output;

pub(crate) use child::exec_if_child;

const EXAMPLES: &str = "\
Examples:
  enclii run --service api --env prod --project shop -- ./server
  enclii run --service api --env prod --project shop -- \
    sh -c 'psql \"$(cat \"$DATABASE_URL_FILE\")\"'
  enclii run --service api --env prod --project shop --watch --signal SIGHUP -- ./server
  enclii run --service api --env prod --project shop --as-env=DATABASE_URL -- ./legacy

For each secret NAME of the bundle, the program gets the variable NAME_FILE with the path of the
value's file, and ENCLII_SECRETS_DIR with the directory of all files. This is the environment of a
pod, so that programs for the cluster run here unchanged. An existing variable NAME is removed, so
that the program does not use an old value.

The files are memory of this process and disappear with it. If it is killed, the program is killed
too; processes that the program started are not. Programs of the same user can read the files, but
not from a container or as another user. --as-env passes values as variables instead, which every
process of the user can read and child processes inherit.

Signals are forwarded, and the exit code is that of the program: 128+n if signal n ended it, 127
if it was not found, 126 if it could not be run. Before it starts, the codes of `enclii --help`
apply. ENCLII_TOKEN and ENCLII_TOKEN_FILE are not passed on without --keep-token.";

/// Run a program with a bundle's values in memory-only files.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunArgs {
    /// The program and its arguments.
    #[arg(
        last = true,
        required = true,
        value_name = "COMMAND",
        value_hint = ValueHint::CommandName
    )]
    command: Vec<OsString>,
    /// Only these secrets; may be given several times.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<SecretName>,
    /// Pass values as variables instead of files: all values, or the named ones.
    #[arg(
        long,
        value_name = "NAME,NAME",
        num_args = 0..,
        require_equals = true,
        value_delimiter = ','
    )]
    as_env: Option<Vec<SecretName>>,
    /// Pass ENCLII_TOKEN and ENCLII_TOKEN_FILE on, for a program that runs `enclii` itself.
    #[arg(long)]
    keep_token: bool,
    /// Replace the files when a secret changes.
    #[arg(long)]
    watch: bool,
    /// Send the program this signal after each change, if it handles the signal.
    #[arg(long, value_name = "SIGNAL", requires = "watch")]
    signal: Option<Signal>,
    /// How often to check for a change.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 5,
        value_parser = clap::value_parser!(u64).range(1..=3600),
        requires = "watch"
    )]
    interval: u64,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// The directory for the links; without it, /dev/shm or else the directory for temporary files.
    #[arg(long, env = "XDG_RUNTIME_DIR", hide = true)]
    runtime_directory: Option<OsString>,
}

pub(crate) async fn run(args: RunArgs, output: &Output) -> Result<ExitCode, Error> {
    let scope = service_scope(args.scope)?;
    let client = Client::new(&args.connection, output)?;
    let mut values = match client.bundle_values(&scope).await {
        Ok(values) => values,
        Err(error) => return Err(missing::explain(&client, &scope, None, error).await),
    };
    let only: BTreeSet<_> = args.only.into_iter().collect();
    environment::select(&mut values.secrets, &only)?;
    let environment =
        ProgramEnvironment::new(&values.secrets, args.as_env.as_deref(), std::env::vars_os())?;
    environment.warnings.iter().for_each(|warning| output.note(warning));
    if args.watch && environment.files.is_empty() {
        return Err(Error::Usage(
            "--watch replaces files, and the variables of a running program cannot change: omit \
             --as-env"
                .to_owned(),
        ));
    }

    let limits = limits::raise(environment.files.len())?;
    let mut files = MemoryFiles::new(args.runtime_directory.as_deref().map(Path::new))?;
    files.replace(
        environment.files.iter().filter_map(|name| Some((name, &values.secrets.get(name)?.value))),
    )?;
    let current = (values.generation, values.tag.clone());
    let mut program = environment.command(
        child::command(&args.command),
        args.keep_token,
        &values.secrets,
        files.directory(),
    );
    drop(values);

    limits.restore()?;
    let mut child = supervise::ChildProcess::start(&mut program, args.command.first())?;
    limits.apply()?;
    let watch = args.watch.then(|| BundleWatch {
        client: &client,
        scope,
        current,
        interval: Duration::from_secs(args.interval),
        only,
        variables: environment.variables,
        signal: args.signal,
        output,
        last_failure: None,
    });
    child.wait(watch, &mut files).await
}
