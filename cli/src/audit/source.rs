//! The trail, page by page, from switchyard; and what it says of its checkpoints.

use audit::{Checkpoint, Hash, Record};
use serde::Deserialize;

use crate::client::Client;
use crate::error::Error;

/// Records in one request.
pub(super) const PAGE: usize = 1000;

#[derive(Deserialize)]
struct Events {
    events: Vec<Record>,
}

/// The checkpoints that the database has, the key of today, and the end of the trail.
#[derive(Deserialize)]
pub(super) struct Checkpoints {
    pub(super) checkpoints: Vec<Checkpoint>,
    pub(super) public_key: Option<String>,
    pub(super) head: Head,
    next: Option<String>,
}

/// The end of the trail, as the database has it.
#[derive(Deserialize)]
pub(super) struct Head {
    pub(super) sequence: u64,
    pub(super) hash: Hash,
}

/// The next records; `filter` is empty or begins with `&`.
pub(super) async fn page(
    client: &Client<'_>,
    after: u64,
    limit: usize,
    filter: &str,
) -> Result<Vec<Record>, Error> {
    Ok(client
        .get::<Events>(&format!("/v1/audit?after={after}&limit={limit}{filter}"))
        .await?
        .events)
}

/// All checkpoints.
pub(super) async fn checkpoints(client: &Client<'_>) -> Result<Checkpoints, Error> {
    let mut all: Checkpoints = client.get("/v1/audit/checkpoints?limit=1000").await?;
    while let Some(cursor) = all.next.take() {
        let more: Checkpoints =
            client.get(&format!("/v1/audit/checkpoints?limit=1000&cursor={cursor}")).await?;
        all.checkpoints.extend(more.checkpoints);
        all.next = more.next;
    }
    Ok(all)
}
