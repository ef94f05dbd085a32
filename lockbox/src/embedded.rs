//! The embedded backend: sealed rows in switchyard's own database, SQLite or PostgreSQL.
//!
//! It keeps its own table, and its own list of migrations beside the ledger's, so that the ledger
//! can move to another backend without dragging this one along.

use contract::{Redacted, Scope, SecretName, Version};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};
use uuid::Uuid;

use crate::database::Database;
use crate::key::{KeyError, KeyFile, KeyId, WrappingKey};
use crate::seal::{self, Row, SealError, Sealed};
use crate::store::{Capabilities, Put, Reference, Store, StoreError, Stored};

const MIGRATIONS_TABLE: &str = "_lockbox_migrations";

/// Sealed values in a database.
#[derive(Debug)]
pub struct Embedded {
    database: Database,
    key: WrappingKey,
}

/// Why the backend cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// Its table cannot be made or brought up to date.
    #[error("migrate lockbox tables")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// The ids of the keys in use cannot be read.
    #[error("read lockbox key ids")]
    Keys(#[source] sqlx::Error),
    /// The key file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key file is not the one that the values were sealed under.
    #[error(
        "open lockbox: the key file holds key {have}, and the database has values sealed under key {found}; put the right key file back from your backup"
    )]
    WrongKey {
        /// The key at hand.
        have: KeyId,
        /// The key that values need.
        found: KeyId,
    },
}

impl Embedded {
    /// Opens the backend: brings its table up to date, then reads the key, which is made where there
    /// is neither a file nor a value.
    ///
    /// # Errors
    /// Where the table or the key is not usable, or the two do not belong together.
    pub async fn open(database: Database, key_file: &KeyFile) -> Result<Self, EmbeddedError> {
        let (sqlite, postgres) = (sqlx::migrate!("migrations/sqlite"), sqlx::migrate!("migrations/postgres"));
        database.migrate(MIGRATIONS_TABLE, sqlite, postgres).await.map_err(EmbeddedError::Migrate)?;
        let in_use: Vec<String> = sqlx::query_scalar("SELECT DISTINCT key_id FROM lockbox_values WHERE wrapped_key IS NOT NULL")
            .fetch_all(database.reader())
            .await
            .map_err(EmbeddedError::Keys)?;
        let in_use: Vec<KeyId> = in_use.into_iter().map(KeyId::new).collect();
        let key = key_file.load(in_use.first())?;
        // One damaged row must not keep the whole store shut: it fails when it is read. A key that no
        // row knows is the wrong file.
        match in_use.iter().find(|id| *id == key.id()).or_else(|| in_use.first()) {
            Some(found) if found != key.id() => Err(EmbeddedError::WrongKey { have: key.id().clone(), found: found.clone() }),
            _ => Ok(Self { database, key }),
        }
    }

