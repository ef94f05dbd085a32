//! A PostgreSQL server, which several replicas share.

use std::sync::Arc;
use std::time::Duration;

use contract::Redacted;
use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::query::Query as SqlxQuery;
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Executor, PgConnection, PgPool, Postgres,
    Row as _, TypeInfo as _,
};
use url::Url;

use super::OpenError;
use super::error::DatabaseError;
use super::query::{Query, Row, SqlValue};

/// Connections for reading, of one replica.
const MAX_READERS: u32 = 8;

/// How long a statement waits for a connection from the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// The oldest supported server, as `server_version_num`.
const MIN_VERSION: i64 = 130_000;

/// The settings of each connection: every statement and every lock has a timeout.
pub(super) const SETTINGS: &str = "
    SET statement_timeout = '10s';
    SET lock_timeout = '5s';
    SET idle_in_transaction_session_timeout = '30s';
    SET tcp_user_timeout = '10s';
    SET default_transaction_isolation = 'read committed';";

pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgPool, OpenError> {
    let pool = PgPoolOptions::new()
        .max_connections(MAX_READERS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(|connection, _| {
            Box::pin(async move { connection.execute(SETTINGS).await.map(drop) })
        })
        .connect_with(options.clone())
        .await
        .map_err(OpenError::Connect)?;
    check(&pool).await?;
    Ok(pool)
}

/// Parses a complete URL.
pub(super) fn options(address: &Redacted) -> Option<PgConnectOptions> {
    let url: Url = std::str::from_utf8(address.expose()).ok()?.parse().ok()?;
    PgConnectOptions::from_url(&url).ok()
}

/// Refuses a server that is too old, or that acknowledges commits that are not durable.
async fn check(pool: &PgPool) -> Result<(), OpenError> {
    let version: i64 = sqlx::query_scalar("SELECT current_setting('server_version_num')::BIGINT")
        .fetch_one(pool)
        .await
        .map_err(OpenError::Connect)?;
    if version < MIN_VERSION {
        return Err(OpenError::Server(version / 10_000));
    }
    for (setting, lossy) in
        [("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off")]
    {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(pool)
            .await
            .map_err(OpenError::Connect)?;
        if value == lossy {
            return Err(OpenError::NotDurable { setting, value, wanted: "on" });
        }
    }
    Ok(())
}

/// Runs statements that take no values and return nothing.
pub(super) async fn control(
    connection: &mut PgConnection,
    sql: &'static str,
) -> Result<(), DatabaseError> {
    connection.execute(sql).await?;
    Ok(())
}

pub(super) async fn rows<'c>(
    on: impl Executor<'c, Database = Postgres>,
    query: &Query,
) -> Result<Vec<Row>, DatabaseError> {
    let mut rows = Vec::new();
    each(on, query, |row| rows.push(row)).await?;
    Ok(rows)
}

/// Hands each row to `visit`, as they arrive.
pub(super) async fn each<'c>(
    on: impl Executor<'c, Database = Postgres>,
    query: &Query,
    mut visit: impl FnMut(Row),
) -> Result<(), DatabaseError> {
    let mut found = bound(query).fetch(on);
    let mut columns: Option<Arc<[String]>> = None;
    while let Some(row) = found.try_next().await? {
        let columns = columns.get_or_insert_with(|| {
            row.columns().iter().map(|column| column.name().to_owned()).collect()
        });
        let values = (0..columns.len()).map(|at| value(&row, at)).collect::<Result<_, _>>()?;
        visit(Row { columns: columns.clone(), values });
    }
    Ok(())
}

pub(super) async fn changes<'c>(
    on: impl Executor<'c, Database = Postgres>,
    query: &Query,
) -> Result<u64, DatabaseError> {
    Ok(bound(query).execute(on).await?.rows_affected())
}

fn bound(query: &Query) -> SqlxQuery<'_, Postgres, sqlx::postgres::PgArguments> {
    // `Query` is made only from the program's own texts.
    let mut statement = sqlx::query(AssertSqlSafe(query.sql.to_string()));
    for value in &query.values {
        statement = match value {
            SqlValue::Integer(number) => statement.bind(*number),
            SqlValue::Text(text) => statement.bind(text.clone()),
            SqlValue::Blob(bytes) => statement.bind(bytes.clone()),
        };
    }
    statement
}

fn value(row: &PgRow, at: usize) -> Result<SqlValue, DatabaseError> {
    let column = row.column(at);
    Ok(match column.type_info().name() {
        "INT8" => SqlValue::Integer(row.try_get(at)?),
        "INT4" => SqlValue::from(row.try_get::<Option<i32>, _>(at)?),
        "BOOL" => SqlValue::from(row.try_get::<Option<bool>, _>(at)?),
        "TEXT" | "VARCHAR" | "BPCHAR" | "NAME" => SqlValue::Text(row.try_get(at)?),
        "BYTEA" => SqlValue::Blob(row.try_get(at)?),
        _ => return Err(DatabaseError::Type(column.name().to_owned())),
    })
}
