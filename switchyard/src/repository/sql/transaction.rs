//! Ledger transactions, serialized by a lock on the audit log's head row.

use audit::Hash;
use lockbox::database::{Connection, DatabaseError, query};

use super::super::RepositoryError;
use super::Repository;
use super::rows::{bytes, count, database, signed};

/// A transaction with no concurrent writers on any replica.
pub(in super::super) struct LedgerTransaction<'c> {
    connection: &'c mut Connection,
    head: AuditHead,
    head_moved: bool,
}

/// The head of the audit log: the last event's sequence and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AuditHead {
    pub(super) sequence: u64,
    pub(super) hash: Hash,
}

impl Repository {
    /// Runs `work` in a transaction, after those that were queued before it. What it did is durable
    /// when this returns `Ok`; if it fails, all of it is rolled back.
    pub(super) async fn transaction<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&mut LedgerTransaction<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<RepositoryError> + From<DatabaseError> + Send + 'static,
    {
        self.database
            .transaction(async move |connection: &mut Connection| {
                let mut tx = LedgerTransaction::begin(connection).await?;
                let done = work(&mut tx).await?;
                tx.finish().await?;
                Ok(done)
            })
            .await
    }
}

impl<'c> LedgerTransaction<'c> {
    async fn begin(connection: &'c mut Connection) -> Result<Self, RepositoryError> {
        // A no-op update locks the row on both databases.
        let row = query(
            "UPDATE audit_head SET sequence = sequence WHERE id = 1 RETURNING sequence, hash",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(database("lock audit head"))?;
        let hash = Hash::from_slice(&bytes(&row, "hash")?).ok_or(RepositoryError::Form("hash"))?;
        let head = AuditHead { sequence: count(&row, "sequence")?, hash };
        Ok(Self { connection, head, head_moved: false })
    }

    /// The connection to run statements on.
    pub(super) fn connection(&mut self) -> &mut Connection {
        self.connection
    }

    pub(super) fn head(&self) -> AuditHead {
        self.head
    }

    pub(super) fn advance(&mut self, head: AuditHead) {
        self.head = head;
        self.head_moved = true;
    }

    /// Writes the new head.
    async fn finish(self) -> Result<(), RepositoryError> {
        if self.head_moved {
            query("UPDATE audit_head SET sequence = $1, hash = $2 WHERE id = 1")
                .bind(signed(self.head.sequence))
                .bind(self.head.hash.0.to_vec())
                .execute(self.connection)
                .await
                .map_err(database("update audit head"))?;
        }
        Ok(())
    }
}
