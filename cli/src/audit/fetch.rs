//! Fetches audit events and checkpoints from switchyard.

use audit::{Checkpoint, Hash, Record};
use serde::Deserialize;

use crate::client::Client;
use crate::error::Error;

/// How many records one request returns at most.
pub(super) const MAX_PAGE_LEN: usize = 1000;

#[derive(Deserialize)]
struct EventPage {
    events: Vec<Record>,
}

/// The checkpoints in the database, the current public key and the head of the log.
#[derive(Deserialize)]
pub(super) struct CheckpointPage {
    pub(super) checkpoints: Vec<Checkpoint>,
    pub(super) public_key: Option<String>,
    pub(super) head: LogHead,
    next: Option<String>,
}

/// The last record, according to the database.
#[derive(Deserialize)]
pub(super) struct LogHead {
    pub(super) sequence: u64,
    pub(super) hash: Hash,
}

/// The records that follow number `after`. `filter` is empty or starts with `&`.
pub(super) async fn page(
    client: &Client<'_>,
    after: u64,
    limit: usize,
    filter: &str,
) -> Result<Vec<Record>, Error> {
    Ok(client
        .get::<EventPage>(&format!("/v1/audit?after={after}&limit={limit}{filter}"))
        .await?
        .events)
}

/// The checkpoints of every page.
pub(super) async fn checkpoints(client: &Client<'_>) -> Result<CheckpointPage, Error> {
    let mut all: CheckpointPage = client.get("/v1/audit/checkpoints?limit=1000").await?;
    while let Some(cursor) = all.next.take() {
        let more: CheckpointPage =
            client.get(&format!("/v1/audit/checkpoints?limit=1000&cursor={cursor}")).await?;
        all.checkpoints.extend(more.checkpoints);
        all.next = more.next;
    }
    Ok(all)
}
