//! What is kept beside the audit events: the signed checkpoints, and how far each sink is. A
//! leader's job writes them, and each statement is done only while its lease is the one in the
//! database.

use audit::{Checkpoint, Hash};
use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::super::{Fence, RepositoryError};
use super::Repository;
use super::rows::{bytes, count, database, signed, text, time};

/// A checkpoint, and when it was put outside of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// When it was put outside.
    pub placed_at: Option<Timestamp>,
}

impl Repository {
    /// The last event's number and its hash.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn trail_head(&self) -> Result<(u64, Hash), RepositoryError> {
        let row = sqlx::query("SELECT sequence, hash FROM audit_head WHERE id = 1")
            .fetch_one(self.database.reader())
            .await
            .map_err(database("find end of audit trail"))?;
        let hash = Hash::from_slice(&bytes(&row, "hash")?).ok_or(RepositoryError::Form("hash"))?;
        Ok((count(&row, "sequence")?, hash))
    }

    /// Checkpoints behind the one of record `after`.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn checkpoints(&self, after: u64, limit: u32) -> Result<Vec<Kept>, RepositoryError> {
        let rows = sqlx::query(
            "SELECT * FROM audit_checkpoints WHERE sequence > $1 ORDER BY sequence LIMIT $2",
        )
        .bind(signed(after))
        .bind(i64::from(limit))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("list checkpoints"))?;
        rows.iter().map(kept).collect()
    }

    /// Keeps a checkpoint that was put outside.
    ///
    /// # Errors
    /// Where the lease is another's by now, or the database fails.
    pub async fn keep_checkpoint(
        &self,
        fence: &Fence,
        checkpoint: &Checkpoint,
        placed_at: Timestamp,
    ) -> Result<(), RepositoryError> {
        sqlx::query(
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
        .bind(signed(fence.number))
        .execute(self.database.writer())
        .await
        .map_err(database("keep checkpoint"))?;
        Ok(())
    }

    /// The last event that a sink has; 0 where it has none.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn exported(&self, sink: &str) -> Result<u64, RepositoryError> {
        let row = sqlx::query("SELECT sequence FROM audit_exports WHERE sink = $1")
            .bind(sink.to_owned())
            .fetch_optional(self.database.reader())
            .await
            .map_err(database("find how far a sink is"))?;
        row.map_or(Ok(0), |row| count(&row, "sequence"))
    }

    /// Notes how far a sink is, and what went wrong last. `false`: the lease is another's by now.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn note_export(
        &self,
        fence: &Fence,
        sink: &str,
        sequence: u64,
        error: Option<String>,
    ) -> Result<bool, RepositoryError> {
        let done = sqlx::query(
            "INSERT INTO audit_exports (sink, sequence, updated_at, last_error)
             SELECT $1, $2, $3, $4 FROM leases WHERE name = $5 AND fence = $6
             ON CONFLICT (sink) DO UPDATE SET sequence = excluded.sequence, updated_at = excluded.updated_at, last_error = excluded.last_error",
        )
        .bind(sink.to_owned())
        .bind(signed(sequence))
        .bind(Timestamp::now().as_millisecond())
        .bind(error)
        .bind(fence.name)
        .bind(signed(fence.number))
        .execute(self.database.writer())
        .await
        .map_err(database("note how far a sink is"))?;
        Ok(done.rows_affected() == 1)
    }
}

fn kept(row: &AnyRow) -> Result<Kept, RepositoryError> {
    let placed: Option<i64> =
        sqlx::Row::try_get(row, "placed_at").map_err(database("placed_at"))?;
    let signature = String::from_utf8(bytes(row, "signature")?)
        .map_err(|_| RepositoryError::Form("signature"))?;
    Ok(Kept {
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
