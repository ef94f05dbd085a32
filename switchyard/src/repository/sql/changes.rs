//! Changing secrets: the versions, the generations that follow from them, the audit events and the
//! answer to a request that may be sent again are one transaction. All of it is there afterwards,
//! or none.

use contract::api::VersionState;
use contract::{Scope, SecretName, Version};
use jiff::Timestamp;

use super::super::{Bundle, Change, ChangeError, Condition, NewVersion, RepositoryError};
use super::rows::{columns, count, database, integer, optional_time, signed, text};
use super::{Open, Repository, repeats};

impl Repository {
    /// Takes new versions into the ledger, as one generation of every bundle that sees them, and
    /// says where those bundles are now.
    ///
    /// # Errors Where a condition does not hold, somebody else was faster, a bundle would not fit
    /// into a pod, or the database fails.
    pub async fn write(
        &self,
        change: &Change,
        versions: &[NewVersion],
    ) -> Result<Vec<Bundle>, ChangeError> {
        let mut open = self.begin_change(change).await?;
        for version in versions {
            put(&mut open, change, version).await?;
        }
        self.finish(open, change, true).await
    }

    /// Makes an older version the active one.
    ///
    /// # Errors
    /// Where there is no such version, its value is gone, a bundle would not fit into a pod, or the
    /// database fails.
    pub async fn rollback(
        &self,
        change: &Change,
        name: &SecretName,
        to: Version,
        condition: Condition,
    ) -> Result<Vec<Bundle>, ChangeError> {
        let mut open = self.begin_change(change).await?;
        let secret = present(&mut open, &change.scope, name).await?;
        secret.check(condition)?;
        match state(&mut open, &secret, to).await? {
            VersionState::Destroyed => {
                return Err(ChangeError::Destroyed { secret: secret.path, version: to });
            }
            // Nothing to be done, and that is what was asked for.
            VersionState::Active => return self.finish(open, change, false).await,
            VersionState::Archived | VersionState::Pending => {}
        }
        archive(&mut open, secret.id).await?;
        activate(&mut open, change, &secret, to).await?;
        self.finish(open, change, false).await
    }

    /// Deletes a secret: no bundle holds it any more. Its versions stay in the ledger, archived.
    ///
    /// # Errors
    /// Where there is no such secret, the condition does not hold, or the database fails.
    pub async fn delete(
        &self,
        change: &Change,
        name: &SecretName,
        condition: Condition,
    ) -> Result<Vec<Bundle>, ChangeError> {
        let mut open = self.begin_change(change).await?;
        let secret = present(&mut open, &change.scope, name).await?;
        secret.check(condition)?;
        sqlx::query("UPDATE secrets SET deleted_at = $1, updated_at = $1 WHERE id = $2")
            .bind(change.at.as_millisecond())
            .bind(secret.id)
            .execute(open.run())
            .await
            .map_err(database("delete secret"))?;
        archive(&mut open, secret.id).await?;
        self.finish(open, change, false).await
    }

    /// Brings a deleted secret back at the version that was active, which must be this one.
    ///
    /// # Errors Where it is not deleted, its value is gone, a bundle would not fit into a pod, or
    /// the database fails.
    pub async fn undelete(
        &self,
        change: &Change,
        name: &SecretName,
        version: Version,
    ) -> Result<Vec<Bundle>, ChangeError> {
        let mut open = self.begin_change(change).await?;
        let secret = find(&mut open, &change.scope, name).await?;
        let secret = secret.ok_or_else(|| ChangeError::NotFound(path(&change.scope, name)))?;
        if secret.deleted_at.is_none() {
            return Err(ChangeError::NotDeleted(secret.path));
        }
        if secret.current != version {
            return Err(ChangeError::Conflict(secret.path));
        }
        if state(&mut open, &secret, version).await? == VersionState::Destroyed {
            return Err(ChangeError::Destroyed { secret: secret.path, version });
        }
        activate(&mut open, change, &secret, version).await?;
        self.finish(open, change, true).await
    }

    pub(super) async fn begin_change(&self, change: &Change) -> Result<Open, ChangeError> {
        let mut open = self.begin().await?;
        if let Some(fence) = &change.fence {
            open.guard(fence).await?;
        }
        repeats::check(&mut open, change).await?;
        Ok(open)
    }

