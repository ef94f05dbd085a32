//! The embedded backend: sealed rows in switchyard's own database, SQLite or PostgreSQL.
//!
//! It has its own table and its own list of migrations beside the ledger's, so that the ledger can
//! move to another backend without it.

mod conformance;
mod key_check;
mod key_record;
mod rekey;
mod rows;
mod store;

use crate::database::{Database, DatabaseError, MigrateError, Migration, Schema};
use crate::key::{KeyFile, KeyId, KeyRing};
use crate::key_source::{KeyConfig, KeyError};
pub use rekey::{RekeyProgress, RewrapBatch, RewrapCursor};

pub(crate) const SCHEMA: Schema = Schema {
    table: "_lockbox_migrations",
    migrations: &[
        Migration {
            version: 1,
            description: "values",
            sqlite: include_str!("../migrations/sqlite/0001_values.sql"),
            postgres: include_str!("../migrations/postgres/0001_values.sql"),
        },
        Migration {
            version: 2,
            description: "key",
            sqlite: include_str!("../migrations/sqlite/0002_key.sql"),
            postgres: include_str!("../migrations/postgres/0002_key.sql"),
        },
    ],
};

/// Sealed values in a database.
#[derive(Debug)]
pub struct Embedded {
    database: Database,
    keys: KeyRing,
}

/// Why the backend cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// Its table cannot be created or migrated.
    #[error("migrate lockbox tables")]
    Migrate(#[source] MigrateError),
    /// The ids of the keys in use cannot be read.
    #[error("read lockbox key ids")]
    Keys(#[source] DatabaseError),
    /// A key cannot be loaded.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key that the database is sealed under cannot be recorded.
    #[error("record lockbox key id")]
    Record(#[from] DatabaseError),
    /// The database is sealed under a key that was not given.
    #[error(
        "open lockbox: the database is sealed under key {recorded}, and the keys given are \
         {have}; give this switchyard the key that the others have (--key-file, --key), or, if \
         this key is to replace that one, give that one as a previous key (--key-previous); if it \
         is lost for good, --key-lost {recorded}"
    )]
    WrongKey {
        /// The key that the database records.
        recorded: KeyId,
        /// The keys that were given.
        have: String,
    },
    /// Values are sealed under a key that was not given.
    #[error(
        "open lockbox: {rows} values need key {missing}, and the keys given are {have}; give that \
         key as a previous one (--key-previous), or accept that these values are lost with it \
         (--key-lost {missing})"
    )]
    KeyMissing {
        /// The key that values need.
        missing: KeyId,
        /// How many values need it.
        rows: u64,
        /// The keys that were given.
        have: String,
    },
}

impl Embedded {
    /// Opens the backend with one key, in a file.
    ///
    /// # Errors
    /// As [`Embedded::with_keys`].
    pub async fn open(database: Database, key_file: &KeyFile) -> Result<Self, EmbeddedError> {
        Self::with_keys(database, &KeyConfig::from_file(key_file.clone())).await
    }

    /// Opens the backend: migrates its tables, then loads the keys. If the current key is in a file
    /// that does not exist, it is created, unless a value would be lost by that. The database
    /// records which key it is sealed under, so that all replicas use the same one.
    ///
    /// # Errors
    /// If the tables or a key are unusable, the database is sealed under another key, or a value
    /// needs a key that was not given.
    pub async fn with_keys(database: Database, keys: &KeyConfig) -> Result<Self, EmbeddedError> {
        database.migrate(&SCHEMA).await.map_err(EmbeddedError::Migrate)?;
        let keys = key_check::load(&database, keys).await?;
        Ok(Self { database, keys })
    }

    /// The keys in use.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }
}
