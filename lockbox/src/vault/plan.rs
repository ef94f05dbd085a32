//! The next KV version of an entry, and what must be moved first so that no listed version is lost.
//! Pure.
//!
//! A value is read from the KV version that it was written in. It gets overflow entries of its own
//! before that KV version goes: when Vault evicts it, or when it is destroyed because it also holds
//! a value that is to be destroyed. A large value gets them from the start.

use contract::{Redacted, SecretName};

use super::entry::{Entry, VersionRecord};
use super::entry_version::{EntryVersion, WriteId};
use crate::value::Put;

/// A larger value gets overflow entries, so that it is not written again with every change of the
/// scope.
pub(super) const MAX_INLINE_BYTES: usize = 64 << 10;
/// The total size of an entry's values. Vault's integrated storage accepts 1 MiB and Consul half of
/// that, and the list of versions needs room as well.
pub(super) const MAX_ENTRY_BYTES: usize = 384 << 10;

/// The next KV version of an entry.
#[derive(Debug)]
pub(super) struct WritePlan {
    /// The KV version and the write that makes it.
    pub(super) entry_version: EntryVersion,
    /// The entry to write.
    pub(super) entry: Entry,
    /// Values that must get overflow entries before the write.
    pub(super) moves: Vec<OverflowMove>,
    /// A value to read back, because it becomes the newest of its name again.
    pub(super) restore: Option<(SecretName, VersionRecord)>,
    /// Versions that the write destroys.
    pub(super) removed: Vec<(SecretName, VersionRecord)>,
}

/// A value that gets overflow entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OverflowMove {
    pub(super) name: SecretName,
    pub(super) record: VersionRecord,
    /// The value, or `None` if it must be read from its KV version.
    pub(super) value: Option<Redacted>,
}

/// What a plan starts from: the entry, and the newest KV version, which may be somebody else's.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlanInput<'a> {
    pub(super) entry: &'a Entry,
    pub(super) newest: u64,
    /// How many KV versions Vault keeps of the entry.
    pub(super) max_versions: u64,
}

/// Plans writing new values.
pub(super) fn put(input: PlanInput<'_>, write: WriteId, puts: &[Put<'_>]) -> WritePlan {
    let mut plan = WritePlan::after(input, write);
    for put in puts {
        let new = VersionRecord {
            version: put.version,
            entry_version: plan.entry_version,
            overflow: put.value.len() > MAX_INLINE_BYTES,
        };
        let records = plan.entry.versions.entry(put.name.clone()).or_default();
        records.insert(records.partition_point(|it| *it < new), new);
        let newest = records.last() == Some(&new);
        if newest {
            plan.entry.values.remove(put.name);
        }
        if new.overflow {
            plan.moves.push(OverflowMove {
                name: put.name.clone(),
                record: new,
                value: Some(put.value.clone()),
            });
        } else if newest {
            plan.entry.values.insert(put.name.clone(), put.value.clone());
        } else {
            plan.entry.superseded.insert(put.name.clone(), put.value.clone());
        }
    }
    plan.evict(input);
    plan.fit();
    plan
}

/// Plans removing some versions of a name.
pub(super) fn remove(
    input: PlanInput<'_>,
    write: WriteId,
    name: &SecretName,
    removed: &[VersionRecord],
) -> WritePlan {
    let mut plan = WritePlan::after(input, write);
    let newest = input.entry.newest(name);
    let from = removed
        .iter()
        .map(|record| record.entry_version.kv_version)
        .min()
        .unwrap_or(plan.entry_version.kv_version);
    // Any later KV version may hold it, even one that somebody else wrote. Earlier ones do not.
    plan.entry.sweep = Some(from..=input.newest);
    if let Some(records) = plan.entry.versions.get_mut(name) {
        records.retain(|record| !removed.iter().any(|it| it.entry_version == record.entry_version));
        let last = records.last().copied();
        if last != newest {
            plan.entry.values.remove(name);
            plan.restore = last.map(|record| (name.clone(), record));
        }
        if last.is_none() {
            plan.entry.versions.remove(name);
        }
    }
    plan.removed = removed.iter().map(|record| (name.clone(), *record)).collect();
    plan.move_to_overflow(input.entry, |record| record.entry_version.kv_version >= from);
    plan.evict(input);
    plan
}

impl WritePlan {
    fn after(input: PlanInput<'_>, write: WriteId) -> Self {
        let entry_version = EntryVersion { kv_version: input.newest + 1, write };
        let (values, versions) = (input.entry.values.clone(), input.entry.versions.clone());
        let entry = Entry { values, versions, ..Entry::default() };
        Self { entry_version, entry, moves: Vec::new(), restore: None, removed: Vec::new() }
    }

    /// Moves what Vault evicts with this write.
    fn evict(&mut self, input: PlanInput<'_>) {
        let last_evicted = self.entry_version.kv_version.saturating_sub(input.max_versions);
        self.move_to_overflow(input.entry, |record| {
            record.entry_version.kv_version <= last_evicted
        });
    }

    fn move_to_overflow(&mut self, input: &Entry, which: impl Fn(&VersionRecord) -> bool) {
        for (name, versions) in &mut self.entry.versions {
            let newest = input.newest(name);
            for record in versions.iter_mut().filter(|record| !record.overflow && which(record)) {
                let value =
                    if newest == Some(*record) { input.values.get(name).cloned() } else { None };
                record.overflow = true;
                self.moves.push(OverflowMove { name: name.clone(), record: *record, value });
            }
        }
    }

    /// Moves the largest values until the rest fits.
    fn fit(&mut self) {
        while self.entry.size() > MAX_ENTRY_BYTES {
            let largest = self.entry.values.iter().max_by_key(|(_, value)| value.len());
            let Some((name, value)) = largest.map(|(name, value)| (name.clone(), value.clone()))
            else {
                return;
            };
            self.entry.values.remove(&name);
            if let Some(record) = self
                .entry
                .versions
                .get_mut(&name)
                .and_then(|records| records.last_mut())
                .filter(|record| !record.overflow)
            {
                record.overflow = true;
                self.moves.push(OverflowMove { name, record: *record, value: Some(value) });
            }
        }
    }

    /// Adds the value that is the newest of its name again, unless it is too large.
    pub(super) fn restored(&mut self, value: Redacted) {
        let Some((name, _)) = self.restore.take() else { return };
        if value.len() <= MAX_INLINE_BYTES {
            self.entry.values.insert(name.clone(), value);
            if self.entry.size() > MAX_ENTRY_BYTES {
                self.entry.values.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests;
