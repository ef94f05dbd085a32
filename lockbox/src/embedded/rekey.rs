//! The current key takes over: rows that another key wrapped, or that are of an older format, are
//! wrapped anew, a batch at a time.
//!
//! Which rows are left is in the rows themselves, so whoever begins again after a crash goes on
//! where it ended. A row is changed only where its wrapped key is still the one that was read: two
//! who do this at once, or one who destroys a value meanwhile, do not undo each other's work.

use contract::{Scope, SecretName};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::Embedded;
use super::rows::{backend, sealed, stored};
use crate::key::{KeyId, Wrapped};
use crate::seal::{self, FORMAT, Rewrapped, Row, SealError, Sealed};
use crate::store::{StoreError, Stored};

/// How many rows are wrapped anew in one transaction.
const BATCH: i64 = 100;

/// What a batch came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// So many rows are under the current key now.
    pub done: u64,
    /// Rows that do not open: they stay as they are.
    pub failed: Vec<String>,
    /// Where the next batch begins; `None` after the last.
    pub next: Option<Position>,
}

/// How far the current key has taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// So many rows are sealed; destroyed ones are not.
    pub total: u64,
    /// So many of them another key wrapped, or they are of an older format.
    pub remaining: u64,
}

/// A place in the table, from which a batch begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position(i64);

/// A row as it was read.
struct Found {
    sequence: i64,
    wrapped_key: Vec<u8>,
    scope: Scope,
    name: SecretName,
    stored: Stored,
    sealed: Sealed,
}

impl Found {
    fn row(&self) -> Row<'_> {
        Row {
            scope: &self.scope,
            name: &self.name,
            version: self.stored.version,
            reference: &self.stored.reference,
        }
    }
}

impl Embedded {
    /// What the current key is called in the rows that it wraps now.
    ///
    /// # Errors
    /// Where the key cannot be asked.
    pub async fn current_key(&self) -> Result<KeyId, StoreError> {
        self.keys.current().id().await.map_err(|source| StoreError::Backend {
            step: "ask the key-encryption key",
            source: Box::new(source),
        })
    }

