//! Queries for secrets and their versions.

use std::collections::BTreeMap;

use contract::{Scope, SecretName, Version};
use jiff::Timestamp;
use lockbox::database::{Query, Row, placeholders, query, query_built};
use lockbox::{ActiveSecret, Reference};

use super::super::{ListQuery, LivedTime, RepositoryError, Secret, VersionNumbers, VersionRow};
use super::Repository;
use super::last_reads::{last_read, unused_since};
use super::row_macs::{VERSION_COLUMNS, check_version};
use super::rows::{
    columns, count, database, metadata, name, optional_integer, optional_time, references, scope,
    signed, state, stored, text, time,
};
use crate::references::ValueReferences;

/// Far below what either database allows to bind.
const NAMES_PER_QUERY: usize = 500;

/// The columns that [`secret`] reads, of a secret, its active version and its reads. They are not
/// checked against a MAC: lists of names decide nothing.
pub(super) const LISTED_COLUMNS: &str = "s.name, s.current_version AS version, v.vault_ref, v.tag, \
    v.size, v.refs, s.created_at, s.updated_at, s.deleted_at, s.notes, s.tags, v.message, \
    v.expires_at, r.by_pod_at, r.by_person_at, r.by_program_at";

/// The tables of [`LISTED_COLUMNS`].
pub(super) const LISTED_TABLES: &str = "secrets s \
    JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version \
    LEFT JOIN secret_reads r ON r.secret_id = s.id";

/// The tables of a secret at its active version.
pub(super) const SECRET_TABLES: &[&str] = &["secrets", "secret_versions"];

/// The columns of the last reads where they are not asked for.
const NO_READS: &str = "CAST(NULL AS BIGINT) AS by_pod_at, CAST(NULL AS BIGINT) AS by_person_at, \
    CAST(NULL AS BIGINT) AS by_program_at";

/// Finds secrets of a scope at their active version. `names` is a condition on the name, and
/// `(reads, table)` the columns of the last reads and what joins their table.
fn find_some_statement(names: &str, (reads, table): (&str, &str)) -> Query {
    query_built(format!(
        "SELECT {VERSION_COLUMNS}, s.created_at, s.updated_at, s.deleted_at, s.notes, s.tags, \
            v.message, v.expires_at, {reads}
         FROM secrets s LEFT JOIN secret_versions v ON v.secret_id = s.id AND v.version = \
         s.current_version {table}
         WHERE s.project = $1 AND s.environment = $2 AND s.service = $3 AND s.name {names} AND \
         s.deleted_at IS NULL"
    ))
}

/// Finds one secret at its active version, without its last reads: they change all the time.
pub(super) fn find_statement() -> Query {
    find_some_statement("= $4", (NO_READS, ""))
}

