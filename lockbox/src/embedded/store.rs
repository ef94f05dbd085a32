//! [`Store`] on the database.

use std::collections::HashMap;

use contract::{Redacted, Scope, SecretName};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::Embedded;
use super::rows::{backend_error, sealed_from_row, version_to_i64};
use crate::database::{Connection, DatabaseError, Query, Row, placeholders, query, query_built};
use crate::seal::{self, RowId, Sealed};
use crate::store::{
    ActiveSecret, Capabilities, StagedWrite, Store, StoreError, reject_duplicate_names,
};
use crate::value::{Put, Reference, StoredVersion, ValueId};

/// Far below what either database allows to bind.
const ROWS_PER_QUERY: usize = 500;

/// The statement that inserts a sealed value.
pub(super) fn insert(
    id: ValueId<'_>,
    (reference, sealed): (Reference, Sealed),
) -> Result<Query, StoreError> {
    let Sealed { format, key_id, wrapped_key, value } = sealed;
    Ok(query(
        "INSERT INTO lockbox_values
             (reference, scope, name, version, format, key_id, wrapped_key, sealed)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(reference.as_str())
    .bind(id.scope.to_string())
    .bind(id.name.as_str())
    .bind(version_to_i64(id.version)?)
    .bind(i64::from(format))
    .bind(key_id.as_str())
    .bind(wrapped_key)
    .bind(value))
}

impl Embedded {
    /// Seals values, and prepares the statements that insert them. Sealing comes before the
    /// transaction: the key may be on a server, and a slow answer must not keep the database
    /// locked.
    async fn seal_all(&self, scope: &Scope, puts: &[Put<'_>]) -> Result<StagedWrite, StoreError> {
        reject_duplicate_names(scope, puts)?;
        let values: Vec<(ValueId<'_>, &Redacted)> =
            puts.iter().map(|put| (put.id(scope), put.value)).collect();
        let sealed = seal::seal(&self.keys, &values).await?;
        let references = sealed.iter().map(|(reference, _)| reference.clone()).collect();
        let statements = values
            .iter()
            .zip(sealed)
            .map(|((id, _), sealed)| insert(*id, sealed))
            .collect::<Result<_, _>>()?;
        Ok(StagedWrite { references, statements })
    }

    async fn write_all(
        &self,
        scope: &Scope,
        puts: &[Put<'_>],
    ) -> Result<Vec<Reference>, StoreError> {
        let StagedWrite { references, statements } = self.seal_all(scope, puts).await?;
        let work = async move |connection: &mut Connection| {
            for statement in statements {
                statement.execute(&mut *connection).await?;
            }
            Ok::<_, DatabaseError>(())
        };
        self.database.transaction(work).await.map_err(backend_error("insert sealed values"))?;
        Ok(references)
    }

    async fn open_row(
        &self,
        scope: &Scope,
        name: &SecretName,
        stored: &StoredVersion,
    ) -> Result<Redacted, StoreError> {
        let id = RowId { scope, name, version: stored.version, reference: &stored.reference };
        let row = query(
            "SELECT format, key_id, wrapped_key, sealed FROM lockbox_values WHERE reference = $1",
        )
        .bind(stored.reference.as_str().to_owned())
        .cached(&["lockbox_values"])
        .fetch_optional(self.database.reader())
        .await
        .map_err(backend_error("read sealed value"))?
        .ok_or_else(|| StoreError::NotFound(id.to_string()))?;
        self.open_sealed(id, &row).await
    }

    /// Reads the rows of many values with few statements: each is a trip to a thread of its own.
    async fn open_rows(&self, wanted: &[ActiveSecret]) -> Result<Vec<Redacted>, StoreError> {
        let mut values = Vec::with_capacity(wanted.len());
        for wanted in wanted.chunks(ROWS_PER_QUERY) {
            // Only placeholder numbers are formatted into the SQL; all values are bound.
            let statement = query_built(format!(
                "SELECT reference, format, key_id, wrapped_key, sealed FROM lockbox_values
                 WHERE reference IN ({})",
                placeholders(1, wanted.len())
            ));
            let rows = wanted
                .iter()
                .fold(statement, |statement, it| statement.bind(it.stored.reference.as_str()))
                .fetch_all(self.database.reader())
                .await
                .map_err(backend_error("read sealed values"))?;
            let mut found = HashMap::with_capacity(rows.len());
            for row in &rows {
                let reference: String =
                    row.try_get("reference").map_err(backend_error("read reference"))?;
                found.insert(reference, row);
            }
            for ActiveSecret { scope, name, stored } in wanted {
                let StoredVersion { version, reference } = stored;
                let id = RowId { scope, name, version: *version, reference };
                let row = found.get(reference.as_str());
                let row = row.ok_or_else(|| StoreError::NotFound(id.to_string()))?;
                values.push(self.open_sealed(id, row).await?);
            }
        }
        Ok(values)
    }

    async fn open_sealed(&self, id: RowId<'_>, row: &Row) -> Result<Redacted, StoreError> {
        match sealed_from_row(row, id)? {
            Some(sealed) => Ok(seal::open(&self.keys, id, &sealed).await?),
            None => Err(StoreError::Destroyed(id.to_string())),
        }
    }

    async fn destroy_row(
        &self,
        scope: &Scope,
        name: &SecretName,
        stored: &StoredVersion,
    ) -> Result<(), StoreError> {
        let statement = query(
            "UPDATE lockbox_values SET wrapped_key = NULL, sealed = NULL
             WHERE reference = $1 AND scope = $2 AND name = $3 AND version = $4",
        )
        .bind(stored.reference.as_str())
        .bind(scope.to_string())
        .bind(name.as_str())
        .bind(version_to_i64(stored.version)?);
        let changed = self
            .database
            .execute(statement)
            .await
            .map_err(backend_error("destroy sealed value"))?;
        let id = RowId { scope, name, version: stored.version, reference: &stored.reference };
        if changed == 0 {
            return Err(StoreError::NotFound(id.to_string()));
        }
        Ok(())
    }
}

impl Store for Embedded {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            versions: true,
            compare_and_set: true,
            read_your_writes: true,
            atomic_writes: true,
        }
    }

    fn write<'a>(
        &'a self,
        scope: &'a Scope,
        puts: &'a [Put<'a>],
    ) -> BoxFuture<'a, Result<Vec<Reference>, StoreError>> {
        self.write_all(scope, puts).boxed()
    }

    fn read_version<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
        stored: &'a StoredVersion,
    ) -> BoxFuture<'a, Result<Redacted, StoreError>> {
        self.open_row(scope, name, stored).boxed()
    }

    fn read_versions<'a>(
        &'a self,
        wanted: &'a [ActiveSecret],
    ) -> BoxFuture<'a, Result<Vec<Redacted>, StoreError>> {
        self.open_rows(wanted).boxed()
    }

    fn destroy<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
        stored: &'a StoredVersion,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.destroy_row(scope, name, stored).boxed()
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move { self.database.health().await.map_err(backend_error("write sealed values")) }
            .boxed()
    }

    fn stage<'a>(
        &'a self,
        scope: &'a Scope,
        puts: &'a [Put<'a>],
    ) -> BoxFuture<'a, Result<StagedWrite, StoreError>> {
        self.seal_all(scope, puts).boxed()
    }

    fn purge(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        async move { Ok(self.database.truncate_log().await) }.boxed()
    }
}
