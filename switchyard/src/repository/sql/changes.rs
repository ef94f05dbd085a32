//! Changes to secrets. Versions, the resulting generations, audit events and the stored response of
//! an idempotent request are one transaction.

use contract::api::VersionState;
use contract::{Scope, SecretName, Version};
use jiff::Timestamp;

use super::super::{Bundle, ChangeError, Condition, LedgerChange, NewVersion, RepositoryError};
use super::rows::{columns, count, database, integer, optional_time, signed, text};
use super::{LedgerTransaction, Repository, idempotency};

impl Repository {
    /// Adds new versions, as one new generation of every affected bundle, and returns those
    /// bundles.
    ///
    /// # Errors
    /// A precondition does not hold, a concurrent write won, a bundle would exceed what a pod can
    /// hold, or the database failed.
    pub async fn write(
        &self,
        change: &LedgerChange,
        versions: &[NewVersion],
    ) -> Result<Vec<Bundle>, ChangeError> {
        let mut tx = self.begin_change(change).await?;
        for version in versions {
            put(&mut tx, change, version).await?;
        }
        self.finish(tx, change, true).await
    }

    /// Makes an older version active.
    ///
    /// # Errors
    /// The version does not exist or was destroyed, a bundle would exceed what a pod can hold, or
    /// the database failed.
    pub async fn rollback(
        &self,
        change: &LedgerChange,
        name: &SecretName,
        to: Version,
        condition: Condition,
    ) -> Result<Vec<Bundle>, ChangeError> {
        let mut tx = self.begin_change(change).await?;
        let secret = present(&mut tx, &change.scope, name).await?;
        secret.check(condition)?;
        match state(&mut tx, &secret, to).await? {
            VersionState::Destroyed => {
                return Err(ChangeError::Destroyed { secret: secret.path, version: to });
            }
            // The version is active already.
            VersionState::Active => return self.finish(tx, change, false).await,
            VersionState::Archived | VersionState::Pending => {}
        }
        archive(&mut tx, secret.id).await?;
        activate(&mut tx, change, &secret, to).await?;
        self.finish(tx, change, false).await
    }

    /// Deletes a secret: bundles no longer contain it. Its versions stay in the ledger as archived.
    ///
    /// # Errors
    /// The secret does not exist, the precondition does not hold, or the database failed.
    pub async fn delete(
        &self,
        change: &LedgerChange,
        name: &SecretName,
        condition: Condition,
    ) -> Result<Vec<Bundle>, ChangeError> {
        let mut tx = self.begin_change(change).await?;
        let secret = present(&mut tx, &change.scope, name).await?;
        secret.check(condition)?;
        sqlx::query("UPDATE secrets SET deleted_at = $1, updated_at = $1 WHERE id = $2")
            .bind(change.at.as_millisecond())
            .bind(secret.id)
            .execute(tx.connection())
            .await
            .map_err(database("delete secret"))?;
        archive(&mut tx, secret.id).await?;
        self.finish(tx, change, false).await
    }

    /// Restores a deleted secret at the version that was active, which must be `version`.
    ///
    /// # Errors
    /// The secret is not deleted, the version was destroyed, a bundle would exceed what a pod can
    /// hold, or the database failed.
    pub async fn undelete(
        &self,
        change: &LedgerChange,
        name: &SecretName,
        version: Version,
    ) -> Result<Vec<Bundle>, ChangeError> {
        let mut tx = self.begin_change(change).await?;
        let secret = find(&mut tx, &change.scope, name).await?;
        let secret = secret.ok_or_else(|| ChangeError::NotFound(path(&change.scope, name)))?;
        if secret.deleted_at.is_none() {
            return Err(ChangeError::NotDeleted(secret.path));
        }
        if secret.current != version {
            return Err(ChangeError::Conflict(secret.path));
        }
        if state(&mut tx, &secret, version).await? == VersionState::Destroyed {
            return Err(ChangeError::Destroyed { secret: secret.path, version });
        }
        activate(&mut tx, change, &secret, version).await?;
        self.finish(tx, change, true).await
    }

