//! The embedded backend: sealed rows in switchyard's own database, SQLite or PostgreSQL.
//!
//! It keeps its own table, and its own list of migrations beside the ledger's, so that the ledger
//! can move to another backend without dragging this one along.

mod keys;
mod record;
mod rekey;
mod rows;

use contract::{Redacted, Scope, SecretName};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::{Any, Transaction};

use crate::database::Database;
use crate::key::{KeyError, KeyFile, KeyId, KeyRing, Keys};
use crate::seal::{self, Place, Row, SealError, Sealed};
use crate::store::{Capabilities, Put, Reference, Store, StoreError, Stored};
pub use rekey::{Batch, Position, Standing};
use rows::{backend, number, sealed, stored};

const MIGRATIONS_TABLE: &str = "_lockbox_migrations";

/// Sealed values in a database.
#[derive(Debug)]
pub struct Embedded {
    database: Database,
    keys: KeyRing,
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
    /// A key cannot be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key that the database is sealed under cannot be written down.
    #[error("write down lockbox key id")]
    Record(#[source] sqlx::Error),
    /// The database is sealed under a key that is none of those at hand.
    #[error(
        "open lockbox: the database is sealed under key {recorded}, and the keys at hand are {have}; give this switchyard the key that the others have (--key-file, --key), or, where this key is to take over from that one, give that one as a previous one (--key-previous); if it is lost for good, --key-lost {recorded}"
    )]
    Another {
        /// The key that the database says it is sealed under.
        recorded: KeyId,
        /// The keys at hand.
        have: String,
    },
    /// A key that values were sealed under is none of those at hand.
    #[error(
        "open lockbox: {rows} values need key {missing}, and the keys at hand are {have}; give that key as a previous one (--key-previous), or accept that these values are lost with it (--key-lost {missing})"
    )]
    Missing {
        /// The key that values need.
        missing: KeyId,
        /// How many values need it.
        rows: u64,
        /// The keys at hand.
        have: String,
    },
}

impl Embedded {
    /// Opens the backend with one key, in a file.
    ///
    /// # Errors
    /// As [`Embedded::with_keys`].
    pub async fn open(database: Database, key_file: &KeyFile) -> Result<Self, EmbeddedError> {
        Self::with_keys(database, &Keys::in_file(key_file.clone())).await
    }

    /// Opens the backend: brings its tables up to date, then gets the keys. The current one is made
    /// where it has a file that is not there, and no value is lost by that. Which key the database
    /// is sealed under is written down in it, so that all who open it have the same.
    ///
    /// # Errors Where the tables or a key are not usable, the database is sealed under another key,
    /// or a value needs a key that is not at hand.
    pub async fn with_keys(database: Database, keys: &Keys) -> Result<Self, EmbeddedError> {
        let (sqlite, postgres) =
            (sqlx::migrate!("migrations/sqlite"), sqlx::migrate!("migrations/postgres"));
        database
            .migrate(MIGRATIONS_TABLE, sqlite, postgres)
            .await
            .map_err(EmbeddedError::Migrate)?;
        let keys = keys::get(&database, keys).await?;
        Ok(Self { database, keys })
    }

