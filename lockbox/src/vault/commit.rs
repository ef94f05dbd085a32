//! The compare-and-set write of an entry, and the clean-up around it.

use contract::{Scope, SecretName};
use runtime::retry::RetryPolicy;
use tokio::time::sleep;

use super::backend::{Vault, failed};
use super::entry::VersionRecord;
use super::entry_state::{EntryState, parse_own};
use super::entry_version::{EntryVersion, WriteId};
use super::kv::KvRead;
use super::overflow::{self, OverflowValue};
use super::plan::WritePlan;
use super::response::VaultError;
use super::session::RETRY_BACKOFF;
use super::write::EntryChange;
use crate::store::StoreError;

const WRITE_RETRY: RetryPolicy = RetryPolicy::new(RETRY_BACKOFF, 6);

impl Vault {
    /// Writes the next KV version. `false` means that another writer was faster.
    pub(super) async fn commit(
        &self,
        scope: &Scope,
        path: &str,
        plan: &WritePlan,
    ) -> Result<bool, StoreError> {
        let entry_version = plan.entry_version;
        let data = plan.entry.render(entry_version.kv_version, entry_version.write);
        // Whether an earlier attempt may have succeeded though its answer was lost.
        let mut unsure = false;
        let mut retry = WRITE_RETRY.start();
        loop {
            let newest = entry_version.kv_version - 1;
            let error = match self.engine.write(path, newest, data.clone()).await {
                Ok(()) => return Ok(true),
                Err(VaultError::Conflict { .. }) => {
                    return if unsure {
                        self.was_written(scope, path, entry_version).await
                    } else {
                        Ok(false)
                    };
                }
                Err(error) => error,
            };
            unsure |= error.may_have_succeeded();
            let delay = retry.next_delay().filter(|_| error.is_transient());
            let Some(delay) = delay else {
                let written =
                    unsure && self.was_written(scope, path, entry_version).await.unwrap_or(false);
                return if written { Ok(true) } else { Err(failed(error)) };
            };
            sleep(delay).await;
        }
    }

    /// Whether a write of ours took effect.
    async fn was_written(
        &self,
        scope: &Scope,
        path: &str,
        entry_version: EntryVersion,
    ) -> Result<bool, StoreError> {
        match self.engine.read(path, Some(entry_version.kv_version)).await.map_err(failed)? {
            KvRead::Live { kv_version, data } => {
                Ok(parse_own(kv_version, data)?
                    .is_some_and(|(_, write)| write == entry_version.write))
            }
            // Somebody destroyed it since. Later entries still list what was written in it.
            KvRead::Deleted { .. } | KvRead::Absent => {
                let state = self.entry_state(scope).await?;
                let mut records = state.entry.versions.values().flatten();
                Ok(records.any(|record| record.entry_version == entry_version))
            }
        }
    }

    /// Makes unreadable what the KV version just written no longer lists.
    pub(super) async fn conclude(
        &self,
        scope: &Scope,
        path: &str,
        state: &EntryState,
        plan: &WritePlan,
        change: EntryChange<'_>,
    ) -> Result<(), StoreError> {
        if let Some(sweep) = &plan.entry.sweep {
            let mut versions = state.live(sweep);
            // The KV version that the value was written in may be evicted and still be stored.
            versions.extend(plan.removed.iter().map(|(_, record)| record.entry_version.kv_version));
            versions.sort_unstable();
            versions.dedup();
            self.engine.destroy(path, versions).await.map_err(failed)?;
        }
        for (name, record) in &plan.removed {
            self.remove_overflow(scope, name, *record).await?;
        }
        if let EntryChange::Delete { name } = change {
            overflow::remove_all(&self.engine, &self.paths, scope, name).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Finishes what a writer that died had begun. Returns whether there was anything to do.
    pub(super) async fn finish_sweep(
        &self,
        path: &str,
        state: &EntryState,
    ) -> Result<bool, StoreError> {
        let live = state.entry.sweep.as_ref().map(|sweep| state.live(sweep)).unwrap_or_default();
        if live.is_empty() {
            return Ok(false);
        }
        self.engine.destroy(path, live).await.map_err(failed)?;
        Ok(true)
    }

    pub(super) async fn remove_overflow(
        &self,
        scope: &Scope,
        name: &SecretName,
        record: VersionRecord,
    ) -> Result<bool, StoreError> {
        OverflowValue::new(&self.engine, &self.paths, scope, name, record)
            .remove()
            .await
            .map_err(failed)
    }

    /// Removes overflow values that were made for a KV version which lost against another writer's,
    /// unless the entry lists them now.
    pub(super) async fn remove_unlisted(
        &self,
        scope: &Scope,
        state: &EntryState,
        write: WriteId,
        moved: &mut Vec<(SecretName, VersionRecord)>,
    ) -> Result<(), StoreError> {
        for (name, record) in moved.drain(..) {
            let listed = state.entry.versions.get(&name).is_some_and(|records| {
                records.iter().any(|it| it.entry_version.write == record.entry_version.write)
            });
            if !listed && record.entry_version.write != write {
                self.remove_overflow(scope, &name, record).await?;
            }
        }
        Ok(())
    }
}
