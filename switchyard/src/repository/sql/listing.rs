//! Queries that a list needs beside the page of a scope: chosen names, and whether a scope exists.

use std::collections::BTreeSet;

use contract::{Label, Scope, SecretName};
use jiff::Timestamp;
use lockbox::database::{placeholders, query, query_built};

use super::super::{ListQuery, RepositoryError, Secret};
use super::Repository;
use super::last_reads::unused_since;
use super::rows::{columns, database};
use super::secrets::{LISTED_COLUMNS, LISTED_TABLES, secret};

/// Each name is a bound value, so this stays far below SQLite's limit of 32,766.
const NAMES_PER_QUERY: usize = 500;

impl Repository {
    /// As [`Repository::list`], only these names. No other name of the scope is read, so that
    /// neither the page nor its cursor tells about one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list_named<'a>(
        &self,
        scope: &Scope,
        names: impl IntoIterator<Item = &'a SecretName>,
        page: &ListQuery,
    ) -> Result<Vec<Secret>, RepositoryError> {
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let mut names: Vec<&str> = names
            .into_iter()
            .filter(|name| page.after.as_ref().is_none_or(|after| *name > after))
            .map(SecretName::as_str)
            .collect();
        names.sort_unstable();
        let mut found = Vec::new();
        for chunk in names.chunks(NAMES_PER_QUERY) {
            if found.len() >= limit {
                break;
            }
            let [project, environment, service] = columns(scope);
            let sql = format!(
                "SELECT {LISTED_COLUMNS}
                 FROM {LISTED_TABLES}
                 WHERE s.project = $1 AND s.environment = $2 AND s.service = $3
                   AND (s.deleted_at IS NULL OR ($4 = 1 AND v.rotation_status <> 'destroyed'))
                   AND ($5 = 0 OR v.expires_at < $6) AND {}
                   AND s.name IN ({}) ORDER BY s.name",
                unused_since(7, 8),
                placeholders(9, chunk.len())
            );
            // Only placeholder numbers are formatted into the SQL; all values are bound.
            let mut select = query_built(sql)
                .bind(project)
                .bind(environment)
                .bind(service)
                .bind(i64::from(page.deleted))
                .bind(i64::from(page.expiring_before.is_some()))
                .bind(page.expiring_before.map_or(0, Timestamp::as_millisecond))
                .bind(i64::from(page.unused_since.is_some()))
                .bind(page.unused_since.map_or(0, Timestamp::as_millisecond));
            for name in chunk {
                select = select.bind((*name).to_owned());
            }
            let rows = select
                .fetch_all(self.database.reader())
                .await
                .map_err(database("list secrets by name"))?;
            for row in &rows {
                found.push(secret(row)?);
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// The scopes below `scope`, of one environment or of all, that have a secret of this name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn scopes_with(
        &self,
        scope: &Scope,
        environment: Option<&Label>,
        name: &SecretName,
    ) -> Result<BTreeSet<Scope>, RepositoryError> {
        let [project, _, _] = columns(scope);
        let rows = query(
            "SELECT project, environment, service FROM secrets
             WHERE project = $1 AND ($2 = '' OR environment = $2) AND name = $3 \
                AND deleted_at IS NULL",
        )
        .bind(project)
        .bind(environment.map_or_else(String::new, ToString::to_string))
        .bind(name.as_str())
        .fetch_all(self.database.reader())
        .await
        .map_err(database("find scopes of a name"))?;
        let found: Result<BTreeSet<Scope>, RepositoryError> =
            rows.iter().map(super::rows::scope).collect();
        Ok(found?.into_iter().filter(|it| it != scope && scope.contains(it)).collect())
    }

    /// Whether a secret was ever written to the scope itself.
    ///
    /// # Errors
    /// The database failed.
    pub async fn has_secrets(&self, scope: &Scope) -> Result<bool, RepositoryError> {
        let [project, environment, service] = columns(scope);
        let found = query(
            "SELECT 1 FROM secrets
             WHERE project = $1 AND environment = $2 AND service = $3 LIMIT 1",
        )
        .bind(project)
        .bind(environment)
        .bind(service)
        .fetch_optional(self.database.reader())
        .await
        .map_err(database("find secret of scope"))?;
        Ok(found.is_some())
    }

    /// Whether a secret was ever written to the scope or below it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn scope_exists(&self, scope: &Scope) -> Result<bool, RepositoryError> {
        let [project, environment, service] = columns(scope);
        let found = query(
            "SELECT 1 FROM secrets WHERE project = $1 AND ($2 = '' OR environment = $2) \
                AND ($3 = '' OR service = $3) LIMIT 1",
        )
        .bind(project)
        .bind(environment)
        .bind(service)
        .fetch_optional(self.database.reader())
        .await
        .map_err(database("find scope"))?;
        Ok(found.is_some())
    }
}
