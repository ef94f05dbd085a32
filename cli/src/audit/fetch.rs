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

/// Where a page begins, and in which direction it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageStart {
    /// The records that follow this number, oldest first.
    After(u64),
    /// The newest records, newest first.
    Newest,
    /// The records that precede this number, newest first.
    Before(u64),
}

/// A page of records. `filter` is empty or starts with `&`.
pub(super) async fn page(
    client: &Client<'_>,
    start: PageStart,
    limit: usize,
    filter: &str,
) -> Result<Vec<Record>, Error> {
    let start = match start {
        PageStart::After(number) => format!("after={number}"),
        PageStart::Newest => "order=desc".to_owned(),
        PageStart::Before(number) => format!("order=desc&before={number}"),
    };
    Ok(client.get::<EventPage>(&format!("/v1/audit?{start}&limit={limit}{filter}")).await?.events)
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
