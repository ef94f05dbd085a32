//! The way of one write: from the request to the store until the file is new, and until the
//! application has read it.

use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use e2e::sample::{AppState, sha256};
use e2e::wait;

use crate::budget::{Measurement, Metric};
use crate::pod::{RunningPod, SECRET, Setup, value};
use crate::probe::time_until_file;
use crate::progress::print_progress;
use crate::results::Results;
use crate::statistics::{median, milliseconds, percentile};
use crate::vault::VaultAgentFigures;

const WRITES: usize = 400;
/// More than the gap that an agent keeps between two reloads, so that each write is one by itself.
const CALM: Duration = Duration::from_millis(130);
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Measures the writes; `peer` is Vault Agent with the shortest interval that it has.
///
/// # Errors
/// If a write does not arrive.
pub fn measure(
    setup: &Setup,
    peer: Option<&VaultAgentFigures>,
    results: &mut Results,
) -> Result<Vec<Measurement>> {
    print_progress(&format!("store: {WRITES} writes to a running pod"));
    let mut running = setup.volumes()?.run()?;
    let (mut files, mut reloads) = (Vec::with_capacity(WRITES), Vec::with_capacity(WRITES));
    for number in 0..WRITES {
        // Not in step with any clock of the system.
        sleep(CALM + Duration::from_micros((number * 7919 % 20_000) as u64));
        let (file, reload) = one(setup, &running, &value("write", number))?;
        files.push(file);
        reloads.push(reload);
    }
    running.agent.check()?;
    running.application.check()?;
    let middle = |values: &[f64]| median(values).context("no write");
    results.note(format!(
        "write_to_file_p99, write_to_reload_p99: the medians are {:.1} ms and {:.1} ms",
        middle(&files)?,
        middle(&reloads)?
    ));
    let p99 = |values: &[f64]| percentile(values, 99).context("no write");
    let peer = peer.map(|it| (it.polling.as_str(), it.write_to_file));
    Ok(vec![
        Metric::WriteToFileP99.measurement(p99(&files)?).with_baseline(peer),
        Metric::WriteToReloadP99.measurement(p99(&reloads)?),
    ])
}

/// One write: the milliseconds to the file and to the application.
fn one(setup: &Setup, running: &RunningPod, value: &str) -> Result<(f64, f64)> {
    let wall = SystemTime::now();
    let file = time_until_file(&running.volumes.file(SECRET), value, STEP_TIMEOUT, || {
        setup.store.write([(SECRET, value)])
    })?;
    let digest = sha256(value.as_bytes());
    let state = wait::until_every(
        Duration::from_millis(2),
        "the application to reload",
        STEP_TIMEOUT,
        || Ok(Some(running.state()?).filter(|it| it.digests.get(SECRET) == Some(&digest))),
    )?;
    Ok((
        file,
        milliseconds(
            reloaded(&state)?
                .duration_since(wall)
                .context("the application reloaded before the write")?,
        ),
    ))
}

/// When the application had read its files again: it says the millisecond, and the end of that one
/// flatters nobody.
fn reloaded(state: &AppState) -> Result<SystemTime> {
    ensure!(
        state.reload_trigger.as_deref() == Some("signal"),
        "the application was not told by a signal"
    );
    let at = state.reloaded_at.context("the application did not say when it reloaded")?;
    Ok(UNIX_EPOCH + Duration::from_millis(at + 1))
}
