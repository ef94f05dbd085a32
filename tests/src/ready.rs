//! Waits for a server of ours.

use std::time::Duration;

use anyhow::Result;

use crate::process::Process;
use crate::{http, wait};

/// Waits until the server says that it is ready, on its port for that.
///
/// # Errors
/// If it does not; the message has its log's end.
pub(crate) fn ready(process: &mut Process, admin: u16) -> Result<()> {
    let client = http::plain_client()?;
    let url = format!("http://127.0.0.1:{admin}/readyz");
    wait::until("a server to become ready", Duration::from_secs(60), || {
        process.check()?;
        Ok(client.get(&url).send().ok().filter(|answer| answer.status().is_success()).map(drop))
    })
    .map_err(|error| anyhow::anyhow!("{error}; the end of its log:\n{}", process.tail()))
}
