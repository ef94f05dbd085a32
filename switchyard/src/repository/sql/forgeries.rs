//! Reporting what switchyard did not write: the audit log has each forgery once a day.

use audit::{Action, Event};
use jiff::Timestamp;
use lockbox::database::query;
use tokio::sync::mpsc::Receiver;

use super::super::{Forgery, RepositoryError};
use super::rows::database;
use super::{LedgerTransaction, Repository, audit_events};

/// For how long an event stands for all that is found again, in milliseconds: one day.
const REPEAT_MILLIS: i64 = 24 * 60 * 60 * 1000;

impl Repository {
    /// The forgeries that are found from now on, for one reporter.
    #[must_use]
    pub fn take_forgeries(&self) -> Option<Receiver<Forgery>> {
        self.authenticity.take_unreported()
    }

    /// Appends the event of a forgery, unless a replica did so within a day.
    ///
    /// # Errors
    /// The database failed.
    pub async fn record_forgery(&self, event: &Event) -> Result<(), RepositoryError> {
        let (now, event) = (Timestamp::now(), event.clone());
        self.transaction(async move |tx: &mut LedgerTransaction<'_>| {
            let action: &str = Action::Tampered.into();
            let known = query(
                "SELECT 1 FROM audit_events WHERE action = $1 AND resource_id = $2 AND details = \
                    $3 AND at > $4 LIMIT 1",
            )
            .bind(action)
            .bind(event.resource.id.clone())
            .bind(event.details.clone())
            .bind(now.as_millisecond() - REPEAT_MILLIS)
            .fetch_optional(tx.connection())
            .await
            .map_err(database("find event of forgery"))?;
            if known.is_none() {
                audit_events::insert(tx, now, &event).await?;
            }
            Ok::<_, RepositoryError>(())
        })
        .await
    }
}
