//! Named settings shared by all replicas.

use super::super::{ChangeError, Fence, RepositoryError};
use super::rows::database;
use super::{LedgerTransaction, Repository};

impl Repository {
    /// The value of a setting.
    ///
    /// # Errors
    /// The database failed.
    pub async fn setting(&self, name: &'static str) -> Result<Option<String>, RepositoryError> {
        sqlx::query_scalar("SELECT value FROM settings WHERE name = $1")
            .bind(name)
            .fetch_optional(self.database.reader())
            .await
            .map_err(database("read setting"))
    }

    /// Stores a setting. With a fence, only while its lease is held.
    ///
    /// # Errors
    /// Another replica holds the lease, or the database failed.
    pub async fn set_setting(
        &self,
        name: &'static str,
        value: String,
        fence: Option<&Fence>,
    ) -> Result<(), ChangeError> {
        let mut tx = self.begin().await?;
        if let Some(fence) = fence {
            tx.check_fence(fence).await?;
        }
        set(&mut tx, name, value).await?;
        Ok(tx.commit().await?)
    }
}

async fn set(
    tx: &mut LedgerTransaction,
    name: &'static str,
    value: String,
) -> Result<(), RepositoryError> {
    sqlx::query(
        "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE \
        SET value = $2",
    )
    .bind(name)
    .bind(value)
    .execute(tx.connection())
    .await
    .map_err(database("write setting"))?;
    Ok(())
}