    /// The key-encryption key in use.
    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        self.key.id()
    }

    async fn insert(&self, transaction: &mut Transaction<'_, Any>, scope: &Scope, put: Put<'_>) -> Result<Reference, StoreError> {
        let reference = Reference::new(Uuid::new_v4().simple().to_string());
        let row = Row { scope, name: put.name, version: put.version, reference: &reference };
        let Sealed { format, key_id, wrapped_key, value } = seal::seal(&self.key, row, put.value)?;
        sqlx::query(
            "INSERT INTO lockbox_values (reference, scope, name, version, format, key_id, wrapped_key, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(reference.as_str().to_owned())
        .bind(scope.to_string())
        .bind(put.name.as_str().to_owned())
        .bind(number(put.version)?)
        .bind(i64::from(format))
        .bind(key_id.as_str().to_owned())
        .bind(wrapped_key)
        .bind(value)
        .execute(&mut **transaction)
        .await
        .map_err(backend("insert sealed values"))?;
        Ok(reference)
    }

    async fn begin(&self) -> Result<Transaction<'static, Any>, StoreError> {
        self.database.begin().await.map_err(backend("begin writing sealed values"))
    }

    async fn write_all(&self, scope: &Scope, puts: &[Put<'_>]) -> Result<Vec<Reference>, StoreError> {
        for (at, put) in puts.iter().enumerate() {
            if puts[..at].iter().any(|earlier| earlier.name == put.name) {
                return Err(StoreError::Twice(format!("{scope}/{}", put.name)));
            }
        }
        let mut transaction = self.begin().await?;
        let mut references = Vec::with_capacity(puts.len());
        for put in puts {
            references.push(self.insert(&mut transaction, scope, *put).await?);
        }
        transaction.commit().await.map_err(backend("commit sealed values"))?;
        Ok(references)
    }

    async fn open_row(&self, scope: &Scope, name: &SecretName, stored: &Stored) -> Result<Redacted, StoreError> {
        let place = Row { scope, name, version: stored.version, reference: &stored.reference };
        let row = sqlx::query("SELECT format, key_id, wrapped_key, sealed FROM lockbox_values WHERE reference = $1")
            .bind(stored.reference.as_str().to_owned())
            .fetch_optional(self.database.reader())
            .await
            .map_err(backend("read sealed value"))?
            .ok_or_else(|| StoreError::NotFound(place.to_string()))?;
        match sealed(&row, place)? {
            Some(sealed) => Ok(seal::open(&self.key, place, &sealed)?),
            None => Err(StoreError::Destroyed(place.to_string())),
        }
    }

    async fn list(&self, scope: &Scope, name: &SecretName) -> Result<Vec<Stored>, StoreError> {
        let rows = sqlx::query(
            "SELECT version, reference FROM lockbox_values WHERE scope = $1 AND name = $2 AND wrapped_key IS NOT NULL ORDER BY version DESC, sequence DESC",
        )
        .bind(scope.to_string())
        .bind(name.as_str().to_owned())
        .fetch_all(self.database.reader())
        .await
        .map_err(backend("list sealed values"))?;
        rows.iter().map(stored).collect()
    }

    async fn newest(&self, scope: &Scope, name: &SecretName) -> Result<Stored, StoreError> {
        self.list(scope, name).await?.into_iter().next().ok_or_else(|| StoreError::NotFound(format!("{scope}/{name}")))
    }

    async fn replace(&self, scope: &Scope, put: Put<'_>, on: &Reference) -> Result<Reference, StoreError> {
        let mut transaction = self.begin().await?;
        // Asked inside the transaction: it holds the only write lock, so nobody comes in between.
        let newest: Option<String> = sqlx::query_scalar(
            "SELECT reference FROM lockbox_values WHERE scope = $1 AND name = $2 AND wrapped_key IS NOT NULL ORDER BY version DESC, sequence DESC LIMIT 1",
        )
        .bind(scope.to_string())
        .bind(put.name.as_str().to_owned())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(backend("read newest sealed value"))?;
        let secret = || format!("{scope}/{}", put.name);
        let newest = Reference::new(newest.ok_or_else(|| StoreError::NotFound(secret()))?);
        if newest != *on {
            return Err(StoreError::Conflict { secret: secret(), newest });
        }
        let reference = self.insert(&mut transaction, scope, put).await?;
        transaction.commit().await.map_err(backend("commit sealed value"))?;
        Ok(reference)
    }

    async fn forget(&self, scope: &Scope, name: &SecretName, stored: &Stored) -> Result<(), StoreError> {
        let changed = sqlx::query(
            "UPDATE lockbox_values SET wrapped_key = NULL, sealed = NULL WHERE reference = $1 AND scope = $2 AND name = $3 AND version = $4",
        )
        .bind(stored.reference.as_str().to_owned())
        .bind(scope.to_string())
        .bind(name.as_str().to_owned())
        .bind(number(stored.version)?)
        .execute(self.database.writer())
        .await
        .map_err(backend("destroy sealed value"))?
        .rows_affected();
        let place = Row { scope, name, version: stored.version, reference: &stored.reference };
        if changed == 0 { Err(StoreError::NotFound(place.to_string())) } else { Ok(()) }
    }

    async fn remove(&self, scope: &Scope, name: &SecretName) -> Result<(), StoreError> {
        let removed = sqlx::query("DELETE FROM lockbox_values WHERE scope = $1 AND name = $2")
            .bind(scope.to_string())
            .bind(name.as_str().to_owned())
            .execute(self.database.writer())
            .await
            .map_err(backend("delete sealed values"))?
            .rows_affected();
        if removed == 0 { Err(StoreError::NotFound(format!("{scope}/{name}"))) } else { Ok(()) }
    }
}

