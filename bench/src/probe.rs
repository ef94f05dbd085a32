//! What the measurements of the agent and of its peer have in common: the size of a program and the
//! time from a write to the file.

use std::path::Path;
use std::thread::scope;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use e2e::wait;

use crate::statistics::milliseconds;

/// The pause between two checks: far below what is measured, and long enough to leave the
/// processor to the measured process.
pub const POLL_INTERVAL: Duration = Duration::from_micros(50);

/// The size of a program in MB.
///
/// # Errors
/// If the file does not exist.
pub fn file_size_mb(program: &Path) -> Result<f64> {
    let bytes = std::fs::metadata(program)
        .with_context(|| format!("read size of {}", program.display()))?
        .len();
    // A program is smaller than an exabyte, so the conversion is exact.
    Ok(bytes as f64 / 1e6)
}

/// The milliseconds from the start of `write` until the file holds the value. The write's response
/// may arrive before or after the file does, so the write runs on a thread of its own.
///
/// # Errors
/// If the write fails, or the file does not hold the value within `timeout`.
pub fn time_until_file(
    file: &Path,
    value: &str,
    timeout: Duration,
    write: impl FnOnce() -> Result<()> + Send,
) -> Result<f64> {
    scope(|scope| {
        let from = Instant::now();
        let writer = scope.spawn(write);
        let time = wait::until_every(POLL_INTERVAL, "the file", timeout, || {
            let new = std::fs::read(file).is_ok_and(|bytes| bytes == value.as_bytes());
            Ok(new.then(|| milliseconds(from.elapsed())))
        });
        match writer.join() {
            Ok(written) => written.and(time),
            Err(_) => bail!("the writer panicked"),
        }
    })
}
