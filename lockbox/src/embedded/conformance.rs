//! What the conformance suite needs of the backend beyond [`Store`](crate::Store).

use contract::{Redacted, Scope, SecretName};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::Embedded;
use super::rows::{backend_error, stored_version_from_row};
use super::store::insert;
use crate::conformance::ConformanceStore;
use crate::database::{Connection, query};
use crate::seal::{self, SealError};
use crate::store::{Store as _, StoreError};
use crate::value::{Put, Reference, StoredVersion};

impl Embedded {
    async fn list(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<Vec<StoredVersion>, StoreError> {
        let rows = query(
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
        // Read inside the transaction, which holds the only write lock.
        let newest = query(
            "SELECT reference FROM lockbox_values
             WHERE scope = $1 AND name = $2 AND wrapped_key IS NOT NULL
             ORDER BY version DESC, sequence DESC LIMIT 1",
        )
        .bind(scope.to_string())
        .bind(put.name.as_str());
        let (secret, on) = (format!("{scope}/{}", put.name), on.clone());
        let (reference, row) = (sealed.0.clone(), insert(id, sealed)?);
        let work = async move |connection: &mut Connection| {
            let found = newest.fetch_optional(&mut *connection).await?;
            let found = found.ok_or_else(|| StoreError::NotFound(secret.clone()))?;
            let newest = Reference::new(found.scalar::<String>()?);
            if newest != on {
                return Err(StoreError::Conflict { secret, newest });
            }
            row.execute(connection).await?;
            Ok(())
        };
        self.database.transaction(work).await.map(|()| reference)
    }

    async fn delete_rows(&self, scope: &Scope, name: &SecretName) -> Result<(), StoreError> {
        let statement = query("DELETE FROM lockbox_values WHERE scope = $1 AND name = $2")
            .bind(scope.to_string())
            .bind(name.as_str());
        let removed = self
            .database
            .execute(statement)
            .await
            .map_err(backend_error("delete sealed values"))?;
        if removed == 0 {
            return Err(StoreError::NotFound(format!("{scope}/{name}")));
        }
        self.database.truncate_log().await;
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