impl Store for Embedded {
    fn capabilities(&self) -> Capabilities {
        Capabilities { versions: true, compare_and_set: true, read_your_writes: true, atomic_writes: true, push: false }
    }

    fn write<'a>(&'a self, scope: &'a Scope, puts: &'a [Put<'a>]) -> BoxFuture<'a, Result<Vec<Reference>, StoreError>> {
        self.write_all(scope, puts).boxed()
    }

    fn read<'a>(&'a self, scope: &'a Scope, name: &'a SecretName) -> BoxFuture<'a, Result<(Stored, Redacted), StoreError>> {
        async move {
            let newest = self.newest(scope, name).await?;
            let value = self.open_row(scope, name, &newest).await?;
            Ok((newest, value))
        }
        .boxed()
    }

    fn read_version<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
        stored: &'a Stored,
    ) -> BoxFuture<'a, Result<Redacted, StoreError>> {
        self.open_row(scope, name, stored).boxed()
    }

    fn list_versions<'a>(&'a self, scope: &'a Scope, name: &'a SecretName) -> BoxFuture<'a, Result<Vec<Stored>, StoreError>> {
        self.list(scope, name).boxed()
    }

    fn rotate<'a>(&'a self, scope: &'a Scope, put: Put<'a>, on: &'a Reference) -> BoxFuture<'a, Result<Reference, StoreError>> {
        self.replace(scope, put, on).boxed()
    }

    fn destroy<'a>(&'a self, scope: &'a Scope, name: &'a SecretName, stored: &'a Stored) -> BoxFuture<'a, Result<(), StoreError>> {
        self.forget(scope, name, stored).boxed()
    }

    fn delete<'a>(&'a self, scope: &'a Scope, name: &'a SecretName) -> BoxFuture<'a, Result<(), StoreError>> {
        self.remove(scope, name).boxed()
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            // Taking the write lock shows a full or read-only disk that a read would not.
            let transaction = self.begin().await?;
            transaction.rollback().await.map_err(backend("end writing sealed values"))
        }
        .boxed()
    }
}

fn backend(step: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Backend { step, source: Box::new(source) }
}

/// The database's integers have a sign, and no version comes near it.
fn number(version: Version) -> Result<i64, StoreError> {
    i64::try_from(version.0).map_err(|error| StoreError::Backend { step: "number version", source: Box::new(error) })
}

fn stored(row: &AnyRow) -> Result<Stored, StoreError> {
    let bad = backend("read sealed value's place");
    let version: i64 = row.try_get("version").map_err(&bad)?;
    let reference: String = row.try_get("reference").map_err(&bad)?;
    Ok(Stored { version: Version(version.unsigned_abs()), reference: Reference::new(reference) })
}

/// The sealed parts of a row; `None` where they were destroyed. A row that is not of the form was
/// changed by somebody, and is refused as such.
fn sealed(row: &AnyRow, place: Row<'_>) -> Result<Option<Sealed>, StoreError> {
    let bad = backend("read sealed value's parts");
    let format: i64 = row.try_get("format").map_err(&bad)?;
    let format = u8::try_from(format).map_err(|_| SealError::Integrity(place.to_string()))?;
    let key_id: String = row.try_get("key_id").map_err(&bad)?;
    let wrapped_key: Option<Vec<u8>> = row.try_get("wrapped_key").map_err(&bad)?;
    let value: Option<Vec<u8>> = row.try_get("sealed").map_err(&bad)?;
    match (wrapped_key, value) {
        (Some(wrapped_key), Some(value)) => Ok(Some(Sealed { format, key_id: KeyId::new(key_id), wrapped_key, value })),
        (None, None) => Ok(None),
        _ => Err(SealError::Integrity(place.to_string()).into()),
    }
}
