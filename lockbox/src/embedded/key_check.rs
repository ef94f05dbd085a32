//! Checks that every key that rows need was given.

use super::{EmbeddedError, key_record};
use crate::database::{Database, DatabaseError, query};
use crate::key::{KeyId, KeyRing};
use crate::key_source::KeyConfig;

/// How many rows need which key. Destroyed rows need none.
async fn rows_per_key(database: &Database) -> Result<Vec<(KeyId, u64)>, DatabaseError> {
    let rows = query(
        "SELECT key_id, COUNT(*) AS needed FROM lockbox_values
         WHERE wrapped_key IS NOT NULL GROUP BY key_id ORDER BY key_id",
    )
    .fetch_all(database.reader())
    .await?;
    rows.iter()
        .map(|row| {
            Ok((KeyId::new(row.try_get("key_id")?), row.try_get::<i64>("needed")?.unsigned_abs()))
        })
        .collect()
}

/// Loads the keys, and refuses to open without one that a value needs. A key that was removed too
/// early would otherwise be missed only when the value is read, perhaps after it is gone for good.
///
/// A row whose key id is malformed is damaged. It fails when it is read, and does not keep the
/// whole store closed.
pub(super) async fn load(database: &Database, keys: &KeyConfig) -> Result<KeyRing, EmbeddedError> {
    let needed = rows_per_key(database).await.map_err(EmbeddedError::Keys)?;
    // The recorded key counts as in use even before there is a value: another replica has it.
    let recorded = key_record::read(database).await.map_err(EmbeddedError::Keys)?;
    let in_use: Vec<KeyId> = needed.iter().map(|(id, _)| id.clone()).chain(recorded).collect();
    let ring = keys.load(&in_use).await?;
    for (id, rows) in needed {
        if ring.find(&id).is_some() {
            continue;
        }
        if id.is_well_formed() && !keys.lost.contains(&id) {
            return Err(EmbeddedError::KeyMissing { missing: id, rows, have: ring.names() });
        }
        tracing::warn!(key = %id.as_str().escape_debug(), rows, "no key opens these values");
    }
    key_record::write(database, keys, &ring).await?;
    Ok(ring)
}
