//! What the conformance suite needs of the backend beyond [`Store`](crate::Store).

use contract::{Redacted, Scope, SecretName};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::Embedded;
use super::rows::{backend_error, stored_version_from_row};
use crate::conformance::ConformanceStore;
use crate::seal::{self, SealError};
use crate::store::{Store as _, StoreError};
use crate::value::{Put, Reference, StoredVersion};

impl Embedded {
    async fn list(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<Vec<StoredVersion>, StoreError> {
        let rows = sqlx::query(
            "SELECT version, reference FROM lockbox_values
             WHERE scope = $1 AND name = $2 AND wrapped_key IS NOT NULL
             ORDER BY version DESC, sequence DESC",
        )
        .bind(scope.to_string())
        .bind(name.as_str().to_owned())
        .fetch_all(self.database.reader())
        .await
        .map_err(backend_error("list sealed values"))?;
        rows.iter().map(stored_version_from_row).collect()
    }

    async fn replace_newest(
        &self,
        scope: &Scope,
        put: Put<'_>,
        on: &Reference,
    ) -> Result<Reference, StoreError> {
        let id = put.id(scope);
        let sealed = seal::seal(&self.keys, &[(id, put.value)]).await?.pop();
        let sealed = sealed.ok_or_else(|| SealError::Seal(id.to_string()))?;
        let mut transaction = self.begin().await?;
        // Read inside the transaction, which holds the only write lock.
        let newest: Option<String> = sqlx::query_scalar(
            "SELECT reference FROM lockbox_values
             WHERE scope = $1 AND name = $2 AND wrapped_key IS NOT NULL
             ORDER BY version DESC, sequence DESC LIMIT 1",
        )
        .bind(scope.to_string())
        .bind(put.name.as_str().to_owned())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(backend_error("read newest sealed value"))?;
        let secret = || format!("{scope}/{}", put.name);
        let newest = Reference::new(newest.ok_or_else(|| StoreError::NotFound(secret()))?);
        if newest != *on {
            return Err(StoreError::Conflict { secret: secret(), newest });
        }
        let reference = self.insert(&mut transaction, id, sealed).await?;
        transaction.commit().await.map_err(backend_error("commit sealed value"))?;
        Ok(reference)
    }

    async fn delete_rows(&self, scope: &Scope, name: &SecretName) -> Result<(), StoreError> {
        let removed = sqlx::query("DELETE FROM lockbox_values WHERE scope = $1 AND name = $2")
            .bind(scope.to_string())
            .bind(name.as_str().to_owned())
            .execute(self.database.writer())
            .await
            .map_err(backend_error("delete sealed values"))?
            .rows_affected();
        if removed == 0 {
            return Err(StoreError::NotFound(format!("{scope}/{name}")));
        }
        self.truncate_wal().await;
        Ok(())
    }
}

impl ConformanceStore for Embedded {
    fn read_newest<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<(StoredVersion, Redacted), StoreError>> {
        async move {
            let newest = self.list(scope, name).await?.into_iter().next();
            let newest = newest.ok_or_else(|| StoreError::NotFound(format!("{scope}/{name}")))?;
            let value = self.read_version(scope, name, &newest).await?;
            Ok((newest, value))
        }
        .boxed()
    }

    fn list_versions<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<Vec<StoredVersion>, StoreError>> {
        self.list(scope, name).boxed()
    }

    fn rotate<'a>(
        &'a self,
        scope: &'a Scope,
        put: Put<'a>,
        on: &'a Reference,
    ) -> BoxFuture<'a, Result<Reference, StoreError>> {
        self.replace_newest(scope, put, on).boxed()
    }

    fn delete<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.delete_rows(scope, name).boxed()
    }
}
