//! Polling with a timeout.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Polls every 50 ms until there is a value.
///
/// # Errors
/// The error of `poll`, or that the time is over.
pub fn until<T>(
    what: &str,
    timeout: Duration,
    poll: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    until_every(Duration::from_millis(50), what, timeout, poll)
}

/// Polls with a pause of this length until there is a value.
///
/// # Errors
/// The error of `poll`, or that the time is over.
pub fn until_every<T>(
    pause: Duration,
    what: &str,
    timeout: Duration,
    mut poll: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + timeout;
    loop {
        if let Some(value) = poll()? {
            return Ok(value);
        }
        if Instant::now() > end {
            bail!("waited {timeout:?} for {what}");
        }
        std::thread::sleep(pause);
    }
}
