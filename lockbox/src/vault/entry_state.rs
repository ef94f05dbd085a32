//! What a change starts from: the newest entry that this program wrote, and its KV versions.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use contract::Scope;
use serde_json::{Map, Value};

use super::backend::{Vault, entry_failed, failed};
use super::entry::{Entry, EntryError};
use super::entry_version::WriteId;
use super::kv::{EntryMetadata, KvRead, VersionState};
use crate::store::StoreError;

/// How many KV versions back to look for an entry that this program wrote.
const MAX_FOREIGN_VERSIONS: usize = 50;

/// The state of a scope's entry.
#[derive(Debug, Default)]
pub(super) struct EntryState {
    /// The newest entry that this program wrote and that was not deleted.
    pub(super) entry: Entry,
    /// The newest KV version, no matter who wrote it; 0 if there is none.
    pub(super) newest: u64,
    pub(super) metadata: EntryMetadata,
}

impl EntryState {
    /// The KV versions of a range that are not known to be destroyed.
    pub(super) fn live(&self, range: &RangeInclusive<u64>) -> Vec<u64> {
        // A KV version may be newer than the metadata, which was read at the same time.
        let unknown = self.metadata.newest.saturating_add(1)..=self.newest;
        let known = self
            .metadata
            .versions
            .iter()
            .filter(|(_, state)| **state != VersionState::Destroyed)
            .map(|(kv_version, _)| *kv_version);
        known.chain(unknown).filter(|kv_version| range.contains(kv_version)).collect()
    }
}

impl Vault {
    /// Reads the newest entry. If somebody else wrote or deleted the newest KV version, the one
    /// before counts: the ledger does not know theirs, and the next write goes on top of it.
    pub(super) async fn entry_state(&self, scope: &Scope) -> Result<EntryState, StoreError> {
        let path = self.paths.scope(scope);
        let (newest, metadata) =
            futures_util::try_join!(self.engine.read(&path, None), self.engine.metadata(&path))
                .map_err(failed)?;
        let kv_version = match newest {
            KvRead::Absent => return Ok(EntryState { metadata, ..EntryState::default() }),
            KvRead::Deleted { kv_version } => kv_version,
            KvRead::Live { kv_version, data } => match parse_own(kv_version, data)? {
                Some((entry, _)) => return Ok(EntryState { entry, newest: kv_version, metadata }),
                None => kv_version,
            },
        };
        tracing::warn!(%scope, kv_version, "somebody else wrote or deleted the newest KV version \
             of the entry in Vault");
        let entry = self.last_own_entry(&path, kv_version, &metadata.versions).await?;
        Ok(EntryState { entry, newest: kv_version, metadata })
    }

    async fn last_own_entry(
        &self,
        path: &str,
        newest: u64,
        versions: &BTreeMap<u64, VersionState>,
    ) -> Result<Entry, StoreError> {
        let mut live = versions
            .range(..newest)
            .rev()
            .filter(|(_, state)| **state == VersionState::Live)
            .map(|(kv_version, _)| *kv_version);
        for kv_version in live.by_ref().take(MAX_FOREIGN_VERSIONS) {
            if let KvRead::Live { kv_version, data } =
                self.engine.read(path, Some(kv_version)).await.map_err(failed)?
                && let Some((entry, _)) = parse_own(kv_version, data)?
            {
                return Ok(entry);
            }
        }
        match live.next() {
            None => Ok(Entry::default()),
            Some(kv_version) => Err(entry_failed(
                "find the newest entry of this program",
                &EntryError::Foreign(kv_version),
            )),
        }
    }
}

/// Parses the entry of a KV version. `None` if somebody else wrote it.
pub(super) fn parse_own(
    kv_version: u64,
    data: Map<String, Value>,
) -> Result<Option<(Entry, WriteId)>, StoreError> {
    match Entry::parse(kv_version, data) {
        Ok(entry) => Ok(Some(entry)),
        Err(EntryError::Foreign(_)) => Ok(None),
        Err(error) => Err(entry_failed("read entry", &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_versions_of_a_range() {
        let versions = BTreeMap::from([
            (3, VersionState::Live),
            (4, VersionState::Destroyed),
            (5, VersionState::Deleted),
            (6, VersionState::Live),
        ]);
        let entry_state = EntryState {
            newest: 8,
            metadata: EntryMetadata { newest: 6, max_versions: 0, versions },
            ..EntryState::default()
        };
        assert_eq!(entry_state.live(&(1..=8)), [3, 5, 6, 7, 8]);
        assert_eq!(entry_state.live(&(4..=6)), [5, 6]);
        assert!(entry_state.live(&(9..=9)).is_empty());
        assert!(EntryState::default().live(&(0..=u64::MAX)).is_empty());
    }
}