    /// How many rows there are, and how many are not under the key of that id, in the format of
    /// today.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn standing(&self, current: &KeyId) -> Result<Standing, StoreError> {
        let bad = backend("count sealed values");
        let row = sqlx::query(
            "SELECT COUNT(*) AS total, COUNT(CASE WHEN key_id <> $1 OR format <> $2 THEN 1 END) AS remaining
             FROM lockbox_values WHERE wrapped_key IS NOT NULL",
        )
        .bind(current.as_str().to_owned())
        .bind(i64::from(FORMAT))
        .fetch_one(self.database.reader())
        .await
        .map_err(&bad)?;
        let number =
            |column: &str| row.try_get::<i64, _>(column).map(i64::unsigned_abs).map_err(&bad);
        Ok(Standing { total: number("total")?, remaining: number("remaining")? })
    }

    /// Wraps the next rows anew that are not under the key of that id, the current one's.
    ///
    /// # Errors
    /// Where the database fails or a key cannot be asked. Nothing of the batch was changed then.
    pub async fn rewrap(&self, current: &KeyId, from: Position) -> Result<Batch, StoreError> {
        let mut batch = Batch::default();
        let rows = self.batch(current, from).await?;
        if let Some(last) = rows.last().filter(|_| rows.len() as i64 == BATCH) {
            batch.next = Some(Position(
                last.try_get("sequence").map_err(backend("read sealed value's place"))?,
            ));
        }
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            match read(row)? {
                Ok(row) => found.push(row),
                Err(what) => batch.failed.push(what),
            }
        }
        let rows: Vec<(Row<'_>, Sealed)> =
            found.iter().map(|found| (found.row(), found.sealed.clone())).collect();
        let answers = seal::rewrap(&self.keys, &rows).await?;
        let mut ready = Vec::with_capacity(found.len());
        for (found, answer) in found.iter().zip(answers) {
            match answer {
                Ok(rewrapped) => ready.push((found, rewrapped)),
                Err(error) => batch.failed.push(error.to_string()),
            }
        }
        batch.done = self.take_over(ready).await?;
        if batch.next.is_none() {
            self.fold().await;
        }
        Ok(batch)
    }

    async fn batch(&self, current: &KeyId, from: Position) -> Result<Vec<AnyRow>, StoreError> {
        // A value is needed of format 1 alone, where it was bound to the wrapping key; others stay
        // where they are.
        sqlx::query(
            "SELECT sequence, reference, scope, name, version, format, key_id, wrapped_key,
                    CASE WHEN format = 1 THEN sealed ELSE substr(sealed, 1, 0) END AS sealed
             FROM lockbox_values
             WHERE sequence > $1 AND wrapped_key IS NOT NULL AND (key_id <> $2 OR format <> $3)
             ORDER BY sequence LIMIT $4",
        )
        .bind(from.0)
        .bind(current.as_str().to_owned())
        .bind(i64::from(FORMAT))
        .bind(BATCH)
        .fetch_all(self.database.reader())
        .await
        .map_err(backend("read sealed values"))
    }

    async fn take_over(&self, ready: Vec<(&Found, Rewrapped)>) -> Result<u64, StoreError> {
        if ready.is_empty() {
            return Ok(0);
        }
        let mut transaction = self.begin().await?;
        let mut done = 0;
        for (found, Rewrapped { key: Wrapped { key_id, bytes }, value }) in ready {
            let statement = match value {
                None => sqlx::query(
                    "UPDATE lockbox_values SET key_id = $1, wrapped_key = $2, format = $3 WHERE sequence = $4 AND wrapped_key = $5",
                ),
                Some(_) => sqlx::query(
                    "UPDATE lockbox_values SET key_id = $1, wrapped_key = $2, format = $3, sealed = $6 WHERE sequence = $4 AND wrapped_key = $5",
                ),
            };
            let statement = statement
                .bind(key_id.as_str().to_owned())
                .bind(bytes)
                .bind(i64::from(FORMAT))
                .bind(found.sequence)
                .bind(found.wrapped_key.clone());
            let statement = match value {
                None => statement,
                Some(value) => statement.bind(value),
            };
            done += statement
                .execute(&mut *transaction)
                .await
                .map_err(backend("change wrapped keys"))?
                .rows_affected();
        }
        transaction.commit().await.map_err(backend("commit wrapped keys"))?;
        Ok(done)
    }
}

/// A row, or what is to be said of one that was damaged.
fn read(row: &AnyRow) -> Result<Result<Found, String>, StoreError> {
    let bad = backend("read sealed value's place");
    let text = |column: &str| row.try_get::<String, _>(column).map_err(&bad);
    let (stored, scope, name) = (stored(row)?, text("scope")?, text("name")?);
    let place = format!("{scope}/{name} version {} ({})", stored.version, stored.reference);
    let damaged = || SealError::Integrity(place.escape_debug().to_string()).to_string();
    let (Ok(scope), Ok(name)) = (scope.parse::<Scope>(), name.parse::<SecretName>()) else {
        return Ok(Err(damaged()));
    };
    let sequence = row.try_get("sequence").map_err(&bad)?;
    let wrapped_key = row.try_get("wrapped_key").map_err(&bad)?;
    let at =
        Row { scope: &scope, name: &name, version: stored.version, reference: &stored.reference };
    let sealed = match sealed(row, at) {
        Ok(Some(sealed)) => sealed,
        Ok(None) => return Ok(Err(damaged())),
        Err(StoreError::Seal(error)) => return Ok(Err(error.to_string())),
        Err(other) => return Err(other),
    };
    Ok(Ok(Found { sequence, wrapped_key, scope, name, stored, sealed }))
}
