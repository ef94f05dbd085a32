//! The ledger on SQLite.
//!
//! Writers take turns on one connection, so a transaction sees nothing move under it. Statements are
//! checked by tests against a real database and not by the compiler, which would need one to build.

mod audit;
mod bundles;
mod changes;
mod grants;
mod holdings;
mod rows;
mod secrets;
mod tokens;

use lockbox::Database;
use sqlx::migrate::Migrator;
use sqlx::{Sqlite, Transaction};

use super::RepositoryError;
use rows::database;
pub use tokens::TokenRow;

const MIGRATIONS_TABLE: &str = "_switchyard_migrations";

/// The ledger. Clones share it.
#[derive(Clone, Debug)]
pub struct Repository {
    database: Database,
}

impl Repository {
    /// The ledger in `database`, with its tables brought up to date.
    ///
    /// # Errors
    /// Where they cannot be.
    pub async fn open(database: Database) -> Result<Self, RepositoryError> {
        let mut migrator: Migrator = sqlx::migrate!("migrations/sqlite");
        migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
        migrator.run(database.writer()).await.map_err(RepositoryError::Migrate)?;
        Ok(Self { database })
    }

    /// Whether the ledger can be written right now.
    ///
    /// # Errors
    /// Where it cannot.
    pub async fn health(&self) -> Result<(), RepositoryError> {
        let transaction = self.begin().await?;
        transaction.rollback().await.map_err(database("end ledger check"))
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, RepositoryError> {
        self.database.writer().begin_with("BEGIN IMMEDIATE").await.map_err(database("begin ledger transaction"))
    }
}
