//! `enclii-sample`: see the library's `args` for what it understands.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Parser;
use sample::args::{Args, Command, Load, Once, Serve};
use sample::secrets::{Digests, Places, ReadError};
use sample::state::{Application, How};
use sample::{load, once, serve};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    // The first thing that it does: whatever puts the files there has to be done by now.
    let started = SystemTime::now();
    let variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(a, b)| Some((a.into_string().ok()?, b.into_string().ok()?)))
        .collect();
    let places = Places::of(variables.clone());
    let read = places.read();

    let Args { command, serve } = Args::parse();
    let result = match command {
        None => {
            let mut names: Vec<String> = variables.into_iter().map(|(name, _)| name).collect();
            names.sort();
            start(&serve, places, read, names, started)
        }
        Some(Command::Load(load)) => drive(&load),
        Some(Command::Once(once)) => check(&once, read),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&*error);
            ExitCode::FAILURE
        }
    }
}

fn start(
    args: &Serve,
    places: Places,
    read: Result<Digests, ReadError>,
    names: Vec<String>,
    started: SystemTime,
) -> Result<(), Failure> {
    let complete = read.is_ok();
    let digests = match read {
        Err(_) if args.allow_missing => places.read_some(),
        read => read?,
    };
    let application = Arc::new(Application::new(places, digests, complete, names, started));
    one_thread()?.block_on(async {
        // Before anything else, since a signal that nobody listens for ends the process.
        let (mut hangup, mut terminate) = (signal(SignalKind::hangup())?, signal(SignalKind::terminate())?);
        let listener = serve::listen(args.listen).await?;
        let ours = Arc::clone(&application);
        let until_terminated = async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => return,
                    _ = hangup.recv() => if let Err(error) = ours.reload(How::Signal) { say(&error) },
                }
            }
        };
        serve::serve(listener, until_terminated, move |request| serve::answer(&application, request)).await;
        Ok(())
    })
}

fn drive(args: &Load) -> Result<(), Failure> {
    one_thread()?.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (running, stop, end) =
            (load::Running::default(), CancellationToken::new(), CancellationToken::new());
        let listener = match args.listen {
            Some(address) => Some(serve::listen(address).await?),
            None => None,
        };
        let show = async {
            if let Some(listener) = listener {
                load::show(listener, running.clone(), end.clone()).await;
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
                result = load::run(args, &running, &stop) => result,
                () = signalled => Ok(()),
            };
            end.cancel();
            result
        };
        let (result, ()) = tokio::join!(driven, show);
        result?;
        writeln!(io::stdout(), "{}", serde_json::to_string(&running.report())?)?;
        Ok(())
    })
}

fn check(args: &Once, read: Result<Digests, ReadError>) -> Result<(), Failure> {
    let differences = once::differences(&args.expected(), &read?);
    if differences.is_empty() { Ok(()) } else { Err(differences.join("; ").into()) }
}

fn one_thread() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn say(error: &dyn Error) {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    // Where standard error is gone there is nobody to tell.
    let _ = writeln!(io::stderr(), "enclii-sample: {error}{cause}");
}
