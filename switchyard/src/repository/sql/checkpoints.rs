//! Signed checkpoints and the progress of audit sinks. Background jobs write them, each under its
//! lease: a statement takes effect only while the fence is current.

use audit::{Checkpoint, Hash};
use jiff::Timestamp;
use lockbox::database::{Row, query};

use super::super::{Fence, RepositoryError};
use super::Repository;
use super::rows::{bytes, count, database, signed, text, time};

/// A checkpoint, and when it was written outside the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// When it was written outside the database.
    pub placed_at: Option<Timestamp>,
}

impl Repository {
    /// The last event's sequence and hash.
    ///
    /// # Errors
    /// The database failed.
    pub async fn audit_head(&self) -> Result<(u64, Hash), RepositoryError> {
        let row = query("SELECT sequence, hash FROM audit_head WHERE id = 1")
            .fetch_one(self.database.reader())
            .await
            .map_err(database("read audit head"))?;
        let hash = Hash::from_slice(&bytes(&row, "hash")?).ok_or(RepositoryError::Form("hash"))?;
        Ok((count(&row, "sequence")?, hash))
    }

    /// A page of checkpoints for records after `after`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn checkpoints(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredCheckpoint>, RepositoryError> {
        let rows =
            query("SELECT * FROM audit_checkpoints WHERE sequence > $1 ORDER BY sequence LIMIT $2")
                .bind(signed(after))
                .bind(i64::from(limit))
                .fetch_all(self.database.reader())
                .await
                .map_err(database("list checkpoints"))?;
        rows.iter().map(stored_checkpoint).collect()
    }

    /// Stores a checkpoint that was written outside the database. Does nothing if the lease is
    /// lost.
    ///
    /// # Errors
    /// The database failed.
    pub async fn store_checkpoint(
        &self,
        fence: &Fence,
        checkpoint: &Checkpoint,
        placed_at: Timestamp,
    ) -> Result<(), RepositoryError> {
        let statement = query(
            "INSERT INTO audit_checkpoints (sequence, at, hash, key_id, signature, placed_at)
             SELECT $1, $2, $3, $4, $5, $6 FROM leases WHERE name = $7 AND fence = $8
             ON CONFLICT (sequence) DO NOTHING",
        )
        .bind(signed(checkpoint.sequence))
        .bind(checkpoint.at.as_millisecond())
        .bind(checkpoint.hash.0.to_vec())
        .bind(checkpoint.key_id.clone())
        .bind(checkpoint.signature.clone().into_bytes())
        .bind(placed_at.as_millisecond())
        .bind(fence.name)
        .bind(signed(fence.number));
        self.database.execute(statement).await.map_err(database("store checkpoint"))?;
        Ok(())
    }

    /// The sequence of the last event that a sink confirmed, or 0.
    ///
    /// # Errors
    /// The database failed.
    pub async fn exported_sequence(&self, sink: &str) -> Result<u64, RepositoryError> {
        let row = query("SELECT sequence FROM audit_exports WHERE sink = $1")
            .bind(sink.to_owned())
            .fetch_optional(self.database.reader())
            .await
            .map_err(database("read sink progress"))?;
        row.map_or(Ok(0), |row| count(&row, "sequence"))
    }

    /// Records a sink's progress and its last error. Returns `false` if the lease is lost.
    ///
    /// # Errors
    /// The database failed.
    pub async fn record_export(
        &self,
        fence: &Fence,
        sink: &str,
        sequence: u64,
        error: Option<String>,
    ) -> Result<bool, RepositoryError> {
        let statement = query(
            "INSERT INTO audit_exports (sink, sequence, updated_at, last_error)
             SELECT $1, $2, $3, $4 FROM leases WHERE name = $5 AND fence = $6
             ON CONFLICT (sink) DO UPDATE SET sequence = excluded.sequence, updated_at = \
             excluded.updated_at, last_error = excluded.last_error",
        )
        .bind(sink.to_owned())
        .bind(signed(sequence))
        .bind(Timestamp::now().as_millisecond())
        .bind(error)
        .bind(fence.name)
        .bind(signed(fence.number));
        let done = self.database.execute(statement).await;
        Ok(done.map_err(database("record sink progress"))? == 1)
    }
}

fn stored_checkpoint(row: &Row) -> Result<StoredCheckpoint, RepositoryError> {
    let placed: Option<i64> = row.try_get("placed_at").map_err(database("placed_at"))?;
    let signature = String::from_utf8(bytes(row, "signature")?)
        .map_err(|_| RepositoryError::Form("signature"))?;
    Ok(StoredCheckpoint {
        checkpoint: Checkpoint {
            sequence: count(row, "sequence")?,
            hash: Hash::from_slice(&bytes(row, "hash")?).ok_or(RepositoryError::Form("hash"))?,
            at: time(row, "at")?,
            key_id: text(row, "key_id")?,
            signature,
        },
        placed_at: placed.and_then(|at| Timestamp::from_millisecond(at).ok()),
    })
}
