//! Changes to secrets. Versions, the resulting generations, audit events and the stored response of
//! an idempotent request are one transaction.

use contract::api::VersionState;
use contract::layout::MAX_SCOPE_SECRETS;
use contract::{Scope, SecretName, SecretRef, Version};
use jiff::Timestamp;
use lockbox::database::{Query, query};

use super::super::digest::Table;
use super::super::{Bundle, ChangeError, Condition, LedgerChange, NewVersion, RepositoryError};
use super::references::{establish, refuse_referenced};
use super::rows::{columns, count, database, integer, random_tag, signed};
use super::secret_row::{SecretRow, find, path, present};
use super::touched::Touched;
use super::version_rows::{self, VersionEntry, versions_of};
use super::{LedgerTransaction, Repository, deleted_versions, idempotency, metadata};

impl Repository {
    /// Adds new versions, as one new generation of every affected bundle, and returns those
    /// bundles. `statements` are the store's part of the write.
    ///
    /// # Errors
    /// A precondition does not hold, a concurrent write won, the scope is full, a bundle would
    /// exceed what a pod can hold, or the database failed.
    pub async fn write(
        &self,
        change: &LedgerChange,
        versions: &[NewVersion],
        statements: Vec<Query>,
    ) -> Result<Vec<Bundle>, ChangeError> {
        let versions = versions.to_vec();
        let work = async move |tx: &mut LedgerTransaction<'_>, change: &LedgerChange| {
            let mut ids = Vec::with_capacity(versions.len());
            for version in &versions {
                ids.push(put(tx, change, version).await?);
            }
            // They may refer to each other.
            for (id, NewVersion { name, stored, references, .. }) in ids.iter().zip(&versions) {
                let Some(references) = references else { continue };
                let of = SecretRef { scope: change.scope.clone(), name: name.clone() };
                establish(tx, &of, (*id, stored.version), references).await?;
            }
            for statement in statements {
                let stored = statement.execute(tx.connection()).await;
                stored.map_err(database("insert sealed values"))?;
            }
            Ok(Touched::added(versions.into_iter().map(|it| it.name).collect()))
        };
        self.change(change, work).await
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
        let name = name.clone();
        let work = async move |tx: &mut LedgerTransaction<'_>, change: &LedgerChange| {
            let secret = present(tx, &change.scope, &name).await?;
            secret.check(condition)?;
            let version = version(tx, &secret, to).await?;
            match version.state {
                VersionState::Destroyed => {
                    return Err(ChangeError::Destroyed { secret: secret.path, version: to });
                }
                // The version is active already.
                VersionState::Active => return Ok(Touched::nothing()),
                VersionState::Archived | VersionState::Pending => {}
            }
            archive(tx, (secret.id, secret.current)).await?;
            activate(tx, change, &secret, &version).await?;
            Ok(Touched::switched(name))
        };
        self.change(change, work).await
    }

    /// Deletes a secret: bundles no longer contain it. Its versions stay in the ledger as archived,
    /// and marked as deleted.
    ///
    /// # Errors
    /// The secret does not exist, the precondition does not hold, or the database failed.
    pub async fn delete(
        &self,
        change: &LedgerChange,
        name: &SecretName,
        condition: Condition,
    ) -> Result<Vec<Bundle>, ChangeError> {
        let name = name.clone();
        let work = async move |tx: &mut LedgerTransaction<'_>, change: &LedgerChange| {
            let secret = present(tx, &change.scope, &name).await?;
            secret.check(condition)?;
            refuse_referenced(tx, (secret.id, &secret.path)).await?;
            let mac = secret.becomes(tx, (secret.current, secret.latest), true)?;
            query("UPDATE secrets SET deleted_at = $1, updated_at = $1, mac = $3 WHERE id = $2")
                .bind(change.at.as_millisecond())
                .bind(secret.id)
                .bind(mac)
                .execute(tx.connection())
                .await
                .map_err(database("delete secret"))?;
            archive(tx, (secret.id, secret.current)).await?;
            deleted_versions::mark(tx, &secret, change.at).await?;
            Ok(Touched::switched(name))
        };
        self.change(change, work).await
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
        let name = name.clone();
        let work = async move |tx: &mut LedgerTransaction<'_>, change: &LedgerChange| {
            let secret = find(tx, &change.scope, &name).await?;
            let secret = secret.ok_or_else(|| ChangeError::NotFound(path(&change.scope, &name)))?;
            let Some(deleted_at) = secret.deleted_at else {
                return Err(ChangeError::NotDeleted(secret.path));
            };
            if secret.current != version {
                return Err(ChangeError::Conflict(secret.path));
            }
            if self::version(tx, &secret, version).await?.state == VersionState::Destroyed {
                return Err(ChangeError::Destroyed { secret: secret.path, version });
            }
            deleted_versions::unmark(tx, &secret, deleted_at).await?;
            let restored = self::version(tx, &secret, version).await?;
            activate(tx, change, &secret, &restored).await?;
            Ok(Touched::added(vec![name]))
        };
        self.change(change, work).await
    }

    /// Runs a change with all that follows from it: generations, events, the stored response and
    /// the notice to other replicas.
    pub(super) async fn change<F>(
        &self,
        change: &LedgerChange,
        work: F,
    ) -> Result<Vec<Bundle>, ChangeError>
    where
        F: AsyncFnOnce(&mut LedgerTransaction<'_>, &LedgerChange) -> Result<Touched, ChangeError>
            + Send
            + 'static,
    {
        let (change, kind) = (change.clone(), self.database.kind());
        self.transaction(async move |tx| {
            if let Some(fence) = &change.fence {
                tx.check_fence(fence).await?;
            }
            idempotency::refuse_replay(tx, &change).await?;
            let touched = work(tx, &change).await?;
            if !touched.changed {
                return Ok(Vec::new());
            }
            let bundles = super::generations::advance(tx, &change, &touched).await?;
            for event in &change.events {
                super::audit_events::insert(tx, change.at, event).await?;
            }
            idempotency::store_response(tx, &change, &bundles).await?;
            super::notify::notify(tx, kind, &bundles).await?;
            Ok(bundles)
        })
        .await
    }
}

