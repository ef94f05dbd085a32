//! Changing the key: rows that another key wrapped, or that have an older format, are rewrapped
//! under the current key, a batch at a time.
//!
//! The rows themselves show which are left, so a run that starts after a crash continues where the
//! last one ended. A row is changed only if its wrapped key is still the one that was read. So two
//! runs at once, or a value destroyed meanwhile, do not undo each other's work.

use contract::{Scope, SecretName};

use super::Embedded;
use super::rows::{backend_error, sealed_from_row, stored_version_from_row};
use crate::database::{Connection, DatabaseError, Query, Row, query};
use crate::key::{KeyId, WrappedKey};
use crate::seal::{self, FORMAT, Rewrapped, RowId, SealError, Sealed};
use crate::store::StoreError;
use crate::value::StoredVersion;

/// How many rows are rewrapped in one transaction.
const BATCH_ROWS: i64 = 100;

/// The result of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RewrapBatch {
    /// How many rows were rewrapped under the current key.
    pub done: u64,
    /// Rows that do not open. They are left unchanged.
    pub failed: Vec<String>,
    /// Where the next batch begins, or `None` after the last.
    pub next: Option<RewrapCursor>,
}

/// How many rows the current key still has to take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RekeyProgress {
    /// How many rows hold a value. Destroyed ones do not.
    pub total: u64,
    /// How many of them another key wrapped, or have an older format.
    pub remaining: u64,
}

/// Where in the table a batch begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RewrapCursor(i64);

/// A row as read from the table.
struct SealedRow {
    sequence: i64,
    wrapped_key: Vec<u8>,
    scope: Scope,
    name: SecretName,
    stored: StoredVersion,
    sealed: Sealed,
}

impl SealedRow {
    fn row(&self) -> RowId<'_> {
        RowId {
            scope: &self.scope,
            name: &self.name,
            version: self.stored.version,
            reference: &self.stored.reference,
        }
    }
}

impl Embedded {
    /// The id that the current key writes into rows now.
    ///
    /// # Errors
    /// If the key is unavailable.
    pub async fn current_key(&self) -> Result<KeyId, StoreError> {
        self.keys.current().id().await.map_err(|source| StoreError::Backend {
            step: "reach the key-encryption key",
            source: Box::new(source),
        })
    }