    pub(super) async fn begin_change(
        &self,
        change: &LedgerChange,
    ) -> Result<LedgerTransaction, ChangeError> {
        let mut tx = self.begin().await?;
        if let Some(fence) = &change.fence {
            tx.check_fence(fence).await?;
        }
        idempotency::refuse_replay(&mut tx, change).await?;
        Ok(tx)
    }

    pub(super) async fn finish(
        &self,
        mut tx: LedgerTransaction,
        change: &LedgerChange,
        create: bool,
    ) -> Result<Vec<Bundle>, ChangeError> {
        let bundles = super::bundles::advance(&mut tx, change, create).await?;
        for event in &change.events {
            super::audit_events::insert(&mut tx, change.at, event).await?;
        }
        idempotency::store_response(&mut tx, change, &bundles).await?;
        super::notify::notify(&mut tx, self.database.kind(), &bundles).await?;
        tx.commit().await?;
        Ok(bundles)
    }
}

/// A secret's row, read within a change.
pub(super) struct SecretRow {
    pub(super) id: i64,
    pub(super) path: String,
    current: Version,
    latest: Version,
    deleted_at: Option<Timestamp>,
}

impl SecretRow {
    pub(super) fn was_deleted_before(&self, time: Timestamp) -> bool {
        self.deleted_at.is_some_and(|at| at < time)
    }

    pub(super) fn active(&self) -> Option<Version> {
        self.deleted_at.is_none().then_some(self.current)
    }

    fn check(&self, condition: Condition) -> Result<(), ChangeError> {
        let active = self.active();
        if condition.holds(active) {
            Ok(())
        } else {
            Err(ChangeError::Precondition { secret: self.path.clone(), active })
        }
    }
}

fn path(scope: &Scope, name: &SecretName) -> String {
    format!("{scope}/{name}")
}

pub(super) async fn find(
    tx: &mut LedgerTransaction,
    scope: &Scope,
    name: &SecretName,
) -> Result<Option<SecretRow>, RepositoryError> {
    let [project, environment, service] = columns(scope);
    let row = sqlx::query(
        "SELECT id, current_version, latest_version, deleted_at FROM secrets
         WHERE project = $1 AND environment = $2 AND service = $3 AND name = $4",
    )
    .bind(project)
    .bind(environment)
    .bind(service)
    .bind(name.as_str().to_owned())
    .fetch_optional(tx.connection())
    .await
    .map_err(database("find secret to change"))?;
    row.map(|row| {
        Ok(SecretRow {
            id: integer(&row, "id")?,
            path: path(scope, name),
            current: Version(count(&row, "current_version")?),
            latest: Version(count(&row, "latest_version")?),
            deleted_at: optional_time(&row, "deleted_at")?,
        })
    })
    .transpose()
}

async fn present(
    tx: &mut LedgerTransaction,
    scope: &Scope,
    name: &SecretName,
) -> Result<SecretRow, ChangeError> {
    let found = find(tx, scope, name).await?.filter(|it| it.deleted_at.is_none());
    found.ok_or_else(|| ChangeError::NotFound(path(scope, name)))
}

async fn state(
    tx: &mut LedgerTransaction,
    secret: &SecretRow,
    version: Version,
) -> Result<VersionState, ChangeError> {
    let row = sqlx::query(
        "SELECT rotation_status FROM secret_versions WHERE secret_id = $1 AND version = $2",
    )
    .bind(secret.id)
    .bind(signed(version.0))
    .fetch_optional(tx.connection())
    .await
    .map_err(database("find version to change"))?
    .ok_or_else(|| ChangeError::NoVersion { secret: secret.path.clone(), version })?;
    Ok(super::secrets::state(&text(&row, "rotation_status")?)?)
}

