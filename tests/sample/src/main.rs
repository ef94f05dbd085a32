//! `enclii-sample`: see the library's `args` for the command line.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Parser;
use sample::args::{Args, Command, LoadArgs, OnceArgs, ServeArgs};
use sample::secrets::{Digests, ReadError, SecretPaths, variable_digests};
use sample::state::{Application, ReloadTrigger};
use sample::{load, once, serve};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    // The files are read first: they must exist when the process starts.
    let started = SystemTime::now();
    let variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(a, b)| Some((a.into_string().ok()?, b.into_string().ok()?)))
        .collect();
    let paths = SecretPaths::from_variables(variables.clone());
    let read = paths.read();

    let Args { command, serve } = Args::parse();
    let result = match command {
        None => run_server(&serve, paths, read, variable_digests(&variables), started),
        Some(Command::Load(load)) => run_load(&load),
        Some(Command::Once(once)) => run_once(&once, read, variable_digests(&variables)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&*error);
            ExitCode::FAILURE
        }
    }
}

fn run_server(
    args: &ServeArgs,
    paths: SecretPaths,
    read: Result<Digests, ReadError>,
    variables: Digests,
    started: SystemTime,
) -> Result<(), Failure> {
    let complete = read.is_ok();
    let digests = match read {
        Err(_) if args.allow_missing => paths.read_available(),
        read => read?,
    };
    let application = Arc::new(Application::new(paths, digests, complete, variables, started));
    single_threaded_runtime()?.block_on(async {
        // First, because an unhandled signal ends the process.
        let mut hangup = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let listener = serve::listen(args.listen).await?;
        let reloading = Arc::clone(&application);
        let until_terminated = async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => return,
                    _ = hangup.recv() => {
                        if let Err(error) = reloading.reload(ReloadTrigger::Signal) {
                            print_error(&error);
                        }
                    }
                }
            }
        };
        let handler = move |request: &_| serve::answer(&application, request);
        serve::serve(listener, until_terminated, handler).await;
        Ok(())
    })
}

fn run_load(args: &LoadArgs) -> Result<(), Failure> {
    single_threaded_runtime()?.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (counters, stop, end) =
            (load::LoadCounters::default(), CancellationToken::new(), CancellationToken::new());
        let listener = match args.listen {
            Some(address) => Some(serve::listen(address).await?),
            None => None,
        };
        let serving = async {
            if let Some(listener) = listener {
                load::serve_counters(listener, counters.clone(), end.clone()).await;
            }
        };
        let driven = async {
            let signalled = async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                stop.cancel();
                std::future::pending::<()>().await;
            };
            let result = tokio::select! {
                result = load::run(args, &counters, &stop) => result,
                () = signalled => Ok(()),
            };
            end.cancel();
            result
        };
        let (result, ()) = tokio::join!(driven, serving);
        result?;
        writeln!(io::stdout(), "{}", serde_json::to_string(&counters.report())?)?;
        Ok(())
    })
}

fn run_once(
    args: &OnceArgs,
    read: Result<Digests, ReadError>,
    mut found: Digests,
) -> Result<(), Failure> {
    // A secret is in its file, or else in its variable.
    found.append(&mut read?);
    let differences = once::differences(&args.expected(), &found);
    if differences.is_empty() { Ok(()) } else { Err(differences.join("; ").into()) }
}

fn single_threaded_runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn print_error(error: &dyn Error) {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    // There is no way to report a failure to write to standard error.
    let _ = writeln!(io::stderr(), "enclii-sample: {error}{cause}");
}
