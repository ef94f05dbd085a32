//! Ledger transactions, serialized by a lock on the audit log's head row.

use audit::Hash;
use sqlx::{Any, Transaction};
use tokio_util::sync::CancellationToken;

use super::super::RepositoryError;
use super::Repository;
use super::rows::{bytes, count, database, signed};

/// A transaction with no concurrent writers on any replica.
pub(in super::super) struct LedgerTransaction {
    transaction: Transaction<'static, Any>,
    head: AuditHead,
    head_moved: bool,
    lost: CancellationToken,
}

/// The head of the audit log: the last event's sequence and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AuditHead {
    pub(super) sequence: u64,
    pub(super) hash: Hash,
}

impl Repository {
    /// Begins a transaction. It waits for earlier ones, up to the database's lock timeout.
    pub(super) async fn begin(&self) -> Result<LedgerTransaction, RepositoryError> {
        if self.lost.is_cancelled() {
            return Err(RepositoryError::Lost);
        }
        let mut transaction =
            self.database.begin().await.map_err(database("begin ledger transaction"))?;
        // A no-op update locks the row on both databases.
        let row = sqlx::query(
            "UPDATE audit_head SET sequence = sequence WHERE id = 1 RETURNING sequence, hash",
        )
        .fetch_one(&mut *transaction)
        .await
        .map_err(database("lock audit head"))?;
        let hash = Hash::from_slice(&bytes(&row, "hash")?).ok_or(RepositoryError::Form("hash"))?;
        let head = AuditHead { sequence: count(&row, "sequence")?, hash };
        Ok(LedgerTransaction { transaction, head, head_moved: false, lost: self.lost.clone() })
    }
}

impl LedgerTransaction {
    /// The connection to run statements on.
    pub(super) fn connection(&mut self) -> &mut sqlx::AnyConnection {
        &mut self.transaction
    }

    pub(super) fn head(&self) -> AuditHead {
        self.head
    }

    pub(super) fn advance(&mut self, head: AuditHead) {
        self.head = head;
        self.head_moved = true;
    }

    /// Commits, with the new head.
    pub(super) async fn commit(mut self) -> Result<(), RepositoryError> {
        if self.head_moved {
            sqlx::query("UPDATE audit_head SET sequence = $1, hash = $2 WHERE id = 1")
                .bind(signed(self.head.sequence))
                .bind(self.head.hash.0.to_vec())
                .execute(self.connection())
                .await
                .map_err(database("update audit head"))?;
        }
        let Self { transaction, lost, .. } = self;
        transaction.commit().await.map_err(|source| {
            if is_flush_failure(&source) {
                tracing::error!(
                    "a write could not be flushed to disk, no further writes are accepted"
                );
                lost.cancel();
            }
            database("commit ledger transaction")(source)
        })
    }
}

/// Whether SQLite failed to flush a file or directory (`SQLITE_IOERR_FSYNC`,
/// `SQLITE_IOERR_DIR_FSYNC`). PostgreSQL itself panics and restarts.
fn is_flush_failure(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| matches!(code.as_ref(), "1034" | "1290"))
}
