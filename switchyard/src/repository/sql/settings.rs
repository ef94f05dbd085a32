//! Settings: texts under a name, for what all replicas have to know.

use super::super::{ChangeError, Fence, RepositoryError};
use super::rows::database;
use super::{Open, Repository};

impl Repository {
    /// The text of that name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn setting(&self, name: &'static str) -> Result<Option<String>, RepositoryError> {
        sqlx::query_scalar("SELECT value FROM settings WHERE name = $1")
            .bind(name)
            .fetch_optional(self.database.reader())
            .await
            .map_err(database("read setting"))
    }

    /// Sets the text of that name, for a leader's job only while it leads.
    ///
    /// # Errors
    /// Where another replica leads by now, or the database fails.
    pub async fn set_setting(
        &self,
        name: &'static str,
        value: String,
        fence: Option<&Fence>,
    ) -> Result<(), ChangeError> {
        let mut open = self.begin().await?;
        if let Some(fence) = fence {
            open.guard(fence).await?;
        }
        set(&mut open, name, value).await?;
        Ok(open.commit().await?)
    }
}

async fn set(open: &mut Open, name: &'static str, value: String) -> Result<(), RepositoryError> {
    sqlx::query("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2")
        .bind(name)
        .bind(value)
        .execute(open.run())
        .await
        .map_err(database("write setting"))?;
    Ok(())
}