impl Repository {
    /// A page of a scope's own secrets in order of name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list(
        &self,
        scope: &Scope,
        page: &ListQuery,
    ) -> Result<Vec<Secret>, RepositoryError> {
        let [project, environment, service] = columns(scope);
        let rows = query_built(format!(
            "SELECT {LISTED_COLUMNS}
             FROM {LISTED_TABLES}
             WHERE s.project = $1 AND s.environment = $2 AND s.service = $3 AND s.name > $4
               AND (s.deleted_at IS NULL OR ($5 = 1 AND v.rotation_status <> 'destroyed'))
               AND ($7 = 0 OR v.expires_at < $8) AND {}
             ORDER BY s.name LIMIT $6",
            unused_since(9, 10)
        ))
        .bind(project)
        .bind(environment)
        .bind(service)
        .bind(page.after.as_ref().map_or_else(String::new, |name| name.as_str().to_owned()))
        .bind(i64::from(page.deleted))
        .bind(i64::from(page.limit))
        .bind(i64::from(page.expiring_before.is_some()))
        .bind(page.expiring_before.map_or(0, Timestamp::as_millisecond))
        .bind(i64::from(page.unused_since.is_some()))
        .bind(page.unused_since.map_or(0, Timestamp::as_millisecond))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("list secrets"))?;
        rows.iter().map(secret).collect()
    }

    /// One secret at its active version, without its last reads.
    ///
    /// # Errors
    /// The database failed.
    pub async fn find(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<Option<Secret>, RepositoryError> {
        self.find_by(find_statement().cached(SECRET_TABLES), scope, name).await
    }

    /// One secret at its active version, and when it was last read.
    ///
    /// # Errors
    /// The database failed.
    pub async fn find_with_reads(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<Option<Secret>, RepositoryError> {
        let reads = (
            "r.by_pod_at, r.by_person_at, r.by_program_at",
            "LEFT JOIN secret_reads r ON r.secret_id = s.id",
        );
        self.find_by(find_some_statement("= $4", reads), scope, name).await
    }

    async fn find_by(
        &self,
        statement: Query,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<Option<Secret>, RepositoryError> {
        let [project, environment, service] = columns(scope);
        let row = statement
            .bind(project)
            .bind(environment)
            .bind(service)
            .bind(name.as_str().to_owned())
            .fetch_optional(self.database.reader())
            .await
            .map_err(database("find secret"))?;
        row.as_ref().map(|row| self.authentic(row).and_then(secret)).transpose()
    }

    /// Those secrets of a scope that have one of these names, at their active versions, without
    /// their last reads.
    ///
    /// # Errors
    /// Somebody else wrote a row of one of them, or the database failed.
    pub async fn find_some(
        &self,
        scope: &Scope,
        names: &[&SecretName],
    ) -> Result<Vec<Secret>, RepositoryError> {
        let mut found = Vec::new();
        for names in names.chunks(NAMES_PER_QUERY) {
            let [project, environment, service] = columns(scope);
            let statement = find_some_statement(
                &format!("IN ({})", placeholders(4, names.len())),
                (NO_READS, ""),
            );
            let statement = statement.bind(project).bind(environment).bind(service);
            let rows = names
                .iter()
                .fold(statement, |statement, name| statement.bind(name.as_str()))
                .fetch_all(self.database.reader())
                .await
                .map_err(database("find secrets"))?;
            for row in &rows {
                found.push(self.authentic(row).and_then(secret)?);
            }
        }
        Ok(found)
    }

    /// Every existing secret in every scope, at its active version.
    ///
    /// # Errors
    /// The database failed.
    pub async fn in_use(&self) -> Result<Vec<ActiveSecret>, RepositoryError> {
        let rows = query_built(format!(
            "SELECT {VERSION_COLUMNS}
             FROM secrets s LEFT JOIN secret_versions v ON v.secret_id = s.id AND v.version = \
             s.current_version
             WHERE s.deleted_at IS NULL ORDER BY s.id"
        ))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("list secrets in use"))?;
        // One that switchyard did not write is reported, and the others are in use all the same.
        let authentic = |row| match self.authentic(row) {
            Err(RepositoryError::Forged(_)) => None,
            other => Some(other),
        };
        rows.iter()
            .filter_map(authentic)
            .map(|row| {
                let row = row?;
                Ok(ActiveSecret { scope: scope(row)?, name: name(row)?, stored: stored(row)? })
            })
            .collect()
    }

    /// The row, if switchyard wrote it: of a secret and one of its versions.
    fn authentic<'r>(&self, row: &'r Row) -> Result<&'r Row, RepositoryError> {
        let checked = check_version(&*self.authenticity.key()?, row)?;
        checked.map_err(|forgery| self.authenticity.refuse(forgery))?;
        Ok(row)
    }

    /// The version that was active when a secret was deleted, or `None` if it is not deleted.
    ///
    /// # Errors
    /// The database failed.
    pub async fn deleted_at_version(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<Option<Version>, RepositoryError> {
        let [project, environment, service] = columns(scope);
        let row = query(
            "SELECT current_version FROM secrets
             WHERE project = $1 AND environment = $2 AND service = $3 AND name = $4 AND deleted_at \
             IS NOT NULL",
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

    /// What the value of a deleted secret refers to, if it has references.
    ///
    /// # Errors
    /// Somebody else wrote its row, or the database failed.
    pub async fn deleted_references(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<Option<ValueReferences>, RepositoryError> {
        let [project, environment, service] = columns(scope);
        let row = query_built(format!(
            "SELECT {VERSION_COLUMNS} FROM secrets s
             JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
             WHERE s.project = $1 AND s.environment = $2 AND s.service = $3 AND s.name = $4
               AND s.deleted_at IS NOT NULL"
        ))
        .bind(project)
        .bind(environment)
        .bind(service)
        .bind(name.as_str().to_owned())
        .fetch_optional(self.database.reader())
        .await
        .map_err(database("find references of deleted secret"))?;
        let found = row.as_ref().map(|row| self.authentic(row).and_then(references));
        Ok(found.transpose()?.flatten())
    }

    /// One version of an existing secret.
    ///
    /// # Errors
    /// The database failed.
    pub async fn find_version(
        &self,
        scope: &Scope,
        name: &SecretName,
        number: Version,
    ) -> Result<Option<VersionRow>, RepositoryError> {
        let [project, environment, service] = columns(scope);
        let row = query_built(format!(
            "SELECT {VERSION_COLUMNS}, v.rotation_status, v.created_at, v.created_by, \
                v.destroyed_at, v.deleted_lived, v.message, v.expires_at, s.notes, s.tags
             FROM secrets s JOIN secret_versions v ON v.secret_id = s.id
             WHERE s.project = $1 AND s.environment = $2 AND s.service = $3 AND s.name = $4 AND \
             s.deleted_at IS NULL AND v.version = $5"
        ))
        .bind(project)
        .bind(environment)
        .bind(service)
        .bind(name.as_str().to_owned())
        .bind(signed(number.0))
        .fetch_optional(self.database.reader())
        .await
        .map_err(database("find version"))?;
        row.as_ref().map(|row| self.authentic(row).and_then(version)).transpose()
    }

    /// A page of a secret's versions, newest first and older than `before`, including those from
    /// before a delete. Empty if the secret does not exist.
    ///
    /// # Errors
    /// The database failed.
    pub async fn versions(
        &self,
        scope: &Scope,
        name: &SecretName,
        before: Option<Version>,
        limit: u32,
    ) -> Result<Vec<VersionRow>, RepositoryError> {
        let [project, environment, service] = columns(scope);
        let rows = query(
            "SELECT v.version, v.vault_ref, v.tag, v.refs, v.rotation_status, v.created_at, \
                v.created_by, \
                v.destroyed_at, v.deleted_lived, v.message, v.expires_at, s.notes, s.tags
             FROM secrets s JOIN secret_versions v ON v.secret_id = s.id
             WHERE s.project = $1 AND s.environment = $2 AND s.service = $3 AND s.name = $4 AND \
             s.deleted_at IS NULL AND v.version < $5
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

    /// The version numbers of secrets in a scope, including deleted ones. A secret that was never
    /// written is left out.
    ///
    /// # Errors
    /// The database failed.
    pub async fn version_numbers(
        &self,
        scope: &Scope,
        names: &[&SecretName],
    ) -> Result<BTreeMap<SecretName, VersionNumbers>, RepositoryError> {
        let mut found = BTreeMap::new();
        for names in names.chunks(NAMES_PER_QUERY) {
            let [project, environment, service] = columns(scope);
            let statement = query_built(format!(
                "SELECT name, current_version, latest_version, deleted_at FROM secrets
                 WHERE project = $1 AND environment = $2 AND service = $3 AND name IN ({})",
                placeholders(4, names.len())
            ));
            let statement = statement.bind(project).bind(environment).bind(service);
            let rows = names
                .iter()
                .fold(statement, |statement, name| statement.bind(name.as_str()))
                .fetch_all(self.database.reader())
                .await
                .map_err(database("read version numbers"))?;
            for row in &rows {
                found.insert(name(row)?, version_numbers(row)?);
            }
        }
        Ok(found)
    }
}

fn version_numbers(row: &Row) -> Result<VersionNumbers, RepositoryError> {
    let latest = Version(count(row, "latest_version")?);
    let current = Version(count(row, "current_version")?);
    Ok(VersionNumbers {
        latest,
        active: optional_time(row, "deleted_at")?.is_none().then_some(current),
    })
}

pub(super) fn secret(row: &Row) -> Result<Secret, RepositoryError> {
    let created_at = time(row, "created_at")?;
    Ok(Secret {
        last_read: last_read(row, created_at)?,
        name: name(row)?,
        stored: stored(row)?,
        tag: text(row, "tag")?,
        size: count(row, "size")?,
        created_at,
        updated_at: time(row, "updated_at")?,
        deleted_at: optional_time(row, "deleted_at")?,
        references: references(row)?,
        metadata: metadata(row)?,
    })
}

fn version(row: &Row) -> Result<VersionRow, RepositoryError> {
    Ok(VersionRow {
        version: Version(count(row, "version")?),
        tag: text(row, "tag")?,
        reference: Reference::new(text(row, "vault_ref")?),
        state: state(&text(row, "rotation_status")?)?,
        created_at: time(row, "created_at")?,
        created_by: text(row, "created_by")?,
        destroyed_at: optional_time(row, "destroyed_at")?,
        deleted: optional_integer(row, "deleted_lived")?.map(LivedTime),
        references: references(row)?,
        metadata: metadata(row)?,
    })
}
