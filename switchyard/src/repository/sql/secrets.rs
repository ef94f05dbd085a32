//! Reading secrets and their versions.

use std::collections::BTreeMap;

use contract::api::VersionState;
use contract::{Scope, SecretName, Version};
use lockbox::Reference;
use sqlx::any::AnyRow;

use super::super::{RepositoryError, Secret, VersionRow};
use super::Repository;
use super::rows::{columns, count, database, name, stored, text, time};

impl Repository {
    /// The secrets of a scope itself, by name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn list(&self, scope: &Scope) -> Result<Vec<Secret>, RepositoryError> {
        let [project, environment, service] = columns(scope);
        let rows = sqlx::query(
            "SELECT s.name, s.current_version AS version, v.vault_ref, s.created_at, s.updated_at
             FROM secrets s JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
             WHERE s.project = $1 AND s.environment = $2 AND s.service = $3 AND s.deleted_at IS NULL ORDER BY s.name",
        )
        .bind(project)
        .bind(environment)
        .bind(service)
        .fetch_all(self.database.reader())
        .await
        .map_err(database("list secrets"))?;
        rows.iter().map(secret).collect()
    }

    /// One secret at its active version.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn find(&self, scope: &Scope, name: &SecretName) -> Result<Option<Secret>, RepositoryError> {
        let [project, environment, service] = columns(scope);
        let row = sqlx::query(
            "SELECT s.name, s.current_version AS version, v.vault_ref, s.created_at, s.updated_at
             FROM secrets s JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
             WHERE s.project = $1 AND s.environment = $2 AND s.service = $3 AND s.name = $4 AND s.deleted_at IS NULL",
        )
        .bind(project)
        .bind(environment)
        .bind(service)
        .bind(name.as_str().to_owned())
        .fetch_optional(self.database.reader())
        .await
        .map_err(database("find secret"))?;
        row.as_ref().map(secret).transpose()
    }

    /// The versions of a secret, newest first, those from before a delete too. Empty where there is
    /// no such secret.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn versions(&self, scope: &Scope, name: &SecretName) -> Result<Vec<VersionRow>, RepositoryError> {
        let [project, environment, service] = columns(scope);
        let rows = sqlx::query(
            "SELECT v.version, v.vault_ref, v.rotation_status, v.created_at, v.created_by
             FROM secrets s JOIN secret_versions v ON v.secret_id = s.id
             WHERE s.project = $1 AND s.environment = $2 AND s.service = $3 AND s.name = $4 AND s.deleted_at IS NULL
             ORDER BY v.version DESC",
        )
        .bind(project)
        .bind(environment)
        .bind(service)
        .bind(name.as_str().to_owned())
        .fetch_all(self.database.reader())
        .await
        .map_err(database("list versions"))?;
        rows.iter().map(version).collect()
    }

    /// The version that each secret of a scope is at, deleted ones too: the next one is one more.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn counts(&self, scope: &Scope) -> Result<BTreeMap<SecretName, Version>, RepositoryError> {
        let [project, environment, service] = columns(scope);
        let rows = sqlx::query("SELECT name, latest_version FROM secrets WHERE project = $1 AND environment = $2 AND service = $3")
            .bind(project)
            .bind(environment)
            .bind(service)
            .fetch_all(self.database.reader())
            .await
            .map_err(database("count versions"))?;
        rows.iter().map(|row| Ok((name(row)?, Version(count(row, "latest_version")?)))).collect()
    }
}

fn secret(row: &AnyRow) -> Result<Secret, RepositoryError> {
    Ok(Secret { name: name(row)?, stored: stored(row)?, created_at: time(row, "created_at")?, updated_at: time(row, "updated_at")? })
}

fn version(row: &AnyRow) -> Result<VersionRow, RepositoryError> {
    let state = match text(row, "rotation_status")?.as_str() {
        "pending" => VersionState::Pending,
        "active" => VersionState::Active,
        "archived" => VersionState::Archived,
        "destroyed" => VersionState::Destroyed,
        _ => return Err(RepositoryError::Form("rotation_status")),
    };
    Ok(VersionRow {
        version: Version(count(row, "version")?),
        reference: Reference::new(text(row, "vault_ref")?),
        state,
        created_at: time(row, "created_at")?,
        created_by: text(row, "created_by")?,
    })
}
