//! Notices that the ledger is an older one, or another one, than before: restored from a backup,
//! moved or replaced. It then begins a new epoch, which is an event of the audit log.
//!
//! What was seen last is in a file outside the database and, while the process runs, in its memory.
//! A process whose ledger changed under it ends: what it remembers is of a ledger that is gone.
//!
//! Generations and versions do not depend on this. Each has a random tag, so that a number which is
//! given out a second time is told apart from the first one in any case.

mod anchor_file;
mod continuity;

use std::path::Path;
use std::time::Duration;

use audit::{Action, Actor, Event, Origin, Outcome, Resource, ResourceKind};
use runtime::logs::ErrorChain;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::repository::{LedgerPlace, Repository, RepositoryError};
use anchor_file::AnchorFile;
use continuity::{Anchor, Discontinuity, FoundLedger, check_continuity};

/// How often the ledger is compared with what was seen last.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The epoch of the ledger, and what was last seen of it.
#[derive(Debug)]
pub(crate) struct LedgerEpoch {
    repository: Repository,
    file: AnchorFile,
    seen: Anchor,
}

/// Why a process cannot go on with its ledger.
enum Change {
    /// The ledger is an older one or another one.
    Discontinuity,
    /// Another replica found that.
    OtherEpoch(String),
}

impl LedgerEpoch {
    /// Compares the ledger with what was seen of it before, and begins a new epoch if it is not the
    /// same any more.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn open(repository: Repository, data: &Path) -> Result<Self, RepositoryError> {
        let file = AnchorFile::new(data);
        let anchor = file.read();
        let place = repository.place().await?;
        let found = found_ledger(&repository, anchor.as_ref(), &place).await?;
        let epoch = match (check_continuity(anchor.as_ref(), &found), found.epoch.clone()) {
            (Ok(()), Some(epoch)) => {
                if repository.recorded_place().await? != place {
                    repository.record_place(&place).await?;
                }
                epoch
            }
            (Ok(()), None) => {
                let reason = "the first epoch";
                repository.begin_epoch(&new_id(), None, reason, None, &place).await?
            }
            (Err(why), previous) => begin(&repository, previous.as_deref(), why, &place).await?,
        };
        let (sequence, hash) = repository.audit_head().await?;
        tracing::info!(epoch, sequence, "ledger opened");
        let mut tables = found.tables;
        // That there was a key is not forgotten because the database has none any more.
        if tables.key.is_none() {
            tables = anchor.map(|anchor| anchor.tables).unwrap_or_default();
        }
        let opened = Self { repository, file, seen: Anchor { epoch, sequence, hash, tables } };
        opened.save();
        Ok(opened)
    }

    /// Whether the ledger had a key when it was last seen.
    pub(crate) fn knows_key(&self) -> bool {
        self.seen.tables.key.is_some()
    }

    /// Goes on with the ledger under its key, or under the one that an operator had made: then it
    /// is another ledger than before, which every replica has to read again.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn opened_with_key(
        &mut self,
        by_operator: bool,
    ) -> Result<(), RepositoryError> {
        if by_operator {
            let (place, previous) = (self.repository.place().await?, self.seen.epoch.clone());
            let reason = "an operator accepted the rows of the ledger as they are";
            let id = new_id();
            let begun = self.repository.begin_epoch(&id, Some(&previous), reason, None, &place);
            self.seen.epoch = begun.await?;
        }
        self.seen.tables = self.repository.tables().await?;
        self.save();
        Ok(())
    }

    /// Watches the ledger. Returns when it is not the same any more, or at the drain.
    pub(crate) async fn watch(mut self, stopping: CancellationToken) {
        // The last check is that of the drain.
        while !stopping.is_cancelled() {
            let _ = stopping.run_until_cancelled(tokio::time::sleep(CHECK_INTERVAL)).await;
            match self.check().await {
                Ok(None) => {}
                Ok(Some(Change::OtherEpoch(epoch))) => {
                    tracing::error!(
                        epoch,
                        "another replica found that the database was restored \
                        or replaced; this process ends, and its successor reads what is there"
                    );
                    return;
                }
                Ok(Some(Change::Discontinuity)) => {
                    tracing::error!(
                        "the database changed under this process; it ends, and its \
                        successor reads what is there"
                    );
                    return;
                }
                Err(error) => tracing::warn!(error = %ErrorChain(&error), "check epoch of ledger"),
            }
        }
    }

    /// Compares the ledger with what was seen last, and remembers what is there now.
    async fn check(&mut self) -> Result<Option<Change>, RepositoryError> {
        let place = self.repository.place().await?;
        let found = found_ledger(&self.repository, Some(&self.seen), &place).await?;
        if let Err(why) = check_continuity(Some(&self.seen), &found) {
            begin(&self.repository, found.epoch.as_deref(), why, &place).await?;
            return Ok(Some(Change::Discontinuity));
        }
        let epoch = found.epoch.unwrap_or_default();
        if epoch != self.seen.epoch {
            return Ok(Some(Change::OtherEpoch(epoch)));
        }
        let (sequence, hash) = self.repository.audit_head().await?;
        if sequence != self.seen.sequence || found.tables != self.seen.tables {
            self.seen = Anchor { epoch, sequence, hash, tables: found.tables };
            self.save();
        }
        Ok(None)
    }

    /// Writes the anchor. Without the file, a restore goes unnoticed until the next one.
    fn save(&self) {
        if let Err(error) = self.file.write(&self.seen) {
            tracing::warn!(%error, "write ledger anchor");
        }
    }
}

async fn found_ledger(
    repository: &Repository,
    anchor: Option<&Anchor>,
    place: &LedgerPlace,
) -> Result<FoundLedger, RepositoryError> {
    let recorded = repository.recorded_place().await?;
    let (knows_anchor, hash_at_anchor) = match anchor {
        Some(anchor) => (
            repository.knows_epoch(&anchor.epoch).await?,
            repository.hash_at(anchor.sequence).await?,
        ),
        None => (false, None),
    };
    Ok(FoundLedger {
        epoch: repository.epoch().await?,
        knows_anchor,
        hash_at_anchor,
        tables: repository.tables().await?,
        is_same_server: recorded.server.is_empty() || recorded.server == place.server,
        is_same_timeline: recorded.timeline.is_empty()
            || place.timeline.is_empty()
            || recorded.timeline == place.timeline,
    })
}

async fn begin(
    repository: &Repository,
    previous: Option<&str>,
    why: Discontinuity,
    place: &LedgerPlace,
) -> Result<String, RepositoryError> {
    let (id, reason) = (new_id(), why.to_string());
    let event = Event {
        actor: Actor::System { part: "ledger" },
        action: Action::Restore,
        resource: Resource { kind: ResourceKind::Ledger, id: id.clone(), scope: None },
        version: None,
        outcome: Outcome::Allowed,
        origin: Origin::default(),
        details: Some(reason.clone()),
    };
    let epoch = repository.begin_epoch(&id, previous, &reason, Some(&event), place).await?;
    tracing::error!(
        epoch,
        reason,
        "the ledger is not the one of before, a new epoch begins: \
        check which writes, grants and tokens the database lost or brought back"
    );
    Ok(epoch)
}

fn new_id() -> String {
    Uuid::new_v4().simple().to_string()
}
