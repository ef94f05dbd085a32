//! How replicas hear of each other's changes: PostgreSQL's NOTIFY, in the transaction of the
//! change, so that it is sent when the change is there and not where it is given up. SQLite has one
//! replica, which tells itself.

use lockbox::database::Kind;

use super::super::{Bundle, BundleId, RepositoryError};
use super::rows::database;
use super::{Open, Repository};

/// Where bundles that moved are told.
pub const CHANNEL: &str = "enclii_bundles";

impl Repository {
    /// The bundle of that number.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn bundle_by_id(&self, id: BundleId) -> Result<Option<Bundle>, RepositoryError> {
        let row = sqlx::query("SELECT * FROM bundles WHERE id = $1")
            .bind(id.0)
            .fetch_optional(self.database.reader())
            .await
            .map_err(database("find bundle by number"))?;
        row.as_ref().map(super::bundles::bundle).transpose()
    }
}

pub(super) async fn tell(
    open: &mut Open,
    kind: Kind,
    bundles: &[Bundle],
) -> Result<(), RepositoryError> {
    if kind == Kind::Sqlite {
        return Ok(());
    }
    for bundle in bundles {
        sqlx::query("SELECT pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(bundle.id.0.to_string())
            .execute(open.run())
            .await
            .map_err(database("tell the other replicas"))?;
    }
    Ok(())
}
