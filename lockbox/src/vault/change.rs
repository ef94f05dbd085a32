//! What comes after an entry: its next KV version, and what has to be moved first so that nothing
//! that is kept is lost. Pure.
//!
//! A value is read from the KV version that it came in with. It has to have entries of its own
//! before that version is gone: when Vault evicts it, when it is destroyed because it also holds a
//! value that is to be destroyed, and from the start where the value is large.

use contract::{Redacted, SecretName};

use super::entry::{Entry, Kept};
use super::place::{Place, WriteId};
use crate::store::Put;

/// A larger value gets entries of its own, so that it is not written again with every change of the
/// scope.
pub(super) const LARGE: usize = 64 << 10;
/// What an entry's values may have together. Vault's integrated storage takes 1 MiB, Consul half of
/// it, and the list of the kept versions needs room as well.
pub(super) const ROOM: usize = 384 << 10;

/// The next KV version of an entry.
#[derive(Debug)]
pub(super) struct Next {
    /// Which write it is.
    pub(super) place: Place,
    /// What it holds.
    pub(super) entry: Entry,
    /// What gets entries of its own before it is written.
    pub(super) moves: Vec<Move>,
    /// What has to be read, to be the newest of its name again.
    pub(super) restore: Option<(SecretName, Kept)>,
    /// What is destroyed by it.
    pub(super) gone: Vec<(SecretName, Kept)>,
}

/// A value that gets entries of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) name: SecretName,
    pub(super) kept: Kept,
    /// The value, or nothing where it is to be read from its place.
    pub(super) value: Option<Redacted>,
}

/// What is added to: an entry, and the KV version that is the newest, which may be somebody else's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base<'a> {
    pub(super) entry: &'a Entry,
    pub(super) newest: u64,
    /// How many KV versions Vault keeps of it.
    pub(super) max_versions: u64,
}

/// The entry with new values.
pub(super) fn put(base: Base<'_>, write: WriteId, puts: &[Put<'_>]) -> Next {
    let mut next = Next::after(base, write);
    for put in puts {
        let new = Kept { version: put.version, place: next.place, apart: put.value.len() > LARGE };
        let kept = next.entry.kept.entry(put.name.clone()).or_default();
        kept.insert(kept.partition_point(|it| *it < new), new);
        let newest = kept.last() == Some(&new);
        if newest {
            next.entry.values.remove(put.name);
        }
        if new.apart {
            next.moves.push(Move {
                name: put.name.clone(),
                kept: new,
                value: Some(put.value.clone()),
            });
        } else if newest {
            next.entry.values.insert(put.name.clone(), put.value.clone());
        } else {
            next.entry.beside.insert(put.name.clone(), put.value.clone());
        }
    }
    next.evict(base);
    next.fit();
    next
}

/// The entry without some of the versions of a name.
pub(super) fn remove(base: Base<'_>, write: WriteId, name: &SecretName, gone: &[Kept]) -> Next {
    let mut next = Next::after(base, write);
    let newest = base.entry.newest(name);
    let from = gone.iter().map(|kept| kept.place.at).min().unwrap_or(next.place.at);
    // Every KV version since may hold it, also one that somebody else made; the ones before do not.
    next.entry.sweep = Some(from..=base.newest);
    if let Some(kept) = next.entry.kept.get_mut(name) {
        kept.retain(|kept| !gone.iter().any(|it| it.place == kept.place));
        let last = kept.last().copied();
        if last != newest {
            next.entry.values.remove(name);
            next.restore = last.map(|kept| (name.clone(), kept));
        }
        if last.is_none() {
            next.entry.kept.remove(name);
        }
    }
    next.gone = gone.iter().map(|kept| (name.clone(), *kept)).collect();
    next.move_apart(base.entry, |kept| kept.place.at >= from);
    next.evict(base);
    next
}

impl Next {
    fn after(base: Base<'_>, write: WriteId) -> Self {
        let place = Place { at: base.newest + 1, write };
        let (values, kept) = (base.entry.values.clone(), base.entry.kept.clone());
        let entry = Entry { values, kept, ..Entry::default() };
        Self { place, entry, moves: Vec::new(), restore: None, gone: Vec::new() }
    }

    /// With this KV version, the oldest ones are gone.
    fn evict(&mut self, base: Base<'_>) {
        let last_gone = self.place.at.saturating_sub(base.max_versions);
        self.move_apart(base.entry, |kept| kept.place.at <= last_gone);
    }

    fn move_apart(&mut self, base: &Entry, which: impl Fn(&Kept) -> bool) {
        for (name, versions) in &mut self.entry.kept {
            let newest = base.newest(name);
            for kept in versions.iter_mut().filter(|kept| !kept.apart && which(kept)) {
                let value =
                    if newest == Some(*kept) { base.values.get(name).cloned() } else { None };
                kept.apart = true;
                self.moves.push(Move { name: name.clone(), kept: *kept, value });
            }
        }
    }

    /// The largest values leave until the rest has room.
    fn fit(&mut self) {
        while self.entry.size() > ROOM {
            let largest = self.entry.values.iter().max_by_key(|(_, value)| value.len());
            let Some((name, value)) = largest.map(|(name, value)| (name.clone(), value.clone()))
            else {
                return;
            };
            self.entry.values.remove(&name);
            if let Some(kept) = self
                .entry
                .kept
                .get_mut(&name)
                .and_then(|kept| kept.last_mut())
                .filter(|kept| !kept.apart)
            {
                kept.apart = true;
                self.moves.push(Move { name, kept: *kept, value: Some(value) });
            }
        }
    }

    /// Puts back what is the newest of its name again. A large one stays where it is.
    pub(super) fn restored(&mut self, value: Redacted) {
        let Some((name, _)) = self.restore.take() else { return };
        if value.len() <= LARGE {
            self.entry.values.insert(name.clone(), value);
            if self.entry.size() > ROOM {
                self.entry.values.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests;
