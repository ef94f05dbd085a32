//! A secret's row, as a change reads it.

use contract::{Scope, SecretName, Version};
use jiff::Timestamp;
use lockbox::database::query;

use super::super::authenticity::Forgery;
use super::super::digest::Table;
use super::super::mac::RowMac;
use super::super::{ChangeError, Condition, RepositoryError};
use super::LedgerTransaction;
use super::row_macs::{secret_mac, stored_mac};
use super::rows::{columns, count, database, integer, optional_time};

/// A secret's row, read within a change.
pub(super) struct SecretRow {
    pub(super) id: i64,
    pub(super) scope: Scope,
    pub(super) name: SecretName,
    pub(super) path: String,
    pub(super) current: Version,
    pub(super) latest: Version,
    pub(super) deleted_at: Option<Timestamp>,
    mac: RowMac,
}

impl SecretRow {
    pub(super) fn active(&self) -> Option<Version> {
        self.deleted_at.is_none().then_some(self.current)
    }

    pub(super) fn check(&self, condition: Condition) -> Result<(), ChangeError> {
        let active = self.active();
        if condition.holds(active) {
            Ok(())
        } else {
            Err(ChangeError::Precondition { secret: self.path.clone(), active })
        }
    }

    /// The MAC that the row gets when it changes to this. The statement that changes it follows.
    pub(super) fn becomes(
        &self,
        tx: &mut LedgerTransaction<'_>,
        (current, latest): (Version, Version),
        is_deleted: bool,
    ) -> Result<Vec<u8>, RepositoryError> {
        let key = tx.key()?;
        let mac = key.secret((&self.scope, &self.name), (current, latest), is_deleted);
        let term = |mac| Some(key.term(Table::Secrets.as_str(), mac, &[]));
        tx.replace_row(Table::Secrets, term(self.mac), term(mac))?;
        Ok(mac.0.to_vec())
    }
}

pub(super) fn path(scope: &Scope, name: &SecretName) -> String {
    format!("{scope}/{name}")
}

pub(super) async fn find(
    tx: &mut LedgerTransaction<'_>,
    scope: &Scope,
    name: &SecretName,
) -> Result<Option<SecretRow>, RepositoryError> {
    let [project, environment, service] = columns(scope);
    let row = query(
        "SELECT id, project, environment, service, name, current_version, latest_version, \
            deleted_at, deleted_at IS NOT NULL AS is_deleted, mac FROM secrets
         WHERE project = $1 AND environment = $2 AND service = $3 AND name = $4",
    )
    .bind(project)
    .bind(environment)
    .bind(service)
    .bind(name.as_str().to_owned())
    .fetch_optional(tx.connection())
    .await
    .map_err(database("find secret to change"))?;
    let key = tx.key()?;
    row.map(|row| {
        let mac = secret_mac(&key, &row)?;
        if stored_mac(&row)? != Some(mac) {
            return Err(tx.refuse(Forgery::secret(scope, name)));
        }
        Ok(SecretRow {
            id: integer(&row, "id")?,
            scope: scope.clone(),
            name: name.clone(),
            mac,
            path: path(scope, name),
            current: Version(count(&row, "current_version")?),
            latest: Version(count(&row, "latest_version")?),
            deleted_at: optional_time(&row, "deleted_at")?,
        })
    })
    .transpose()
}

pub(super) async fn present(
    tx: &mut LedgerTransaction<'_>,
    scope: &Scope,
    name: &SecretName,
) -> Result<SecretRow, ChangeError> {
    let found = find(tx, scope, name).await?.filter(|it| it.deleted_at.is_none());
    found.ok_or_else(|| ChangeError::NotFound(path(scope, name)))
}
