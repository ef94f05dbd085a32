//! [`Store`] on the database.

use contract::{Redacted, Scope, SecretName};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::{Any, Row as _, Transaction};

use super::Embedded;
use super::rows::{backend_error, sealed_from_row, version_to_i64};
use crate::database::DatabaseKind;
use crate::seal::{self, RowId, Sealed};
use crate::store::{Capabilities, Store, StoreError, reject_duplicate_names};
use crate::value::{Put, Reference, StoredVersion, ValueId};

impl Embedded {
    pub(super) async fn insert(
        &self,
        transaction: &mut Transaction<'_, Any>,
        id: ValueId<'_>,
        (reference, sealed): (Reference, Sealed),
    ) -> Result<Reference, StoreError> {
        let Sealed { format, key_id, wrapped_key, value } = sealed;
        sqlx::query(
            "INSERT INTO lockbox_values
                 (reference, scope, name, version, format, key_id, wrapped_key, sealed)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(reference.as_str().to_owned())
        .bind(id.scope.to_string())
        .bind(id.name.as_str().to_owned())
        .bind(version_to_i64(id.version)?)
        .bind(i64::from(format))
        .bind(key_id.as_str().to_owned())
        .bind(wrapped_key)
        .bind(value)
        .execute(&mut **transaction)
        .await
        .map_err(backend_error("insert sealed values"))?;
        Ok(reference)
    }

    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, StoreError> {
        self.database.begin().await.map_err(backend_error("begin writing sealed values"))
    }

    async fn write_all(
        &self,
        scope: &Scope,
        puts: &[Put<'_>],
    ) -> Result<Vec<Reference>, StoreError> {
        reject_duplicate_names(scope, puts)?;
        let values: Vec<(ValueId<'_>, &Redacted)> =
            puts.iter().map(|put| (put.id(scope), put.value)).collect();
        // Sealed before the transaction begins: the key may be on a server, and a slow answer must
        // not keep the database locked.
        let sealed = seal::seal(&self.keys, &values).await?;
        let mut transaction = self.begin().await?;
        let mut references = Vec::with_capacity(puts.len());
        for ((id, _), sealed) in values.iter().zip(sealed) {
            references.push(self.insert(&mut transaction, *id, sealed).await?);
        }
        transaction.commit().await.map_err(backend_error("commit sealed values"))?;
        Ok(references)
    }

    async fn open_row(
        &self,
        scope: &Scope,
        name: &SecretName,
        stored: &StoredVersion,
    ) -> Result<Redacted, StoreError> {
        let id = RowId { scope, name, version: stored.version, reference: &stored.reference };
        let row = sqlx::query(
            "SELECT format, key_id, wrapped_key, sealed FROM lockbox_values WHERE reference = $1",
        )
        .bind(stored.reference.as_str().to_owned())
        .fetch_optional(self.database.reader())
        .await
        .map_err(backend_error("read sealed value"))?
        .ok_or_else(|| StoreError::NotFound(id.to_string()))?;
        match sealed_from_row(&row, id)? {
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
        let changed = sqlx::query(
            "UPDATE lockbox_values SET wrapped_key = NULL, sealed = NULL
             WHERE reference = $1 AND scope = $2 AND name = $3 AND version = $4",
        )
        .bind(stored.reference.as_str().to_owned())
        .bind(scope.to_string())
        .bind(name.as_str().to_owned())
        .bind(version_to_i64(stored.version)?)
        .execute(self.database.writer())
        .await
        .map_err(backend_error("destroy sealed value"))?
        .rows_affected();
        let id = RowId { scope, name, version: stored.version, reference: &stored.reference };
        if changed == 0 {
            return Err(StoreError::NotFound(id.to_string()));
        }
        self.truncate_wal().await;
        Ok(())
    }

    /// Moves SQLite's write-ahead log into the database file and truncates it. Until then the log
    /// still holds what was overwritten in the file. PostgreSQL overwrites in its own time, with
    /// VACUUM.
    pub(super) async fn truncate_wal(&self) {
        if self.database.kind() != DatabaseKind::Sqlite {
            return;
        }
        let checkpoint =
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(self.database.writer()).await;
        match checkpoint.and_then(|row| row.try_get::<i64, _>(0)) {
            Ok(0) => {}
            Ok(_) => tracing::warn!(
                "a reader kept SQLite's write-ahead log from being truncated: destroyed values \
                 stay in it until the next time"
            ),
            Err(error) => tracing::warn!(%error, "truncate SQLite's write-ahead log"),
        }
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

    fn destroy<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
        stored: &'a StoredVersion,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.destroy_row(scope, name, stored).boxed()
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            // Taking the write lock shows a full or read-only disk, which a read would not.
            let transaction = self.begin().await?;
            transaction.rollback().await.map_err(backend_error("end writing sealed values"))
        }
        .boxed()
    }
}
