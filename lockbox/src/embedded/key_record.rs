//! The key that the database records as the one it is sealed under.
//!
//! Rows name the key that wrapped them, but before the first write there are none: two replicas
//! with different keys would both start, and neither could open what the other wrote. So the first
//! process that opens the database records its key's name, and a process with another key must know
//! that one too.

use super::EmbeddedError;
use crate::database::{Connection, Database, DatabaseError, query};
use crate::key::{KeyId, KeyRing};
use crate::key_source::KeyConfig;

/// The recorded key, or `None` before the first start.
pub(super) async fn read(database: &Database) -> Result<Option<KeyId>, DatabaseError> {
    let row = query("SELECT name FROM lockbox_key WHERE id = 1")
        .fetch_optional(database.reader())
        .await?;
    Ok(row.map(|row| row.scalar()).transpose()?.map(KeyId::new))
}

/// Records the current key of `ring`. It replaces only a key that the ring also has, or that is
/// declared lost.
pub(super) async fn write(
    database: &Database,
    keys: &KeyConfig,
    ring: &KeyRing,
) -> Result<(), EmbeddedError> {
    let (keys, ring) = (keys.clone(), ring.clone());
    database.transaction(async move |connection| record(connection, &keys, &ring).await).await
}

async fn record(
    connection: &mut Connection,
    keys: &KeyConfig,
    ring: &KeyRing,
) -> Result<(), EmbeddedError> {
    let current = ring.current().name();
    query("INSERT INTO lockbox_key (id, name) VALUES (1, $1) ON CONFLICT (id) DO NOTHING")
        .bind(current)
        .execute(&mut *connection)
        .await?;
    // An update that changes nothing locks the row: of two processes that start at once, the second
    // sees the first one's key.
    let recorded = query("UPDATE lockbox_key SET name = name WHERE id = 1 RETURNING name")
        .fetch_one(&mut *connection)
        .await?;
    let recorded = KeyId::new(recorded.scalar::<String>()?);
    if recorded.name() != current {
        let lost = keys.lost.iter().any(|lost| lost.name() == recorded.name());
        if ring.find(&recorded).is_none() && !lost {
            return Err(EmbeddedError::WrongKey { recorded, have: ring.names() });
        }
        tracing::info!(from = %recorded, to = current, "the database's key changes");
        query("UPDATE lockbox_key SET name = $1 WHERE id = 1")
            .bind(current)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
