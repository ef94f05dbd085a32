//! A change of a scope's entry: read, decide, move what would be lost, write with compare-and-set,
//! and destroy what is to be destroyed.
//!
//! The change takes effect with the write. A crash before it leaves at most overflow values that no
//! entry names. What follows it is recorded in the entry (`sweep`), and the next change of the
//! entry finishes it.

use std::time::Duration;

use contract::{Redacted, Scope, SecretName};
use runtime::backoff::Backoff;
use runtime::retry::RetryPolicy;
use tokio::time::{Instant, sleep};

use super::backend::{Lookup, Vault, failed, stored};
use super::entry::VersionRecord;
use super::entry_state::EntryState;
use super::entry_version::{EntryVersion, WriteId};
use super::kv::VersionState;
use super::overflow::{self, OverflowValue};
use super::plan::{self, OverflowMove, PlanInput, WritePlan};
use super::response::VaultError;
use crate::store::{Store as _, StoreError, reject_duplicate_names};
use crate::value::{Put, Reference, StoredVersion};

/// Between attempts after another replica wrote first. Writers of this process queue in
/// [`ScopeLocks`](super::scope_locks::ScopeLocks).
const CONFLICT_RETRY: RetryPolicy = RetryPolicy::new(
    Backoff { base: Duration::from_millis(10), cap: Duration::from_millis(500) },
    30,
);

/// A change to a scope's entry.
#[derive(Clone, Copy, Debug)]
pub(super) enum EntryChange<'a> {
    /// New values. With `on` it is a single one, and `on` must be the newest of its name.
    Put {
        puts: &'a [Put<'a>],
        on: Option<&'a Reference>,
    },
    Destroy {
        name: &'a SecretName,
        stored: &'a StoredVersion,
    },
    Delete {
        name: &'a SecretName,
    },
}

enum Decision {
    Write(Box<WritePlan>),
    /// The entry is already as it should be.
    Done,
}

impl Vault {
    /// Makes a change, and returns the entry version that it was written in.
    pub(super) async fn change(
        &self,
        scope: &Scope,
        change: EntryChange<'_>,
    ) -> Result<EntryVersion, StoreError> {
        if let EntryChange::Put { puts, .. } = change {
            reject_duplicate_names(scope, puts)?;
        }
        let path = self.paths.scope(scope);
        let _lock = self.scope_locks.lock(&path).await;
        let (write, end) =
            (WriteId::random(), Instant::now() + self.engine.session().client().timeout() * 8);
        let mut moved: Vec<(SecretName, VersionRecord)> = Vec::new();
        let mut retry = CONFLICT_RETRY.start();
        loop {
            let state = self.entry_state(scope).await?;
            self.remove_unlisted(scope, &state, write, &mut moved).await?;
            let swept = self.finish_sweep(&path, &state).await?;
            let mut plan = match self.decide(scope, &state, change, write, swept).await? {
                Decision::Write(plan) => plan,
                Decision::Done => return Ok(EntryVersion { kv_version: state.newest, write }),
            };
            self.prepare(scope, &state, &mut plan, &mut moved).await?;
            if self.commit(scope, &path, &plan).await? {
                self.conclude(scope, &path, &state, &plan, change).await?;
                return Ok(plan.entry_version);
            }
            match retry.next_delay() {
                Some(delay) if Instant::now() + delay <= end => sleep(delay).await,
                _ => break,
            }
        }
        // Nothing was written, so no entry names the overflow values made for it.
        let state = self.entry_state(scope).await?;
        self.remove_unlisted(scope, &state, WriteId::random(), &mut moved).await?;
        Err(failed(VaultError::Conflict { step: "write entry" }))
    }

