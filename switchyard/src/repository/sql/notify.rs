//! Notifies other replicas of changes with PostgreSQL's NOTIFY. It runs in the transaction of the
//! change, so a notification is sent only if the change commits. SQLite has a single replica and
//! needs none.

use lockbox::database::DatabaseKind;

use super::super::{Bundle, BundleId, RepositoryError};
use super::rows::database;
use super::{LedgerTransaction, Repository};
use lockbox::database::query;

/// The notification channel. The payload is the id of a bundle that changed.
pub const CHANNEL: &str = "enclii_bundles";

impl Repository {
    /// The bundle with this id.
    ///
    /// # Errors
    /// The database failed.
    pub async fn bundle_by_id(&self, id: BundleId) -> Result<Option<Bundle>, RepositoryError> {
        let row = query("SELECT * FROM bundles WHERE id = $1")
            .bind(id.0)
            .fetch_optional(self.database.reader())
            .await
            .map_err(database("find bundle by number"))?;
        row.as_ref().map(super::bundles::bundle).transpose()
    }
}

pub(super) async fn notify(
    tx: &mut LedgerTransaction<'_>,
    kind: DatabaseKind,
    bundles: &[Bundle],
) -> Result<(), RepositoryError> {
    if kind == DatabaseKind::Sqlite {
        return Ok(());
    }
    for bundle in bundles {
        query("SELECT pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(bundle.id.0.to_string())
            .execute(tx.connection())
            .await
            .map_err(database("notify other replicas"))?;
    }
    Ok(())
}
