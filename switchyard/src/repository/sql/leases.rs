//! Leases in the database: taken, kept, given back, and looked at by whoever writes under one. Time
//! is the database's own, so that replicas need no clocks that agree.

use std::time::Duration;

use lockbox::database::Kind;
use sqlx::AssertSqlSafe;

use super::super::{ChangeError, Fence, RepositoryError};
use super::rows::{count, database, signed};
use super::{Open, Repository};

impl Repository {
    /// Takes a lease that is free, or that `holder` has already. `None` where another one holds it.
    ///
    /// On SQLite, which one process has, whoever held it before is gone.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn take_lease(
        &self,
        name: &'static str,
        holder: &str,
        ttl: Duration,
    ) -> Result<Option<Fence>, RepositoryError> {
        let now = now(self.database.kind());
        let alone = i64::from(self.database.kind() == Kind::Sqlite);
        let sql = format!(
            "INSERT INTO leases (name, holder, fence, expires_at) VALUES ($1, $2, 1, {now} + $3)
             ON CONFLICT (name) DO UPDATE SET
                 fence = CASE WHEN leases.holder = $2 THEN leases.fence ELSE leases.fence + 1 END,
                 holder = $2, expires_at = {now} + $3
             WHERE leases.holder = $2 OR leases.expires_at < {now} OR $4 = 1
             RETURNING fence"
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(name)
            .bind(holder.to_owned())
            .bind(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
            .bind(alone)
            .fetch_optional(self.database.writer())
            .await
            .map_err(database("take lease"))?;
        row.map(|row| Ok(Fence { name, number: count(&row, "fence")? })).transpose()
    }

    /// Gives a lease back, so that another replica need not wait for its end.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn give_lease(&self, fence: &Fence) -> Result<(), RepositoryError> {
        sqlx::query("UPDATE leases SET expires_at = 0, holder = '' WHERE name = $1 AND fence = $2")
            .bind(fence.name)
            .bind(signed(fence.number))
            .execute(self.database.writer())
            .await
            .map_err(database("give lease back"))?;
        Ok(())
    }
}

impl Open {
    /// Refuses to go on where the lease has another holder by now. The row stays locked, so that
    /// nobody takes it over before this change is durable.
    pub(super) async fn guard(&mut self, fence: &Fence) -> Result<(), ChangeError> {
        let held = sqlx::query("UPDATE leases SET fence = fence WHERE name = $1 AND fence = $2")
            .bind(fence.name)
            .bind(signed(fence.number))
            .execute(self.run())
            .await
            .map_err(database("check lease"))?;
        if held.rows_affected() == 1 {
            Ok(())
        } else {
            Err(ChangeError::Fenced(fence.name.to_owned()))
        }
    }
}

/// Now, in milliseconds since 1970, as the database says.
fn now(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
        Kind::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
    }
}