    async fn decide(
        &self,
        scope: &Scope,
        state: &EntryState,
        change: EntryChange<'_>,
        write: WriteId,
        swept: bool,
    ) -> Result<Decision, StoreError> {
        let max_versions = u64::from(self.max_versions).max(state.metadata.max_versions);
        let from = PlanInput { entry: &state.entry, newest: state.newest, max_versions };
        let to_write = |plan| Ok(Decision::Write(Box::new(plan)));
        match change {
            EntryChange::Put { puts, on } => {
                if let ([put], Some(on)) = (puts, on) {
                    check_newest(scope, state.entry.newest(put.name), put.name, on)?;
                }
                to_write(plan::put(from, write, puts))
            }
            EntryChange::Destroy { name, stored } => {
                let what = || {
                    StoreError::NotFound(format!(
                        "{scope}/{name} version {} ({})",
                        stored.version, stored.reference
                    ))
                };
                let entry_version: EntryVersion =
                    stored.reference.as_str().parse().map_err(|_| what())?;
                let records = state.entry.versions.get(name).into_iter().flatten();
                let listed = records
                    .into_iter()
                    .find(|it| it.entry_version == entry_version && it.version == stored.version);
                if let Some(record) = listed {
                    return to_write(plan::remove(from, write, name, &[*record]));
                }
                let record =
                    VersionRecord { version: stored.version, entry_version, overflow: true };
                match self.lookup(scope, name, stored, entry_version).await? {
                    // The value is there, though the newest entry does not list it: that entry was
                    // written on top of a KV version that a person had deleted and has restored
                    // since.
                    Lookup::Value(_) | Lookup::Overflow => {
                        to_write(plan::remove(from, write, name, &[record]))
                    }
                    // An earlier call got this far.
                    Lookup::Deleted => {
                        self.remove_overflow(scope, name, record).await.map(|_| Decision::Done)
                    }
                    Lookup::Absent if entry_version.kv_version <= state.newest => {
                        self.remove_overflow(scope, name, record).await.map(|_| Decision::Done)
                    }
                    Lookup::Absent | Lookup::Other => Err(what()),
                }
            }
            EntryChange::Delete { name } => match state.entry.versions.get(name) {
                Some(records) => to_write(plan::remove(from, write, name, records)),
                None => {
                    let any = overflow::remove_all(&self.engine, &self.paths, scope, name)
                        .await
                        .map_err(failed)?;
                    if any || swept {
                        Ok(Decision::Done)
                    } else {
                        Err(StoreError::NotFound(format!("{scope}/{name}")))
                    }
                }
            },
        }
    }

    /// Does everything that the next KV version relies on.
    async fn prepare(
        &self,
        scope: &Scope,
        state: &EntryState,
        plan: &mut WritePlan,
        moved: &mut Vec<(SecretName, VersionRecord)>,
    ) -> Result<(), StoreError> {
        for OverflowMove { name, record, value } in std::mem::take(&mut plan.moves) {
            let value = match value {
                Some(value) => Some(value),
                None => self.value_to_move(scope, state, &name, record).await?,
            };
            let Some(value) = value else {
                tracing::warn!(
                    %scope, secret = %name, version = %record.version,
                    "somebody deleted the KV version that held this version in Vault"
                );
                plan.entry.drop_version(&name, record.entry_version);
                continue;
            };
            moved.push((name.clone(), record));
            OverflowValue::new(&self.engine, &self.paths, scope, &name, record)
                .put(&value)
                .await
                .map_err(failed)?;
        }
        if let Some((name, record)) = plan.restore.clone() {
            match self.read_version(scope, &name, &stored(record)).await {
                Ok(value) => plan.restored(value),
                Err(StoreError::NotFound(_) | StoreError::Destroyed(_)) => plan.restore = None,
                Err(error) => return Err(error),
            }
        }
        if state.metadata.max_versions < u64::from(self.max_versions) {
            self.engine
                .keep_versions(&self.paths.scope(scope), self.max_versions)
                .await
                .map_err(failed)?;
        }
        Ok(())
    }

    /// The value in the KV version that it was written in, or `None` if somebody deleted that.
    async fn value_to_move(
        &self,
        scope: &Scope,
        state: &EntryState,
        name: &SecretName,
        record: VersionRecord,
    ) -> Result<Option<Redacted>, StoreError> {
        let kv_version = record.entry_version.kv_version;
        match self.lookup(scope, name, &stored(record), record.entry_version).await? {
            Lookup::Value(value) => Ok(Some(value)),
            _ if state.metadata.versions.get(&kv_version) == Some(&VersionState::Live) => {
                let what = format!(
                    "KV version {kv_version} does not hold {name}, which was written in it"
                );
                Err(failed(VaultError::Entry { step: "move value", what }))
            }
            _ => Ok(None),
        }
    }
}

/// Checks that the newest value is the one to be replaced.
fn check_newest(
    scope: &Scope,
    newest: Option<VersionRecord>,
    name: &SecretName,
    on: &Reference,
) -> Result<(), StoreError> {
    let secret = || format!("{scope}/{name}");
    let newest = stored(newest.ok_or_else(|| StoreError::NotFound(secret()))?).reference;
    if newest == *on { Ok(()) } else { Err(StoreError::Conflict { secret: secret(), newest }) }
}
