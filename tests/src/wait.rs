//! Waiting with a deadline.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks until there is an answer.
///
/// # Errors
/// What `ask` fails with, or that the deadline has passed.
pub fn until<T>(
    what: &str,
    deadline: Duration,
    ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    until_every(Duration::from_millis(50), what, deadline, ask)
}

/// Asks until there is an answer, with `pause` between.
///
/// # Errors
/// What `ask` fails with, or that the deadline has passed.
pub fn until_every<T>(
    pause: Duration,
    what: &str,
    deadline: Duration,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() > end {
            bail!("waited {deadline:?} for {what}");
        }
        std::thread::sleep(pause);
    }
}