    async fn insert(
        &self,
        transaction: &mut Transaction<'_, Any>,
        place: Place<'_>,
        (reference, sealed): (Reference, Sealed),
    ) -> Result<Reference, StoreError> {
        let Sealed { format, key_id, wrapped_key, value } = sealed;
        sqlx::query(
            "INSERT INTO lockbox_values (reference, scope, name, version, format, key_id, wrapped_key, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(reference.as_str().to_owned())
        .bind(place.scope.to_string())
        .bind(place.name.as_str().to_owned())
        .bind(number(place.version)?)
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

    async fn write_all(
        &self,
        scope: &Scope,
        puts: &[Put<'_>],
    ) -> Result<Vec<Reference>, StoreError> {
        for (at, put) in puts.iter().enumerate() {
            if puts[..at].iter().any(|earlier| earlier.name == put.name) {
                return Err(StoreError::Twice(format!("{scope}/{}", put.name)));
            }
        }
        let places: Vec<(Place<'_>, &Redacted)> =
            puts.iter().map(|put| (place(scope, *put), put.value)).collect();
        // Sealed before the transaction begins: the key may be in a server, and nobody waits for
        // that with the database locked.
        let sealed = seal::seal(&self.keys, &places).await?;
        let mut transaction = self.begin().await?;
        let mut references = Vec::with_capacity(puts.len());
        for ((place, _), sealed) in places.iter().zip(sealed) {
            references.push(self.insert(&mut transaction, *place, sealed).await?);
        }
        transaction.commit().await.map_err(backend("commit sealed values"))?;
        Ok(references)
    }

    async fn open_row(
        &self,
        scope: &Scope,
        name: &SecretName,
        stored: &Stored,
    ) -> Result<Redacted, StoreError> {
        let place = Row { scope, name, version: stored.version, reference: &stored.reference };
        let row = sqlx::query(
            "SELECT format, key_id, wrapped_key, sealed FROM lockbox_values WHERE reference = $1",
        )
        .bind(stored.reference.as_str().to_owned())
        .fetch_optional(self.database.reader())
        .await
        .map_err(backend("read sealed value"))?
        .ok_or_else(|| StoreError::NotFound(place.to_string()))?;
        match sealed(&row, place)? {
            Some(sealed) => Ok(seal::open(&self.keys, place, &sealed).await?),
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
        self.list(scope, name)
            .await?
            .into_iter()
            .next()
            .ok_or_else(|| StoreError::NotFound(format!("{scope}/{name}")))
    }

    async fn replace(
        &self,
        scope: &Scope,
        put: Put<'_>,
        on: &Reference,
    ) -> Result<Reference, StoreError> {
        let place = place(scope, put);
        let sealed = seal::seal(&self.keys, &[(place, put.value)]).await?.pop();
        let sealed = sealed.ok_or_else(|| SealError::Seal(place.to_string()))?;
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
        let reference = self.insert(&mut transaction, place, sealed).await?;
        transaction.commit().await.map_err(backend("commit sealed value"))?;
        Ok(reference)
    }

    async fn forget(
        &self,
        scope: &Scope,
        name: &SecretName,
        stored: &Stored,
    ) -> Result<(), StoreError> {
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
        if changed == 0 {
            return Err(StoreError::NotFound(place.to_string()));
        }
        self.fold().await;
        Ok(())
    }

    async fn remove(&self, scope: &Scope, name: &SecretName) -> Result<(), StoreError> {
        let removed = sqlx::query("DELETE FROM lockbox_values WHERE scope = $1 AND name = $2")
            .bind(scope.to_string())
            .bind(name.as_str().to_owned())
            .execute(self.database.writer())
            .await
            .map_err(backend("delete sealed values"))?
            .rows_affected();
        if removed == 0 {
            return Err(StoreError::NotFound(format!("{scope}/{name}")));
        }
        self.fold().await;
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
            push: false,
        }
    }

    fn write<'a>(
        &'a self,
        scope: &'a Scope,
        puts: &'a [Put<'a>],
    ) -> BoxFuture<'a, Result<Vec<Reference>, StoreError>> {
        self.write_all(scope, puts).boxed()
    }

    fn read<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<(Stored, Redacted), StoreError>> {
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

    fn list_versions<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<Vec<Stored>, StoreError>> {
        self.list(scope, name).boxed()
    }

    fn rotate<'a>(
        &'a self,
        scope: &'a Scope,
        put: Put<'a>,
        on: &'a Reference,
    ) -> BoxFuture<'a, Result<Reference, StoreError>> {
        self.replace(scope, put, on).boxed()
    }

    fn destroy<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
        stored: &'a Stored,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.forget(scope, name, stored).boxed()
    }

    fn delete<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
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

fn place<'a>(scope: &'a Scope, put: Put<'a>) -> Place<'a> {
    Place { scope, name: put.name, version: put.version }
}
