//! The key that the database says it is sealed under.
//!
//! Rows name the key that wrapped them, but before the first write there are none: two replicas
//! with a key each would both begin, and neither could open what the other wrote. So the first who
//! opens the database writes its key's name down, and whoever comes with another key has to know
//! that one too.

use crate::database::Database;
use crate::key::{KeyId, KeyRing, Keys};

use super::EmbeddedError;

/// The key on record; `None` before the first start.
pub(super) async fn read(database: &Database) -> Result<Option<KeyId>, sqlx::Error> {
    let name: Option<String> = sqlx::query_scalar("SELECT name FROM lockbox_key WHERE id = 1")
        .fetch_optional(database.reader())
        .await?;
    Ok(name.map(KeyId::new))
}

/// Puts the current key of `ring` on record. It takes the place of one that the ring has too, or
/// that was given up, and of no other.
pub(super) async fn write(
    database: &Database,
    keys: &Keys,
    ring: &KeyRing,
) -> Result<(), EmbeddedError> {
    let current = ring.current().name();
    let mut transaction = database.begin().await.map_err(EmbeddedError::Record)?;
    sqlx::query("INSERT INTO lockbox_key (id, name) VALUES (1, $1) ON CONFLICT (id) DO NOTHING")
        .bind(current.to_owned())
        .execute(&mut *transaction)
        .await
        .map_err(EmbeddedError::Record)?;
    // An update that changes nothing locks the row: of two who start at once, the second sees the
    // first's.
    let recorded: String =
        sqlx::query_scalar("UPDATE lockbox_key SET name = name WHERE id = 1 RETURNING name")
            .fetch_one(&mut *transaction)
            .await
            .map_err(EmbeddedError::Record)?;
    let recorded = KeyId::new(recorded);
    if recorded.name() != current {
        let given_up = keys.lost.iter().any(|lost| lost.name() == recorded.name());
        if ring.find(&recorded).is_none() && !given_up {
            return Err(EmbeddedError::Another { recorded, have: ring.names() });
        }
        tracing::info!(from = %recorded, to = current, "another key takes over");
        sqlx::query("UPDATE lockbox_key SET name = $1 WHERE id = 1")
            .bind(current.to_owned())
            .execute(&mut *transaction)
            .await
            .map_err(EmbeddedError::Record)?;
    }
    transaction.commit().await.map_err(EmbeddedError::Record)
}