async fn put(
    tx: &mut LedgerTransaction,
    change: &LedgerChange,
    new: &NewVersion,
) -> Result<(), ChangeError> {
    let NewVersion { name, stored, size, condition } = new;
    let current = find(tx, &change.scope, name).await?;
    let active = current.as_ref().and_then(SecretRow::active);
    if !condition.holds(active) {
        return Err(ChangeError::Precondition { secret: path(&change.scope, name), active });
    }
    // The store already has the value under this version number. If the number does not fit,
    // another writer won.
    if stored.version.0 != current.as_ref().map_or(0, |it| it.latest.0) + 1 {
        return Err(ChangeError::Conflict(path(&change.scope, name)));
    }
    let at = change.at.as_millisecond();
    let id = match current {
        None => create(tx, change, name).await?,
        Some(current) => {
            archive(tx, current.id).await?;
            // A secret written after a delete gets a new creation time; its version numbers
            // continue.
            sqlx::query(
                "UPDATE secrets SET current_version = $1, latest_version = $1, updated_at = $2, \
                    rotated_at = $2,
                 created_at = CASE WHEN deleted_at IS NULL THEN created_at ELSE $2 END, deleted_at \
                 = NULL WHERE id = $3",
            )
            .bind(signed(stored.version.0))
            .bind(at)
            .bind(current.id)
            .execute(tx.connection())
            .await
            .map_err(database("update secret"))?;
            current.id
        }
    };
    sqlx::query(
        "INSERT INTO secret_versions (secret_id, version, vault_ref, rotation_status, size, \
            created_at, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(id)
    .bind(signed(stored.version.0))
    .bind(stored.reference.as_str().to_owned())
    .bind(VersionState::Active.as_str())
    .bind(signed(*size))
    .bind(at)
    .bind(change.by.clone())
    .execute(tx.connection())
    .await
    .map_err(database("insert version"))?;
    Ok(())
}

async fn create(
    tx: &mut LedgerTransaction,
    change: &LedgerChange,
    name: &SecretName,
) -> Result<i64, RepositoryError> {
    let [project, environment, service] = columns(&change.scope);
    sqlx::query_scalar(
        "INSERT INTO secrets (project, environment, service, scope_kind, name, current_version, \
            latest_version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, 1, 1, $6, $6) RETURNING id",
    )
    .bind(project)
    .bind(environment)
    .bind(service)
    .bind(change.scope.kind())
    .bind(name.as_str().to_owned())
    .bind(change.at.as_millisecond())
    .fetch_one(tx.connection())
    .await
    .map_err(database("insert secret"))
}

async fn archive(tx: &mut LedgerTransaction, secret: i64) -> Result<(), RepositoryError> {
    sqlx::query(
        "UPDATE secret_versions SET rotation_status = $1 WHERE secret_id = $2 AND \
        rotation_status = $3",
    )
    .bind(VersionState::Archived.as_str())
    .bind(secret)
    .bind(VersionState::Active.as_str())
    .execute(tx.connection())
    .await
    .map_err(database("archive version"))?;
    Ok(())
}

async fn activate(
    tx: &mut LedgerTransaction,
    change: &LedgerChange,
    secret: &SecretRow,
    version: Version,
) -> Result<(), RepositoryError> {
    sqlx::query(
        "UPDATE secrets SET current_version = $1, updated_at = $2, rotated_at = $2, \
        deleted_at = NULL WHERE id = $3",
    )
    .bind(signed(version.0))
    .bind(change.at.as_millisecond())
    .bind(secret.id)
    .execute(tx.connection())
    .await
    .map_err(database("update secret"))?;
    sqlx::query(
        "UPDATE secret_versions SET rotation_status = $1 WHERE secret_id = $2 AND version = $3",
    )
    .bind(VersionState::Active.as_str())
    .bind(secret.id)
    .bind(signed(version.0))
    .execute(tx.connection())
    .await
    .map_err(database("activate version"))?;
    Ok(())
}
