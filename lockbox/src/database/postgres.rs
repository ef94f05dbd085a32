//! A PostgreSQL server, which several replicas share.

use std::sync::Arc;

use contract::Redacted;
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyPool, ConnectOptions as _, Executor as _};
use url::Url;

use super::{Database, DatabaseKind, OpenError, pool};

/// Connections of one replica. All writers lock the same row, so more would not help.
const MAX_WRITERS: u32 = 8;
const MAX_READERS: u32 = 8;

/// The oldest supported server, as `server_version_num`.
const MIN_VERSION: i64 = 130_000;

/// The settings of each connection: every statement and every lock has a timeout.
const SETTINGS: &str = "
    SET application_name = 'enclii-switchyard';
    SET statement_timeout = '10s';
    SET lock_timeout = '5s';
    SET idle_in_transaction_session_timeout = '30s';
    SET tcp_user_timeout = '10s';
    SET default_transaction_isolation = 'read committed';";

pub(super) async fn connect(address: &Redacted) -> Result<Database, OpenError> {
    let options = options(address).ok_or(OpenError::Address)?;
    let writer = open(&options, MAX_WRITERS).await?;
    check(&writer).await?;
    let reader = open(&options, MAX_READERS).await?;
    Ok(Database {
        kind: DatabaseKind::Postgres,
        reader,
        writer,
        address: Some(Arc::new(address.clone())),
        _lock: None,
    })
}

async fn open(options: &AnyConnectOptions, max_connections: u32) -> Result<AnyPool, OpenError> {
    let pool = pool(max_connections).after_connect(|connection, _| {
        Box::pin(async move { connection.execute(SETTINGS).await.map(drop) })
    });
    pool.connect_with(options.clone()).await.map_err(OpenError::Connect)
}

fn options(address: &Redacted) -> Option<AnyConnectOptions> {
    let url: Url = std::str::from_utf8(address.expose()).ok()?.trim().parse().ok()?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return None;
    }
    AnyConnectOptions::from_url(&url).ok()
}

/// Refuses a server that is too old, or that acknowledges commits that are not durable.
async fn check(pool: &AnyPool) -> Result<(), OpenError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_url_is_refused_and_not_quoted() {
        for text in
            ["", "hunter2", "mysql://u:hunter2@h/d", "https://hunter2@h", "host=h password=hunter2"]
        {
            assert!(options(&Redacted::from(text.as_bytes())).is_none(), "{text}");
        }
        assert!(
            options(&Redacted::from(
                b"postgres://u:p@127.0.0.1:5432/enclii?sslmode=verify-full\n".as_slice()
            ))
            .is_some()
        );
        assert!(!OpenError::Address.to_string().contains("hunter2"));
    }
}
