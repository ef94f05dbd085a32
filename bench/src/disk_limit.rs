//! What the disk allows: how often SQLite commits, one row and one flush each, with the settings of
//! switchyard's database.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rusqlite::Connection;

/// The commits a second.
///
/// # Errors
/// If the file cannot be made or written.
pub fn commits_per_second(duration: Duration) -> Result<f64> {
    let directory = tempfile::Builder::new().prefix("enclii-bench-").tempdir()?;
    let connection = Connection::open(directory.path().join("limit.db")).context("open SQLite")?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE it (n INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;",
    )?;
    let mut insert = connection.prepare("INSERT INTO it (text) VALUES (?1)")?;
    let (from, mut commits) = (Instant::now(), 0_u32);
    while from.elapsed() < duration {
        insert.execute(["a row about as long as that of a version in the ledger"])?;
        commits += 1;
    }
    Ok(f64::from(commits) / from.elapsed().as_secs_f64())
}
