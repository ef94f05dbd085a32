//! The ledger in SQL, the same statements for SQLite and PostgreSQL.
//!
//! Whoever changes the ledger locks the end of the audit trail first, so changes happen one after
//! the other on every replica and a transaction sees nothing move under it. Statements are checked
//! by tests against real databases and not by the compiler, which would need one to build.

mod audit;
mod bundles;
mod changes;
mod destroy;
mod grants;
mod holdings;
mod kept;
mod leases;
mod news;
mod open;
mod repeats;
mod rows;
mod secrets;
mod settings;
mod tokens;

use lockbox::Database;
use tokio_util::sync::CancellationToken;

use super::RepositoryError;
pub use destroy::Doomed;
pub use grants::PersonGrant;
pub use kept::Kept;
pub use news::CHANNEL;
pub(super) use open::Open;
use rows::database;
pub use tokens::{Holder, NewToken, TokenRow};

const MIGRATIONS_TABLE: &str = "_switchyard_migrations";

/// The ledger. Clones share it.
#[derive(Clone, Debug)]
pub struct Repository {
    database: Database,
    /// Cancelled when the disk could not flush what a transaction wrote.
    lost: CancellationToken,
}

impl Repository {
    /// The ledger in `database`, with its tables brought up to date.
    ///
    /// # Errors
    /// Where they cannot be.
    pub async fn open(database: Database) -> Result<Self, RepositoryError> {
        let (sqlite, postgres) =
            (sqlx::migrate!("migrations/sqlite"), sqlx::migrate!("migrations/postgres"));
        database
            .migrate(MIGRATIONS_TABLE, sqlite, postgres)
            .await
            .map_err(RepositoryError::Migrate)?;
        Ok(Self { database, lost: CancellationToken::new() })
    }

    /// The database below.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Returns when the disk could not flush what was written. The system may then say of the next
    /// flush that it worked, and mean only what came after: nothing is written any more, and the
    /// process must end, so that the next one reads what the disk really has.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Whether that has happened.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Whether the ledger can be written right now.
    ///
    /// # Errors
    /// Where it cannot.
    pub async fn health(&self) -> Result<(), RepositoryError> {
        let transaction = self.database.begin().await.map_err(database("begin ledger check"))?;
        transaction.rollback().await.map_err(database("end ledger check"))
    }
}
