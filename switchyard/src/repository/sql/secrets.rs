//! Reading secrets and their versions.

use std::collections::BTreeMap;

use contract::api::VersionState;
use contract::{Scope, SecretName, Version};
use lockbox::{Known, Reference};
use sqlx::any::AnyRow;

use super::super::{Counted, ListQuery, RepositoryError, Secret, VersionRow};
use super::Repository;
use super::rows::{
    columns, count, database, name, optional_time, scope, signed, stored, text, time,
};

impl Repository {
    /// Some secrets of a scope itself, by name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn list(
        &self,
        scope: &Scope,
        query: &ListQuery,
    ) -> Result<Vec<Secret>, RepositoryError> {
        let [project, environment, service] = columns(scope);
        let rows = sqlx::query(
            "SELECT s.name, s.current_version AS version, v.vault_ref, s.created_at, s.updated_at, s.deleted_at
             FROM secrets s JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
             WHERE s.project = $1 AND s.environment = $2 AND s.service = $3 AND s.name > $4
               AND (s.deleted_at IS NULL OR ($5 = 1 AND v.rotation_status <> 'destroyed'))
             ORDER BY s.name LIMIT $6",
        )
        .bind(project)
        .bind(environment)
        .bind(service)
        .bind(query.after.as_ref().map_or_else(String::new, |name| name.as_str().to_owned()))
        .bind(i64::from(query.deleted))
        .bind(i64::from(query.limit))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("list secrets"))?;
        rows.iter().map(secret).collect()
    }

    /// One secret at its active version.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn find(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<Option<Secret>, RepositoryError> {
        let [project, environment, service] = columns(scope);
        let row = sqlx::query(
            "SELECT s.name, s.current_version AS version, v.vault_ref, s.created_at, s.updated_at, s.deleted_at
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

    /// Every secret that is there, in every scope, at its active version.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn in_use(&self) -> Result<Vec<Known>, RepositoryError> {
        let rows = sqlx::query(
            "SELECT s.project, s.environment, s.service, s.name, s.current_version AS version, v.vault_ref
             FROM secrets s JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
             WHERE s.deleted_at IS NULL ORDER BY s.id",
        )
        .fetch_all(self.database.reader())
        .await
        .map_err(database("list secrets in use"))?;
        rows.iter()
            .map(|row| Ok(Known { scope: scope(row)?, name: name(row)?, stored: stored(row)? }))
            .collect()
    }

    /// The version that was active when a secret was deleted; `None` where it is not.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn deleted_at_version(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<Option<Version>, RepositoryError> {
        let [project, environment, service] = columns(scope);
        let row = sqlx::query(
            "SELECT current_version FROM secrets
             WHERE project = $1 AND environment = $2 AND service = $3 AND name = $4 AND deleted_at IS NOT NULL",
        )
        .bind(project)
        .bind(environment)
        .bind(service)
        .bind(name.as_str().to_owned())
        .fetch_optional(self.database.reader())
        .await
        .map_err(database("find deleted secret"))?;
        row.map(|row| count(&row, "current_version").map(Version)).transpose()
    }

    /// One version of a secret that is there.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn find_version(
        &self,
        scope: &Scope,
        name: &SecretName,
        number: Version,
    ) -> Result<Option<VersionRow>, RepositoryError> {
        let [project, environment, service] = columns(scope);
        let row = sqlx::query(
            "SELECT v.version, v.vault_ref, v.rotation_status, v.created_at, v.created_by, v.destroyed_at
             FROM secrets s JOIN secret_versions v ON v.secret_id = s.id
             WHERE s.project = $1 AND s.environment = $2 AND s.service = $3 AND s.name = $4 AND s.deleted_at IS NULL AND v.version = $5",
        )
        .bind(project)
        .bind(environment)
        .bind(service)
        .bind(name.as_str().to_owned())
        .bind(signed(number.0))
        .fetch_optional(self.database.reader())
        .await
        .map_err(database("find version"))?;
        row.as_ref().map(version).transpose()
    }

    /// Some versions of a secret, newest first, those from before a delete too; of those before
    /// `before`, where it is given. Empty where there is no such secret.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn versions(
        &self,
        scope: &Scope,
        name: &SecretName,
        before: Option<Version>,
        limit: u32,
    ) -> Result<Vec<VersionRow>, RepositoryError> {
        let [project, environment, service] = columns(scope);
        let rows = sqlx::query(
            "SELECT v.version, v.vault_ref, v.rotation_status, v.created_at, v.created_by, v.destroyed_at
             FROM secrets s JOIN secret_versions v ON v.secret_id = s.id
             WHERE s.project = $1 AND s.environment = $2 AND s.service = $3 AND s.name = $4 AND s.deleted_at IS NULL AND v.version < $5
             ORDER BY v.version DESC LIMIT $6",
        )
        .bind(project)
        .bind(environment)
        .bind(service)
        .bind(name.as_str().to_owned())
        .bind(before.map_or(i64::MAX, |version| signed(version.0)))
        .bind(i64::from(limit))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("list versions"))?;
        rows.iter().map(version).collect()
    }

    /// How far the versions of each secret of a scope are, deleted ones too.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn counts(
        &self,
        scope: &Scope,
    ) -> Result<BTreeMap<SecretName, Counted>, RepositoryError> {
        let [project, environment, service] = columns(scope);
        let rows = sqlx::query(
            "SELECT name, current_version, latest_version, deleted_at FROM secrets WHERE project = $1 AND environment = $2 AND service = $3",
        )
        .bind(project)
        .bind(environment)
        .bind(service)
        .fetch_all(self.database.reader())
        .await
        .map_err(database("count versions"))?;
        rows.iter().map(|row| Ok((name(row)?, counted(row)?))).collect()
    }
}

fn counted(row: &AnyRow) -> Result<Counted, RepositoryError> {
    let latest = Version(count(row, "latest_version")?);
    let current = Version(count(row, "current_version")?);
    Ok(Counted { latest, active: optional_time(row, "deleted_at")?.is_none().then_some(current) })
}

fn secret(row: &AnyRow) -> Result<Secret, RepositoryError> {
    Ok(Secret {
        name: name(row)?,
        stored: stored(row)?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        deleted_at: optional_time(row, "deleted_at")?,
    })
}

fn version(row: &AnyRow) -> Result<VersionRow, RepositoryError> {
    Ok(VersionRow {
        version: Version(count(row, "version")?),
        reference: Reference::new(text(row, "vault_ref")?),
        state: state(&text(row, "rotation_status")?)?,
        created_at: time(row, "created_at")?,
        created_by: text(row, "created_by")?,
        destroyed_at: optional_time(row, "destroyed_at")?,
    })
}

/// The state that a word of the database means.
pub(super) fn state(word: &str) -> Result<VersionState, RepositoryError> {
    match word {
        "pending" => Ok(VersionState::Pending),
        "active" => Ok(VersionState::Active),
        "archived" => Ok(VersionState::Archived),
        "destroyed" => Ok(VersionState::Destroyed),
        _ => Err(RepositoryError::Form("rotation_status")),
    }
}
