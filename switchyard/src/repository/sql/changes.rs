//! Changing secrets: the versions, the generations that follow from them and the audit events are one
//! transaction. All of it is there afterwards, or none.

use contract::api::VersionState;
use contract::{Scope, SecretName};

use super::super::{Bundle, Change, ChangeError, NewVersion, RepositoryError};
use super::rows::{columns, count, database, integer, signed};
use super::{Open, Repository};

impl Repository {
    /// Takes new versions into the ledger, as one generation of every bundle that sees them, and
    /// says where those bundles are now.
    ///
    /// # Errors
    /// Where somebody else was faster, a bundle would not fit into a pod, or the database fails.
    pub async fn write(&self, change: &Change, versions: &[NewVersion]) -> Result<Vec<Bundle>, ChangeError> {
        let mut open = self.begin().await?;
        for version in versions {
            put(&mut open, change, version).await?;
        }
        let bundles = super::bundles::advance(&mut open, change, true).await?;
        self.finish(open, change, bundles).await
    }

    /// Deletes a secret: no bundle holds it any more. Its versions stay in the ledger, archived.
    ///
    /// # Errors
    /// Where there is no such secret, or the database fails.
    pub async fn delete(&self, change: &Change, name: &SecretName) -> Result<Vec<Bundle>, ChangeError> {
        let mut open = self.begin().await?;
        let missing = || ChangeError::NotFound(format!("{}/{name}", change.scope));
        let secret = current(&mut open, &change.scope, name).await?.filter(|it| !it.deleted).ok_or_else(missing)?;
        let at = change.at.as_millisecond();
        sqlx::query("UPDATE secrets SET deleted_at = $1, updated_at = $2 WHERE id = $3")
            .bind(at)
            .bind(at)
            .bind(secret.id)
            .execute(open.run())
            .await
            .map_err(database("delete secret"))?;
        archive(&mut open, secret.id).await?;
        let bundles = super::bundles::advance(&mut open, change, false).await?;
        self.finish(open, change, bundles).await
    }

    async fn finish(&self, mut open: Open, change: &Change, bundles: Vec<Bundle>) -> Result<Vec<Bundle>, ChangeError> {
        for event in &change.events {
            super::audit::insert(&mut open, change.at, event).await?;
        }
        open.commit().await?;
        Ok(bundles)
    }
}

struct Current {
    id: i64,
    version: u64,
    deleted: bool,
}

async fn current(open: &mut Open, scope: &Scope, name: &SecretName) -> Result<Option<Current>, RepositoryError> {
    let [project, environment, service] = columns(scope);
    let row = sqlx::query(
        "SELECT id, latest_version, CASE WHEN deleted_at IS NULL THEN 0 ELSE 1 END AS deleted FROM secrets
         WHERE project = $1 AND environment = $2 AND service = $3 AND name = $4",
    )
    .bind(project)
    .bind(environment)
    .bind(service)
    .bind(name.as_str().to_owned())
    .fetch_optional(open.run())
    .await
    .map_err(database("find secret to change"))?;
    row.map(|row| {
        Ok(Current { id: integer(&row, "id")?, version: count(&row, "latest_version")?, deleted: integer(&row, "deleted")? != 0 })
    })
    .transpose()
}

async fn put(open: &mut Open, change: &Change, new: &NewVersion) -> Result<(), ChangeError> {
    let NewVersion { name, stored, size } = new;
    let current = current(open, &change.scope, name).await?;
    // The store has the value under this version already: it fits, or somebody else was faster.
    if stored.version.0 != current.as_ref().map_or(0, |it| it.version) + 1 {
        return Err(ChangeError::Conflict(format!("{}/{name}", change.scope)));
    }
    let at = change.at.as_millisecond();
    let id = match current {
        None => create(open, change, name).await?,
        Some(current) => {
            archive(open, current.id).await?;
            // A secret that comes back after a delete counts as made anew; its versions count on.
            sqlx::query(
                "UPDATE secrets SET current_version = $1, latest_version = $1, updated_at = $2, rotated_at = $2,
                 created_at = CASE WHEN deleted_at IS NULL THEN created_at ELSE $2 END, deleted_at = NULL WHERE id = $3",
            )
            .bind(signed(stored.version.0))
            .bind(at)
            .bind(current.id)
            .execute(open.run())
            .await
            .map_err(database("update secret"))?;
            current.id
        }
    };
    sqlx::query(
        "INSERT INTO secret_versions (secret_id, version, vault_ref, rotation_status, size, created_at, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(id)
    .bind(signed(stored.version.0))
    .bind(stored.reference.as_str().to_owned())
    .bind(VersionState::Active.as_str())
    .bind(signed(*size))
    .bind(at)
    .bind(change.by.clone())
    .execute(open.run())
    .await
    .map_err(database("insert version"))?;
    Ok(())
}

async fn create(open: &mut Open, change: &Change, name: &SecretName) -> Result<i64, RepositoryError> {
    let [project, environment, service] = columns(&change.scope);
    let at = change.at.as_millisecond();
    sqlx::query_scalar(
        "INSERT INTO secrets (project, environment, service, scope_kind, name, current_version, latest_version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, 1, 1, $6, $7) RETURNING id",
    )
    .bind(project)
    .bind(environment)
    .bind(service)
    .bind(change.scope.kind())
    .bind(name.as_str().to_owned())
    .bind(at)
    .bind(at)
    .fetch_one(open.run())
    .await
    .map_err(database("insert secret"))
}

async fn archive(open: &mut Open, secret: i64) -> Result<(), RepositoryError> {
    sqlx::query("UPDATE secret_versions SET rotation_status = $1 WHERE secret_id = $2 AND rotation_status = $3")
        .bind(VersionState::Archived.as_str())
        .bind(secret)
        .bind(VersionState::Active.as_str())
        .execute(open.run())
        .await
        .map_err(database("archive version"))?;
    Ok(())
}