    /// Counts the rows, and those that are not yet under key `current` in the current format.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn rekey_progress(&self, current: &KeyId) -> Result<RekeyProgress, StoreError> {
        let bad = backend_error("count sealed values");
        let row = query(
            "SELECT COUNT(*) AS total,
                    COUNT(CASE WHEN key_id <> $1 OR format <> $2 THEN 1 END) AS remaining
             FROM lockbox_values WHERE wrapped_key IS NOT NULL",
        )
        .bind(current.as_str().to_owned())
        .bind(i64::from(FORMAT))
        .fetch_one(self.database.reader())
        .await
        .map_err(&bad)?;
        let number = |column: &str| row.try_get::<i64>(column).map(i64::unsigned_abs).map_err(&bad);
        Ok(RekeyProgress { total: number("total")?, remaining: number("remaining")? })
    }

    /// Rewraps the next rows that are not under key `current`, which is the current key's id.
    ///
    /// # Errors
    /// If the database fails or a key is unavailable. Then no row of the batch was changed.
    pub async fn rewrap(
        &self,
        current: &KeyId,
        from: RewrapCursor,
    ) -> Result<RewrapBatch, StoreError> {
        let mut batch = RewrapBatch::default();
        let rows = self.batch(current, from).await?;
        if let Some(last) = rows.last().filter(|_| rows.len() as i64 == BATCH_ROWS) {
            batch.next = Some(RewrapCursor(
                last.try_get("sequence").map_err(backend_error("read sealed value's id"))?,
            ));
        }
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            match read(row)? {
                Ok(row) => found.push(row),
                Err(what) => batch.failed.push(what),
            }
        }
        let rows: Vec<(RowId<'_>, Sealed)> =
            found.iter().map(|found| (found.row(), found.sealed.clone())).collect();
        let answers = seal::rewrap(&self.keys, &rows).await?;
        let mut ready = Vec::with_capacity(found.len());
        for (found, answer) in found.iter().zip(answers) {
            match answer {
                Ok(rewrapped) => ready.push((found, rewrapped)),
                Err(error) => batch.failed.push(error.to_string()),
            }
        }
        batch.done = self.update_rows(ready).await?;
        if batch.next.is_none() {
            self.database.truncate_log().await;
        }
        Ok(batch)
    }

    async fn batch(&self, current: &KeyId, from: RewrapCursor) -> Result<Vec<Row>, StoreError> {
        // The value is needed only for format 1, where it was bound to the wrapping key.
        query(
            "SELECT sequence, reference, scope, name, version, format, key_id, wrapped_key,
                    CASE WHEN format = 1 THEN sealed ELSE substr(sealed, 1, 0) END AS sealed
             FROM lockbox_values
             WHERE sequence > $1 AND wrapped_key IS NOT NULL AND (key_id <> $2 OR format <> $3)
             ORDER BY sequence LIMIT $4",
        )
        .bind(from.0)
        .bind(current.as_str().to_owned())
        .bind(i64::from(FORMAT))
        .bind(BATCH_ROWS)
        .fetch_all(self.database.reader())
        .await
        .map_err(backend_error("read sealed values"))
    }

    async fn update_rows(&self, ready: Vec<(&SealedRow, Rewrapped)>) -> Result<u64, StoreError> {
        if ready.is_empty() {
            return Ok(0);
        }
        let statements: Vec<Query> =
            ready.into_iter().map(|(found, rewrapped)| update(found, rewrapped)).collect();
        let work = async move |connection: &mut Connection| {
            let mut done = 0;
            for statement in statements {
                done += statement.execute(&mut *connection).await?;
            }
            Ok::<_, DatabaseError>(done)
        };
        self.database.transaction(work).await.map_err(backend_error("change wrapped keys"))
    }
}

/// The statement that gives a row its new wrapped key, unless the row changed since it was read.
fn update(found: &SealedRow, Rewrapped { key, value }: Rewrapped) -> Query {
    let WrappedKey { key_id, bytes } = key;
    let sql = match value {
        None => {
            "UPDATE lockbox_values SET key_id = $1, wrapped_key = $2, format = $3
             WHERE sequence = $4 AND wrapped_key = $5"
        }
        Some(_) => {
            "UPDATE lockbox_values SET key_id = $1, wrapped_key = $2, format = $3, sealed = $6
             WHERE sequence = $4 AND wrapped_key = $5"
        }
    };
    let statement = query(sql)
        .bind(key_id.as_str())
        .bind(bytes)
        .bind(i64::from(FORMAT))
        .bind(found.sequence)
        .bind(found.wrapped_key.clone());
    match value {
        None => statement,
        Some(value) => statement.bind(value),
    }
}

/// Reads a row. The inner error describes a damaged one.
fn read(row: &Row) -> Result<Result<SealedRow, String>, StoreError> {
    let bad = backend_error("read sealed value's id");
    let text = |column: &str| row.try_get::<String>(column).map_err(&bad);
    let (stored, scope, name) = (stored_version_from_row(row)?, text("scope")?, text("name")?);
    let value_id = format!("{scope}/{name} version {} ({})", stored.version, stored.reference);
    let damaged = || SealError::Integrity(value_id.escape_debug().to_string()).to_string();
    let (Ok(scope), Ok(name)) = (scope.parse::<Scope>(), name.parse::<SecretName>()) else {
        return Ok(Err(damaged()));
    };
    let sequence = row.try_get("sequence").map_err(&bad)?;
    let wrapped_key = row.try_get("wrapped_key").map_err(&bad)?;
    let at =
        RowId { scope: &scope, name: &name, version: stored.version, reference: &stored.reference };
    let sealed = match sealed_from_row(row, at) {
        Ok(Some(sealed)) => sealed,
        Ok(None) => return Ok(Err(damaged())),
        Err(StoreError::Seal(error)) => return Ok(Err(error.to_string())),
        Err(other) => return Err(other),
    };
    Ok(Ok(SealedRow { sequence, wrapped_key, scope, name, stored, sealed }))
}
