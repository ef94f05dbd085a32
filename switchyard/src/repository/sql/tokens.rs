//! Tokens of the API, as hashes.

use sqlx::Row as _;

use super::super::RepositoryError;
use super::Repository;
use super::rows::{database, text};

/// A token that is valid now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Its name.
    pub name: String,
    /// The hash of its text.
    pub hash: Vec<u8>,
}

impl Repository {
    /// The tokens that are neither revoked nor past their time.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, RepositoryError> {
        let rows = sqlx::query("SELECT name, hash FROM api_tokens WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)")
            .bind(jiff::Timestamp::now().as_millisecond())
            .fetch_all(self.database.reader())
            .await
            .map_err(database("list tokens"))?;
        rows.iter().map(|row| Ok(TokenRow { name: text(row, "name")?, hash: row.try_get("hash").map_err(database("hash"))? })).collect()
    }

    /// Adds an administrator's token; one of that name that is there already stays as it is.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn add_admin_token(&self, name: &str, hash: &[u8]) -> Result<(), RepositoryError> {
        sqlx::query(
            "INSERT INTO api_tokens (name, kind, subject_kind, subject, groups, role, scope, hash, created_at, created_by)
             VALUES ($1, 'token', 'token', $1, '[]', 'owner', '', $2, $3, 'system:bootstrap') ON CONFLICT DO NOTHING",
        )
        .bind(name.to_owned())
        .bind(hash.to_owned())
        .bind(jiff::Timestamp::now().as_millisecond())
        .execute(self.database.writer())
        .await
        .map_err(database("insert token"))?;
        Ok(())
    }
}
