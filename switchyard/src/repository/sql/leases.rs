//! Leases. Expiry uses the database's clock, so replicas need no synchronized clocks.

use std::time::Duration;

use lockbox::database::DatabaseKind;

use super::super::{ChangeError, Fence, RepositoryError};
use super::rows::{count, database, signed};
use super::{LedgerTransaction, Repository};
use lockbox::database::{query, query_built};

impl Repository {
    /// Takes a free lease or renews one held by `holder`. Returns `None` if another holder has it.
    ///
    /// Only one process opens a SQLite database, so there any previous holder is gone.
    ///
    /// # Errors
    /// The database failed.
    pub async fn take_lease(
        &self,
        name: &'static str,
        holder: &str,
        ttl: Duration,
    ) -> Result<Option<Fence>, RepositoryError> {
        let now = now(self.database.kind());
        let single_process = i64::from(self.database.kind() == DatabaseKind::Sqlite);
        let sql = format!(
            "INSERT INTO leases (name, holder, fence, expires_at) VALUES ($1, $2, 1, {now} + $3)
             ON CONFLICT (name) DO UPDATE SET
                 fence = CASE WHEN leases.holder = $2 THEN leases.fence ELSE leases.fence + 1 END,
                 holder = $2, expires_at = {now} + $3
             WHERE leases.holder = $2 OR leases.expires_at < {now} OR $4 = 1
             RETURNING fence"
        );
        let statement = query_built(sql)
            .bind(name)
            .bind(holder.to_owned())
            .bind(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
            .bind(single_process);
        let rows = self.database.write(statement).await.map_err(database("take lease"))?;
        rows.into_iter()
            .next()
            .map(|row| Ok(Fence { name, number: count(&row, "fence")? }))
            .transpose()
    }

    /// Releases a lease, so that another replica need not wait for it to expire.
    ///
    /// # Errors
    /// The database failed.
    pub async fn release_lease(&self, fence: &Fence) -> Result<(), RepositoryError> {
        let statement =
            query("UPDATE leases SET expires_at = 0, holder = '' WHERE name = $1 AND fence = $2")
                .bind(fence.name)
                .bind(signed(fence.number));
        self.database.execute(statement).await.map_err(database("release lease"))?;
        Ok(())
    }
}

impl LedgerTransaction<'_> {
    /// Fails if the lease has another holder. The row stays locked, so nobody takes the lease over
    /// before this transaction commits.
    pub(super) async fn check_fence(&mut self, fence: &Fence) -> Result<(), ChangeError> {
        let held = query("UPDATE leases SET fence = fence WHERE name = $1 AND fence = $2")
            .bind(fence.name)
            .bind(signed(fence.number))
            .execute(self.connection())
            .await
            .map_err(database("check lease"))?;
        if held == 1 { Ok(()) } else { Err(ChangeError::Fenced(fence.name.to_owned())) }
    }
}

/// SQL for the database's time in milliseconds since 1970.
pub(super) fn now(kind: DatabaseKind) -> &'static str {
    match kind {
        DatabaseKind::Sqlite => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
        DatabaseKind::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
    }
}
