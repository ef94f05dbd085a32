//! An open change of the ledger: a transaction that holds the end of the audit trail.

use audit::Hash;
use sqlx::{Any, Transaction};
use tokio_util::sync::CancellationToken;

use super::super::RepositoryError;
use super::Repository;
use super::rows::{bytes, count, database, signed};

/// A transaction that nobody else writes beside, whichever replica they are.
pub(in super::super) struct Open {
    transaction: Transaction<'static, Any>,
    head: Head,
    moved: bool,
    lost: CancellationToken,
}

/// The end of the trail: the last event's number and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) sequence: u64,
    pub(super) hash: Hash,
}

impl Repository {
    /// Begins a change. It waits for its turn behind the others for as long as the database's lock
    /// timeout allows.
    pub(super) async fn begin(&self) -> Result<Open, RepositoryError> {
        if self.lost.is_cancelled() {
            return Err(RepositoryError::Lost);
        }
        let mut transaction =
            self.database.begin().await.map_err(database("begin ledger transaction"))?;
        // An update that changes nothing takes the row's lock on either database.
        let row = sqlx::query(
            "UPDATE audit_head SET sequence = sequence WHERE id = 1 RETURNING sequence, hash",
        )
        .fetch_one(&mut *transaction)
        .await
        .map_err(database("lock end of audit trail"))?;
        let hash = Hash::from_slice(&bytes(&row, "hash")?).ok_or(RepositoryError::Form("hash"))?;
        let head = Head { sequence: count(&row, "sequence")?, hash };
        Ok(Open { transaction, head, moved: false, lost: self.lost.clone() })
    }
}

impl Open {
    /// What statements run on.
    pub(super) fn run(&mut self) -> &mut sqlx::AnyConnection {
        &mut self.transaction
    }

    pub(super) fn head(&self) -> Head {
        self.head
    }

    pub(super) fn advance(&mut self, head: Head) {
        self.head = head;
        self.moved = true;
    }

    /// Makes the change durable, and the end of the trail with it.
    pub(super) async fn commit(mut self) -> Result<(), RepositoryError> {
        if self.moved {
            sqlx::query("UPDATE audit_head SET sequence = $1, hash = $2 WHERE id = 1")
                .bind(signed(self.head.sequence))
                .bind(self.head.hash.0.to_vec())
                .execute(self.run())
                .await
                .map_err(database("move end of audit trail"))?;
        }
        let Self { transaction, lost, .. } = self;
        transaction.commit().await.map_err(|source| {
            if is_flush(&source) {
                tracing::error!(
                    "what was written could not be flushed to the disk: nothing is written any more"
                );
                lost.cancel();
            }
            database("commit ledger transaction")(source)
        })
    }
}

/// Whether SQLite could not flush a file, or the directory of one (`SQLITE_IOERR_FSYNC`,
/// `SQLITE_IOERR_DIR_FSYNC`). PostgreSQL ends itself there.
fn is_flush(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| matches!(code.as_ref(), "1034" | "1290"))
}
