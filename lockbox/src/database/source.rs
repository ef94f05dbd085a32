//! Where the writer's connection comes from: opened at start, and again after a failure.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use super::connection::Connection;
use super::error::DatabaseError;
use super::{postgres, sqlite};

/// How long a new connection to PostgreSQL may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes connections for writing.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres(Box<PgConnectOptions>),
}

impl Source {
    pub(super) async fn connect(&self) -> Result<Connection, DatabaseError> {
        match self {
            Self::Sqlite(path) => Ok(Connection::sqlite(sqlite::connect_writer(path)?)),
            Self::Postgres(options) => {
                let connecting = async {
                    let mut connection = options.connect().await?;
                    postgres::control(&mut connection, postgres::SETTINGS).await?;
                    Ok(Connection::Postgres(connection))
                };
                tokio::time::timeout(CONNECT_TIMEOUT, connecting)
                    .await
                    .unwrap_or(Err(DatabaseError::Slow))
            }
        }
    }
}
