//! What a change starts from: the newest entry of ours, and what Vault knows of its KV versions.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use contract::Scope;
use serde_json::{Map, Value};

use super::entry::{Entry, EntryError};
use super::kv::{Found, Life, Metadata};
use super::place::WriteId;
use super::store::{Vault, entry_failed, failed};
use crate::store::StoreError;

/// How many KV versions of somebody else's are looked behind.
const BACK: usize = 50;

/// The state of a scope's entry.
#[derive(Debug, Default)]
pub(super) struct Base {
    /// The newest entry that this program wrote and that is there.
    pub(super) entry: Entry,
    /// The newest KV version, whoever made it; 0 where there is none.
    pub(super) newest: u64,
    pub(super) metadata: Metadata,
}

impl Base {
    /// The KV versions of a range that are there, as far as is known.
    pub(super) fn live(&self, range: &RangeInclusive<u64>) -> Vec<u64> {
        // A KV version may be newer than the metadata, which was read at the same time.
        let unknown = self.metadata.newest.saturating_add(1)..=self.newest;
        let known = self
            .metadata
            .versions
            .iter()
            .filter(|(_, life)| **life != Life::Destroyed)
            .map(|(at, _)| *at);
        known.chain(unknown).filter(|at| range.contains(at)).collect()
    }
}

impl Vault {
    /// Reads the newest entry. Where somebody else wrote or deleted the newest KV version, the one
    /// before counts: the ledger knows nothing of theirs, and the next write of ours goes on top.
    pub(super) async fn base(&self, scope: &Scope) -> Result<Base, StoreError> {
        let path = self.paths.scope(scope);
        let (newest, metadata) =
            futures_util::try_join!(self.engine.read(&path, None), self.engine.metadata(&path))
                .map_err(failed)?;
        let at = match newest {
            Found::Absent => return Ok(Base { metadata, ..Base::default() }),
            Found::Gone { at } => at,
            Found::Live { at, data } => match ours(at, data)? {
                Some((entry, _)) => return Ok(Base { entry, newest: at, metadata }),
                None => at,
            },
        };
        tracing::warn!(%scope, at, "somebody else wrote or deleted the newest KV version of the entry in Vault");
        let entry = self.behind(&path, at, &metadata.versions).await?;
        Ok(Base { entry, newest: at, metadata })
    }

    async fn behind(
        &self,
        path: &str,
        newest: u64,
        versions: &BTreeMap<u64, Life>,
    ) -> Result<Entry, StoreError> {
        let mut live = versions
            .range(..newest)
            .rev()
            .filter(|(_, life)| **life == Life::Live)
            .map(|(at, _)| *at);
        for at in live.by_ref().take(BACK) {
            if let Found::Live { at, data } =
                self.engine.read(path, Some(at)).await.map_err(failed)?
                && let Some((entry, _)) = ours(at, data)?
            {
                return Ok(entry);
            }
        }
        match live.next() {
            None => Ok(Entry::default()),
            Some(at) => {
                Err(entry_failed("look for the newest entry of ours", &EntryError::Foreign(at)))
            }
        }
    }
}

/// The entry of a KV version, or nothing where somebody else made it.
pub(super) fn ours(
    at: u64,
    data: Map<String, Value>,
) -> Result<Option<(Entry, WriteId)>, StoreError> {
    match Entry::parse(at, data) {
        Ok(entry) => Ok(Some(entry)),
        Err(EntryError::Foreign(_)) => Ok(None),
        Err(error) => Err(entry_failed("read entry", &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_of_a_range() {
        let versions = BTreeMap::from([
            (3, Life::Live),
            (4, Life::Destroyed),
            (5, Life::Deleted),
            (6, Life::Live),
        ]);
        let base = Base {
            newest: 8,
            metadata: Metadata { newest: 6, max_versions: 0, versions },
            ..Base::default()
        };
        assert_eq!(base.live(&(1..=8)), [3, 5, 6, 7, 8]);
        assert_eq!(base.live(&(4..=6)), [5, 6]);
        assert!(base.live(&(9..=9)).is_empty());
        assert!(Base::default().live(&(0..=u64::MAX)).is_empty());
    }
}
