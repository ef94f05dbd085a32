//! Named settings shared by all replicas.
use lockbox::database::query;

use audit::Event;
use jiff::Timestamp;

use super::super::{ChangeError, Fence, RepositoryError};
use super::rows::{database, text};
use super::{LedgerTransaction, Repository};

impl Repository {
    /// The value of a setting.
    ///
    /// # Errors
    /// The database failed.
    pub async fn setting(&self, name: &'static str) -> Result<Option<String>, RepositoryError> {
        let row = query("SELECT value FROM settings WHERE name = $1")
            .bind(name)
            .fetch_optional(self.database.reader())
            .await
            .map_err(database("read setting"))?;
        row.map(|row| text(&row, "value")).transpose()
    }

    /// Changes a setting, with audit events in the same transaction. `change` gets the current
    /// value.
    ///
    /// # Errors
    /// The database failed.
    pub async fn change_setting(
        &self,
        name: &'static str,
        change: impl FnOnce(Option<&str>) -> (String, Vec<Event>) + Send + 'static,
    ) -> Result<(), RepositoryError> {
        self.transaction(async move |tx| {
            let current = get(tx, name).await?;
            let (value, events) = change(current.as_deref());
            set(tx, name, value).await?;
            let now = Timestamp::now();
            for event in &events {
                super::audit_events::insert(tx, now, event).await?;
            }
            Ok(())
        })
        .await
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
        let fence = fence.cloned();
        self.transaction(async move |tx| {
            if let Some(fence) = &fence {
                tx.check_fence(fence).await?;
            }
            Ok(set(tx, name, value).await?)
        })
        .await
    }
}

pub(super) async fn get(
    tx: &mut LedgerTransaction<'_>,
    name: &'static str,
) -> Result<Option<String>, RepositoryError> {
    let row = query("SELECT value FROM settings WHERE name = $1")
        .bind(name)
        .fetch_optional(tx.connection())
        .await
        .map_err(database("read setting"))?;
    row.map(|row| text(&row, "value")).transpose()
}

pub(super) async fn set(
    tx: &mut LedgerTransaction<'_>,
    name: &'static str,
    value: String,
) -> Result<(), RepositoryError> {
    query(
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
