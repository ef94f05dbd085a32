//! Ledger transactions, serialized by a lock on the audit log's head row.

use std::sync::Arc;

use audit::Hash;
use lockbox::database::{Connection, DatabaseError, QueueFull, query};

use super::super::RepositoryError;
use super::super::authenticity::{Authenticity, Forgery};
use super::super::digest::{Digest, Table};
use super::super::mac::LedgerKey;
use super::super::table_digests::TableDigests;
use super::Repository;
use super::rows::{bytes, count, database, signed};

/// A transaction with no concurrent writers on any replica.
pub(in super::super) struct LedgerTransaction<'c> {
    connection: &'c mut Connection,
    head: AuditHead,
    head_moved: bool,
    authenticity: Arc<Authenticity>,
    /// The digests as they are stored.
    stored: Option<Vec<u8>>,
    /// The digests after the changes so far, if there is one.
    digests: Option<TableDigests>,
    /// The key that all rows were signed under, just now.
    new_key: Option<Arc<LedgerKey>>,
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
        let authenticity = self.authenticity.clone();
        self.database
            .transaction(async move |connection: &mut Connection| {
                run(connection, authenticity, work).await
            })
            .await
    }

    /// As [`Self::transaction`], for a change that nobody waits for here: `answer` learns how it
    /// ended, on the database's thread.
    ///
    /// # Errors
    /// There is no room in the queue now, and `answer` is not asked.
    pub(super) fn try_submit<T, E, F>(
        &self,
        work: F,
        answer: impl FnOnce(Result<T, E>) + Send + 'static,
    ) -> Result<(), QueueFull>
    where
        F: AsyncFnOnce(&mut LedgerTransaction<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<RepositoryError> + From<DatabaseError> + Send + 'static,
    {
        let authenticity = self.authenticity.clone();
        let work =
            async move |connection: &mut Connection| run(connection, authenticity, work).await;
        self.database.try_submit(work, answer)
    }
}

async fn run<T, E, F>(
    connection: &mut Connection,
    authenticity: Arc<Authenticity>,
    work: F,
) -> Result<T, E>
where
    F: AsyncFnOnce(&mut LedgerTransaction<'_>) -> Result<T, E>,
    E: From<RepositoryError>,
{
    let mut tx = LedgerTransaction::begin(connection, authenticity).await?;
    let done = work(&mut tx).await?;
    tx.finish().await?;
    Ok(done)
}

impl<'c> LedgerTransaction<'c> {
    async fn begin(
        connection: &'c mut Connection,
        authenticity: Arc<Authenticity>,
    ) -> Result<Self, RepositoryError> {
        // A no-op update locks the row on both databases.
        let row = query(
            "UPDATE audit_head SET sequence = sequence WHERE id = 1 RETURNING sequence, hash, \
                digests",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(database("lock audit head"))?;
        let hash = Hash::from_slice(&bytes(&row, "hash")?).ok_or(RepositoryError::Form("hash"))?;
        let head = AuditHead { sequence: count(&row, "sequence")?, hash };
        let stored = row.try_get("digests").map_err(database("digests"))?;
        Ok(Self {
            connection,
            head,
            head_moved: false,
            authenticity,
            stored,
            digests: None,
            new_key: None,
        })
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

    /// The ledger's key.
    pub(super) fn key(&self) -> Result<Arc<LedgerKey>, RepositoryError> {
        self.authenticity.key()
    }

    /// Reports a forgery, and returns the error of whoever came across it.
    pub(super) fn refuse(&self, forgery: Forgery) -> RepositoryError {
        self.authenticity.refuse(forgery)
    }

    /// Takes a row out of a table's digest, puts one into it, or both.
    pub(super) fn replace_row(
        &mut self,
        table: Table,
        before: Option<Digest>,
        after: Option<Digest>,
    ) -> Result<(), RepositoryError> {
        if before == after {
            return Ok(());
        }
        let mut digests = match self.digests {
            Some(digests) => digests,
            None => {
                let stored = self.stored.as_deref().unwrap_or_default();
                let decoded = TableDigests::decode(&*self.key()?, stored);
                decoded.ok_or_else(|| self.refuse(Forgery::digests()))?
            }
        };
        let of = digests.of_mut(table);
        of.changes = of.changes.saturating_add(1);
        of.rows = before.into_iter().fold(of.rows, Digest::minus);
        of.rows = after.into_iter().fold(of.rows, Digest::plus);
        self.digests = Some(digests);
        Ok(())
    }

    /// Begins the digests anew, of rows that were taken over under a new key.
    pub(super) fn set_digests(&mut self, digests: TableDigests, key: Arc<LedgerKey>) {
        (self.digests, self.new_key) = (Some(digests), Some(key));
    }

    /// Writes the new head.
    async fn finish(self) -> Result<(), RepositoryError> {
        if let Some(digests) = self.digests {
            let key = self.new_key.map_or_else(|| self.authenticity.key(), Ok)?;
            query("UPDATE audit_head SET sequence = $1, hash = $2, digests = $3 WHERE id = 1")
                .bind(signed(self.head.sequence))
                .bind(self.head.hash.0.to_vec())
                .bind(digests.encode(&key))
                .execute(self.connection)
                .await
                .map_err(database("update audit head"))?;
        } else if self.head_moved {
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
