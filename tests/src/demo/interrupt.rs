//! Ends the demonstration on SIGINT, SIGTERM and SIGHUP and removes everything that it made.

use std::process;
use std::thread;

use anyhow::{Context, Result};
use e2e::guard;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for the signals on a thread of its own. The exit status is the shell's: 128 + the signal.
///
/// # Errors
/// If the signals cannot be registered.
pub(crate) fn install() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("start the signal handler")?;
    let registered = runtime.enter();
    let listen = |kind| signal(kind).context("register a signal");
    let interrupt = listen(SignalKind::interrupt())?;
    let terminate = listen(SignalKind::terminate())?;
    let hangup = listen(SignalKind::hangup())?;
    drop(registered);
    thread::spawn(move || {
        let number = runtime.block_on(first(interrupt, terminate, hangup));
        end(number)
    });
    Ok(())
}

/// Waits for the signal handler, if it has begun to end this process: what fails then fails because
/// the handler has stopped the programs.
pub(crate) fn wait_if_ending() {
    if guard::is_closed() {
        loop {
            thread::park();
        }
    }
}

async fn first(mut interrupt: Signal, mut terminate: Signal, mut hangup: Signal) -> i32 {
    let kind = tokio::select! {
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = terminate.recv() => SignalKind::terminate(),
        _ = hangup.recv() => SignalKind::hangup(),
    };
    kind.as_raw_value()
}

#[expect(clippy::exit, reason = "the main thread may be in the middle of a blocking call")]
fn end(signal: i32) -> ! {
    guard::clean_up();
    crate::output::verdict("stopped by a signal; every program and file of the demo is gone");
    process::exit(128 + signal)
}
