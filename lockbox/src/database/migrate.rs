//! Applies migrations to a SQLite file, and records them in the form that sqlx uses, which applies
//! them to PostgreSQL.

use aws_lc_rs::digest::{SHA384, digest};

use super::connection::Connection;
use super::error::DatabaseError;
use super::query::{Row, query_built};
use super::schema::{Migration, Schema};

/// Why migrations cannot be applied.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A migration that was applied has another text in this program.
    #[error("apply migration {0}: it was applied with another text")]
    Changed(i64),
    /// The database has a migration that this program does not know: a newer one wrote it.
    #[error("apply migrations: the database has migration {0}, which only a newer release knows")]
    Newer(i64),
    /// PostgreSQL's migrations cannot be applied.
    #[error(transparent)]
    Postgres(std::sync::Arc<sqlx::migrate::MigrateError>),
}

/// Applies what is pending, each migration in the one transaction of `connection`.
pub(super) async fn apply(
    connection: &mut Connection,
    schema: &Schema,
) -> Result<(), MigrateError> {
    let table = schema.table;
    // The table's name is the program's own.
    query_built(format!(
        "CREATE TABLE IF NOT EXISTS {table} (
             version BIGINT PRIMARY KEY,
             description TEXT NOT NULL,
             installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
             success BOOLEAN NOT NULL,
             checksum BLOB NOT NULL,
             execution_time BIGINT NOT NULL
         )"
    ))
    .execute(&mut *connection)
    .await?;
    let applied = query_built(format!("SELECT version, checksum FROM {table} ORDER BY version"))
        .fetch_all(&mut *connection)
        .await?;
    let known = |row: &Row| -> Result<i64, MigrateError> {
        let version: i64 = row.try_get("version")?;
        let found = schema.migrations.iter().find(|it| it.version == version);
        let found = found.ok_or(MigrateError::Newer(version))?;
        match row.try_get::<Vec<u8>>("checksum")? == checksum(found) {
            true => Ok(version),
            false => Err(MigrateError::Changed(version)),
        }
    };
    let applied = applied.iter().map(known).collect::<Result<Vec<i64>, _>>()?;
    for migration in schema.migrations.iter().filter(|it| !applied.contains(&it.version)) {
        connection.script(migration.sqlite).await?;
        query_built(format!(
            "INSERT INTO {table} (version, description, success, checksum, execution_time)
             VALUES ($1, $2, TRUE, $3, 0)"
        ))
        .bind(migration.version)
        .bind(migration.description)
        .bind(checksum(migration))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

fn checksum(migration: &Migration) -> Vec<u8> {
    digest(&SHA384, migration.sqlite.as_bytes()).as_ref().to_vec()
}