    pub(super) async fn finish(
        &self,
        mut open: Open,
        change: &Change,
        create: bool,
    ) -> Result<Vec<Bundle>, ChangeError> {
        let bundles = super::bundles::advance(&mut open, change, create).await?;
        for event in &change.events {
            super::audit::insert(&mut open, change.at, event).await?;
        }
        repeats::keep(&mut open, change, &bundles).await?;
        super::news::tell(&mut open, self.database.kind(), &bundles).await?;
        open.commit().await?;
        Ok(bundles)
    }
}

/// A secret as a change finds it.
pub(super) struct Found {
    pub(super) id: i64,
    pub(super) path: String,
    current: Version,
    latest: Version,
    deleted_at: Option<Timestamp>,
}

impl Found {
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
    open: &mut Open,
    scope: &Scope,
    name: &SecretName,
) -> Result<Option<Found>, RepositoryError> {
    let [project, environment, service] = columns(scope);
    let row = sqlx::query(
        "SELECT id, current_version, latest_version, deleted_at FROM secrets
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
        Ok(Found {
            id: integer(&row, "id")?,
            path: path(scope, name),
            current: Version(count(&row, "current_version")?),
            latest: Version(count(&row, "latest_version")?),
            deleted_at: optional_time(&row, "deleted_at")?,
        })
    })
    .transpose()
}

async fn present(open: &mut Open, scope: &Scope, name: &SecretName) -> Result<Found, ChangeError> {
    let found = find(open, scope, name).await?.filter(|it| it.deleted_at.is_none());
    found.ok_or_else(|| ChangeError::NotFound(path(scope, name)))
}

async fn state(
    open: &mut Open,
    secret: &Found,
    version: Version,
) -> Result<VersionState, ChangeError> {
    let row = sqlx::query(
        "SELECT rotation_status FROM secret_versions WHERE secret_id = $1 AND version = $2",
    )
    .bind(secret.id)
    .bind(signed(version.0))
    .fetch_optional(open.run())
    .await
    .map_err(database("find version to change"))?
    .ok_or_else(|| ChangeError::NoVersion { secret: secret.path.clone(), version })?;
    Ok(super::secrets::state(&text(&row, "rotation_status")?)?)
}

async fn put(open: &mut Open, change: &Change, new: &NewVersion) -> Result<(), ChangeError> {
    let NewVersion { name, stored, size, condition } = new;
    let current = find(open, &change.scope, name).await?;
    let active = current.as_ref().and_then(Found::active);
    if !condition.holds(active) {
        return Err(ChangeError::Precondition { secret: path(&change.scope, name), active });
    }
    // The store has the value under this version already: it fits, or somebody else was faster.
    if stored.version.0 != current.as_ref().map_or(0, |it| it.latest.0) + 1 {
        return Err(ChangeError::Conflict(path(&change.scope, name)));
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

async fn create(
    open: &mut Open,
    change: &Change,
    name: &SecretName,
) -> Result<i64, RepositoryError> {
    let [project, environment, service] = columns(&change.scope);
    sqlx::query_scalar(
        "INSERT INTO secrets (project, environment, service, scope_kind, name, current_version, latest_version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, 1, 1, $6, $6) RETURNING id",
    )
    .bind(project)
    .bind(environment)
    .bind(service)
    .bind(change.scope.kind())
    .bind(name.as_str().to_owned())
    .bind(change.at.as_millisecond())
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

async fn activate(
    open: &mut Open,
    change: &Change,
    secret: &Found,
    version: Version,
) -> Result<(), RepositoryError> {
    sqlx::query("UPDATE secrets SET current_version = $1, updated_at = $2, rotated_at = $2, deleted_at = NULL WHERE id = $3")
        .bind(signed(version.0))
        .bind(change.at.as_millisecond())
        .bind(secret.id)
        .execute(open.run())
        .await
        .map_err(database("update secret"))?;
    sqlx::query(
        "UPDATE secret_versions SET rotation_status = $1 WHERE secret_id = $2 AND version = $3",
    )
    .bind(VersionState::Active.as_str())
    .bind(secret.id)
    .bind(signed(version.0))
    .execute(open.run())
    .await
    .map_err(database("activate version"))?;
    Ok(())
}