async fn version(
    tx: &mut LedgerTransaction<'_>,
    secret: &SecretRow,
    version: Version,
) -> Result<VersionEntry, ChangeError> {
    let found = versions_of(tx, secret, Some(version)).await?.pop();
    found.ok_or_else(|| ChangeError::NoVersion { secret: secret.path.clone(), version })
}

async fn put(
    tx: &mut LedgerTransaction<'_>,
    change: &LedgerChange,
    new: &NewVersion,
) -> Result<i64, ChangeError> {
    let NewVersion { name, stored, size, condition, message, expires_at, .. } = new;
    let (beside, references) = (&new.metadata, new.references.as_ref().map(ToString::to_string));
    let current = find(tx, &change.scope, name).await?;
    let active = current.as_ref().and_then(SecretRow::active);
    if !condition.holds(active) {
        let secret = path(&change.scope, name);
        return Err(match condition {
            Condition::Present => ChangeError::NotFound(secret),
            _ => ChangeError::Precondition { secret, active },
        });
    }
    // The store already has the value under this version number. If the number does not fit,
    // another writer won.
    if stored.version.0 != current.as_ref().map_or(0, |it| it.latest.0) + 1 {
        return Err(ChangeError::Conflict(path(&change.scope, name)));
    }
    let at = change.at.as_millisecond();
    let id = match current {
        None => {
            refuse_full_scope(tx, &change.scope).await?;
            create(tx, change, name).await?
        }
        Some(current) => {
            archive(tx, (current.id, current.current)).await?;
            let mac = current.becomes(tx, (stored.version, stored.version), false)?;
            // A secret written after a delete is a new one, without notes and tags; its version
            // numbers continue.
            query(
                "UPDATE secrets SET current_version = $1, latest_version = $1, updated_at = $2, \
                    rotated_at = $2, mac = $4,
                 created_at = CASE WHEN deleted_at IS NULL THEN created_at ELSE $2 END,
                 notes = CASE WHEN deleted_at IS NULL THEN notes END,
                 tags = CASE WHEN deleted_at IS NULL THEN tags ELSE '{}' END,
                 deleted_at = NULL WHERE id = $3",
            )
            .bind(signed(stored.version.0))
            .bind(at)
            .bind(current.id)
            .bind(mac)
            .execute(tx.connection())
            .await
            .map_err(database("update secret"))?;
            current.id
        }
    };
    let tag = random_tag();
    let mac =
        tx.key()?.version((&change.scope, name), stored, (&tag, *size), references.as_deref());
    version_rows::add(tx, mac)?;
    query(
        "INSERT INTO secret_versions (secret_id, version, vault_ref, rotation_status, size, \
            created_at, created_by, tag, mac, message, expires_at, refs)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(id)
    .bind(signed(stored.version.0))
    .bind(stored.reference.as_str().to_owned())
    .bind(VersionState::Active.as_str())
    .bind(signed(*size))
    .bind(at)
    .bind(change.by.clone())
    .bind(tag)
    .bind(mac.0.to_vec())
    .bind(message.as_ref().map(|it| it.as_str().to_owned()))
    .bind(expires_at.map(Timestamp::as_millisecond))
    .bind(references)
    .execute(tx.connection())
    .await
    .map_err(database("insert version"))?;
    metadata::apply(tx, (id, &path(&change.scope, name)), beside).await?;
    Ok(id)
}

/// Refuses one more secret in a scope that is full.
async fn refuse_full_scope(
    tx: &mut LedgerTransaction<'_>,
    scope: &Scope,
) -> Result<(), ChangeError> {
    let [project, environment, service] = columns(scope);
    let held = query(
        "SELECT count(*) AS held FROM secrets
         WHERE project = $1 AND environment = $2 AND service = $3 AND deleted_at IS NULL",
    )
    .bind(project)
    .bind(environment)
    .bind(service)
    .fetch_one(tx.connection())
    .await
    .map_err(database("count secrets of scope"))?;
    if count(&held, "held")? < MAX_SCOPE_SECRETS as u64 {
        return Ok(());
    }
    Err(ChangeError::ScopeFull { scope: scope.clone(), maximum: MAX_SCOPE_SECRETS })
}

async fn create(
    tx: &mut LedgerTransaction<'_>,
    change: &LedgerChange,
    name: &SecretName,
) -> Result<i64, RepositoryError> {
    let [project, environment, service] = columns(&change.scope);
    let key = tx.key()?;
    let mac = key.secret((&change.scope, name), (Version(1), Version(1)), false);
    tx.replace_row(Table::Secrets, None, Some(key.term(Table::Secrets.as_str(), mac, &[])))?;
    let row = query(
        "INSERT INTO secrets (project, environment, service, scope_kind, name, current_version, \
            latest_version, created_at, updated_at, mac)
         VALUES ($1, $2, $3, $4, $5, 1, 1, $6, $6, $7) RETURNING id",
    )
    .bind(project)
    .bind(environment)
    .bind(service)
    .bind(change.scope.kind())
    .bind(name.as_str().to_owned())
    .bind(change.at.as_millisecond())
    .bind(mac.0.to_vec())
    .fetch_one(tx.connection())
    .await
    .map_err(database("insert secret"))?;
    integer(&row, "id")
}

/// Archives the current version of a secret, which is its only active one, if that is active.
/// Named by its number, it is found at once, however many versions there are.
async fn archive(
    tx: &mut LedgerTransaction<'_>,
    (secret, current): (i64, Version),
) -> Result<(), RepositoryError> {
    query(
        "UPDATE secret_versions SET rotation_status = $1, \
            archived_lived = (SELECT milliseconds FROM lived_time WHERE id = 1)
         WHERE secret_id = $2 AND version = $4 AND rotation_status = $3",
    )
    .bind(VersionState::Archived.as_str())
    .bind(secret)
    .bind(VersionState::Active.as_str())
    .bind(signed(current.0))
    .execute(tx.connection())
    .await
    .map_err(database("archive version"))?;
    Ok(())
}

async fn activate(
    tx: &mut LedgerTransaction<'_>,
    change: &LedgerChange,
    secret: &SecretRow,
    version: &VersionEntry,
) -> Result<(), ChangeError> {
    let number = version.version;
    let mac = secret.becomes(tx, (number, secret.latest), false)?;
    version.becomes(tx, VersionState::Active, None)?;
    query(
        "UPDATE secrets SET current_version = $1, updated_at = $2, rotated_at = $2, \
        deleted_at = NULL, mac = $4 WHERE id = $3",
    )
    .bind(signed(number.0))
    .bind(change.at.as_millisecond())
    .bind(secret.id)
    .bind(mac)
    .execute(tx.connection())
    .await
    .map_err(database("update secret"))?;
    query(
        "UPDATE secret_versions SET rotation_status = $1, deleted_at = NULL, deleted_lived = NULL \
            WHERE secret_id = $2 AND version = $3",
    )
    .bind(VersionState::Active.as_str())
    .bind(secret.id)
    .bind(signed(number.0))
    .execute(tx.connection())
    .await
    .map_err(database("activate version"))?;
    let Some(references) = &version.references else { return Ok(()) };
    let of = SecretRef { scope: change.scope.clone(), name: secret.name.clone() };
    establish(tx, &of, (secret.id, number), references).await
}
