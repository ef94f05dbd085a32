//! Grants: rows that let a service account read another service's bundle.

use super::super::RepositoryError;
use super::Repository;
use super::rows::{columns, database, scope, text};
use crate::policy::Grant;

impl Repository {
    /// The grants of one service account.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn grants(&self, namespace: &str, service_account: &str) -> Result<Vec<Grant>, RepositoryError> {
        let rows = sqlx::query("SELECT * FROM grants WHERE namespace = ? AND service_account = ?")
            .bind(namespace.to_owned())
            .bind(service_account.to_owned())
            .fetch_all(self.database.reader())
            .await
            .map_err(database("read grants"))?;
        rows.iter()
            .map(|row| {
                Ok(Grant { namespace: text(row, "namespace")?, service_account: text(row, "service_account")?, bundle: scope(row)? })
            })
            .collect()
    }

    /// Adds a grant; one that is there already stays as it is.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn grant(&self, grant: &Grant, by: &str) -> Result<(), RepositoryError> {
        let [project, environment, service] = columns(&grant.bundle);
        sqlx::query(
            "INSERT INTO grants (namespace, service_account, project, environment, service, created_at, created_by)
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(grant.namespace.clone())
        .bind(grant.service_account.clone())
        .bind(project)
        .bind(environment)
        .bind(service)
        .bind(jiff::Timestamp::now().as_millisecond())
        .bind(by.to_owned())
        .execute(self.database.writer())
        .await
        .map_err(database("insert grant"))?;
        Ok(())
    }
}
