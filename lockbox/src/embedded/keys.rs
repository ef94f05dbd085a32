//! The keys that rows need, and those at hand.

use sqlx::Row as _;

use super::{Embedded, EmbeddedError, record};
use crate::database::{Database, Kind};
use crate::key::{KeyId, KeyRing, Keys};

/// How many rows need which key. Destroyed ones need none.
pub(super) async fn census(database: &Database) -> Result<Vec<(KeyId, u64)>, sqlx::Error> {
    let rows =
        sqlx::query("SELECT key_id, COUNT(*) AS needed FROM lockbox_values WHERE wrapped_key IS NOT NULL GROUP BY key_id ORDER BY key_id")
            .fetch_all(database.reader())
            .await?;
    rows.iter()
        .map(|row| {
            Ok((
                KeyId::new(row.try_get("key_id")?),
                row.try_get::<i64, _>("needed")?.unsigned_abs(),
            ))
        })
        .collect()
}

/// Gets the keys, and refuses to do without one that a value needs: dropped too early, it would be
/// missed when the value is read, and perhaps be gone by then.
///
/// A row that names what no key is called was damaged. It fails when it is read, and does not keep
/// the whole store shut.
pub(super) async fn get(database: &Database, keys: &Keys) -> Result<KeyRing, EmbeddedError> {
    let census = census(database).await.map_err(EmbeddedError::Keys)?;
    // The key on record counts as one that is in use, before there is a value: another replica has
    // it.
    let recorded = record::read(database).await.map_err(EmbeddedError::Keys)?;
    let in_use: Vec<KeyId> = census.iter().map(|(id, _)| id.clone()).chain(recorded).collect();
    let ring = keys.load(&in_use).await?;
    for (id, rows) in census {
        if ring.find(&id).is_some() {
            continue;
        }
        if id.is_well_formed() && !keys.lost.contains(&id) {
            return Err(EmbeddedError::Missing { missing: id, rows, have: ring.names() });
        }
        tracing::warn!(key = %id.as_str().escape_debug(), rows, "values that no key opens");
    }
    record::write(database, keys, &ring).await?;
    Ok(ring)
}

impl Embedded {
    /// The keys at hand.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// What was overwritten in SQLite's file is still in its log, until the log is folded into the
    /// file and cut. PostgreSQL overwrites in its own time, with VACUUM.
    pub(super) async fn fold(&self) {
        if self.database.kind() != Kind::Sqlite {
            return;
        }
        let folded =
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(self.database.writer()).await;
        match folded.and_then(|row| row.try_get::<i64, _>(0)) {
            Ok(0) => {}
            Ok(_) => tracing::warn!(
                "a reader kept SQLite's log from being cut: what was destroyed stays in it until the next time"
            ),
            Err(error) => tracing::warn!(%error, "fold SQLite's log"),
        }
    }
}
