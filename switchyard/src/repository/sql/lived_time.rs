//! How long switchyard has run with this ledger. What is destroyed after a time is destroyed after
//! a time that was lived through: a clock that is set forward makes nothing old.

use std::time::Duration;

use lockbox::database::query;

use super::super::{ChangeError, Fence, LivedTime, RepositoryError};
use super::Repository;
use super::rows::{database, integer};

impl Repository {
    /// The lived time, as of the last [`Self::advance_lived_time`].
    ///
    /// # Errors
    /// The database failed.
    pub async fn lived_time(&self) -> Result<LivedTime, RepositoryError> {
        let row = query("SELECT milliseconds FROM lived_time WHERE id = 1")
            .fetch_one(self.database.reader())
            .await
            .map_err(database("read lived time"))?;
        integer(&row, "milliseconds").map(LivedTime)
    }

    /// Adds time that has passed by the process's own clock. Returns the new lived time.
    ///
    /// # Errors
    /// Another replica holds the lease, or the database failed.
    pub async fn advance_lived_time(
        &self,
        by: Duration,
        fence: &Fence,
    ) -> Result<LivedTime, ChangeError> {
        let fence = fence.clone();
        self.transaction(async move |tx| {
            tx.check_fence(&fence).await?;
            let row = query(
                "UPDATE lived_time SET milliseconds = milliseconds + $1 WHERE id = 1 RETURNING \
                    milliseconds",
            )
            .bind(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
            .fetch_one(tx.connection())
            .await
            .map_err(database("advance lived time"))?;
            Ok(LivedTime(integer(&row, "milliseconds")?))
        })
        .await
    }
}
