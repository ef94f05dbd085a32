//! Grants: rows that let a service account read another service's bundle.

use super::super::RepositoryError;
use super::Repository;
use super::rows::{columns, database, scope};
use crate::policy::Grant;

impl Repository {
    /// The grants of one service account.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn grants(&self, namespace: &str, service_account: &str) -> Result<Vec<Grant>, RepositoryError> {
        let rows =
            sqlx::query("SELECT * FROM grants WHERE subject_kind = 'service_account' AND subject = $1 AND access = 'read' AND secret = ''")
                .bind(format!("{namespace}/{service_account}"))
                .fetch_all(self.database.reader())
                .await
                .map_err(database("read grants"))?;
        rows.iter()
            .map(|row| Ok(Grant { namespace: namespace.to_owned(), service_account: service_account.to_owned(), bundle: scope(row)? }))
            .collect()
    }

    /// Adds a grant; one that is there already stays as it is.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn grant(&self, grant: &Grant, by: &str) -> Result<(), RepositoryError> {
        let [project, environment, service] = columns(&grant.bundle);
        sqlx::query(
            "INSERT INTO grants (subject_kind, subject, project, environment, service, secret, access, created_at, created_by)
             VALUES ('service_account', $1, $2, $3, $4, '', 'read', $5, $6) ON CONFLICT DO NOTHING",
        )
        .bind(format!("{}/{}", grant.namespace, grant.service_account))
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
