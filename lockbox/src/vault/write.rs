//! A change of a scope's entry: read, decide, move what would be lost, write with compare-and-set,
//! and destroy what is to be destroyed.
//!
//! The write itself is the moment at which a change happens. What comes before it leaves nothing
//! but values apart that no entry names; what comes after it is written down in the entry
//! (`sweep`), and whoever changes the entry next finishes it.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use contract::{Scope, SecretName};
use runtime::backoff::{self, Backoff};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};

use super::apart::{self, Apart};
use super::base::{Base, ours};
use super::call::CallError;
use super::change::{self, Next};
use super::entry::Kept;
use super::kv::{Found, Life};
use super::place::{Place, WriteId};
use super::session::BETWEEN_TRIES;
use super::store::{AtPlace, Vault, failed, stored};
use crate::store::{Put, Reference, StoreError, Stored};

/// Between tries after somebody else was faster. Writers of one process take turns, so that these
/// are other replicas.
const BETWEEN_RACES: Backoff =
    Backoff { base: Duration::from_millis(10), cap: Duration::from_millis(500) };
const RACES: u32 = 30;
const WRITES: u32 = 6;

/// What is to become of a scope's entry.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change<'a> {
    /// New values; with `on`, of one name and only on top of that one.
    Put {
        puts: &'a [Put<'a>],
        on: Option<&'a Reference>,
    },
    Destroy {
        name: &'a SecretName,
        stored: &'a Stored,
    },
    Delete {
        name: &'a SecretName,
    },
}

enum Decision {
    Write(Box<Next>),
    /// It is so already.
    Done,
}

/// Writers of one scope take turns in a process: they would only be in each other's way in Vault.
#[derive(Debug)]
pub(super) struct Turns([Mutex<()>; 64]);

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Turns {
    async fn take(&self, path: &str) -> MutexGuard<'_, ()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(path);
        self.0[usize::try_from(hash % 64).unwrap_or_default()].lock().await
    }
}

impl Vault {
    /// Makes a change, and says where it came in.
    pub(super) async fn change(
        &self,
        scope: &Scope,
        change: Change<'_>,
    ) -> Result<Place, StoreError> {
        if let Change::Put { puts, .. } = change {
            let twice = puts
                .iter()
                .enumerate()
                .find(|(at, put)| puts[..*at].iter().any(|earlier| earlier.name == put.name));
            if let Some((_, put)) = twice {
                return Err(StoreError::Twice(format!("{scope}/{}", put.name)));
            }
        }
        let path = self.paths.scope(scope);
        let _turn = self.turns.take(&path).await;
        let (write, end) =
            (WriteId::random(), Instant::now() + self.engine.session().client().timeout() * 8);
        let mut moved: Vec<(SecretName, Kept)> = Vec::new();
        for attempt in 0..RACES {
            let base = self.base(scope).await?;
            self.forget(scope, &base, write, &mut moved).await?;
            let swept = self.finish_sweep(&path, &base).await?;
            let mut next = match self.decide(scope, &base, change, write, swept).await? {
                Decision::Write(next) => next,
                Decision::Done => return Ok(Place { at: base.newest, write }),
            };
            self.prepare(scope, &base, &mut next, &mut moved).await?;
            if self.commit(scope, &path, &next).await? {
                self.conclude(scope, &path, &base, &next, change).await?;
                return Ok(next.place);
            }
            let pause = BETWEEN_RACES.delay(attempt, backoff::random());
            if Instant::now() + pause > end {
                break;
            }
            sleep(pause).await;
        }
        // Nothing of it was written: what lies apart for it is nobody's.
        let base = self.base(scope).await?;
        self.forget(scope, &base, WriteId::random(), &mut moved).await?;
        Err(failed(CallError::Conflict { step: "write entry" }))
    }

    async fn decide(
        &self,
        scope: &Scope,
        base: &Base,
        change: Change<'_>,
        write: WriteId,
        swept: bool,
    ) -> Result<Decision, StoreError> {
        let max_versions = u64::from(self.max_versions).max(base.metadata.max_versions);
        let from = change::Base { entry: &base.entry, newest: base.newest, max_versions };
        let to_write = |next| Ok(Decision::Write(Box::new(next)));
        match change {
            Change::Put { puts, on } => {
                if let ([put], Some(on)) = (puts, on) {
                    is_on(scope, base.entry.newest(put.name), put.name, on)?;
                }
                to_write(change::put(from, write, puts))
            }
            Change::Destroy { name, stored } => {
                let what = || {
                    StoreError::NotFound(format!(
                        "{scope}/{name} version {} ({})",
                        stored.version, stored.reference
                    ))
                };
                let place: Place = stored.reference.as_str().parse().map_err(|_| what())?;
                let listed = base
                    .entry
                    .kept
                    .get(name)
                    .into_iter()
                    .flatten()
                    .find(|it| it.place == place && it.version == stored.version);
                if let Some(kept) = listed {
                    return to_write(change::remove(from, write, name, &[*kept]));
                }
                let kept = Kept { version: stored.version, place, apart: true };
                match self.at(scope, name, stored, place).await? {
                    // There, though the newest entry does not know it: it was written on top of a
                    // KV version that a person had deleted, and has taken back since.
                    AtPlace::Value(_) | AtPlace::Apart => {
                        to_write(change::remove(from, write, name, &[kept]))
                    }
                    // An earlier call came as far as this.
                    AtPlace::Gone => {
                        self.remove_apart(scope, name, kept).await.map(|_| Decision::Done)
                    }
                    AtPlace::Absent if place.at <= base.newest => {
                        self.remove_apart(scope, name, kept).await.map(|_| Decision::Done)
                    }
                    AtPlace::Absent | AtPlace::Other => Err(what()),
                }
            }
            Change::Delete { name } => match base.entry.kept.get(name) {
                Some(kept) => to_write(change::remove(from, write, name, kept)),
                None => {
                    let any = apart::remove_all(&self.engine, &self.paths, scope, name)
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

    /// Everything that the next KV version takes for granted.
    async fn prepare(
        &self,
        scope: &Scope,
        base: &Base,
        next: &mut Next,
        moved: &mut Vec<(SecretName, Kept)>,
    ) -> Result<(), StoreError> {
        for change::Move { name, kept, value } in std::mem::take(&mut next.moves) {
            let value = match value {
                Some(value) => Some(value),
                None => self.to_move(scope, base, &name, kept).await?,
            };
            let Some(value) = value else {
                tracing::warn!(%scope, secret = %name, version = %kept.version, "a KV version that held it was deleted in Vault by somebody else");
                next.entry.drop_kept(&name, kept.place);
                continue;
            };
            moved.push((name.clone(), kept));
            Apart::new(&self.engine, &self.paths, scope, &name, kept)
                .put(&value)
                .await
                .map_err(failed)?;
        }
        if let Some((name, kept)) = next.restore.clone() {
            match self.read_version_of(scope, &name, kept).await {
                Ok(value) => next.restored(value),
                Err(StoreError::NotFound(_) | StoreError::Destroyed(_)) => next.restore = None,
                Err(error) => return Err(error),
            }
        }
        if base.metadata.max_versions < u64::from(self.max_versions) {
            self.engine
                .keep_versions(&self.paths.scope(scope), self.max_versions)
                .await
                .map_err(failed)?;
        }
        Ok(())
    }

    /// The value at its place, or nothing where somebody deleted the KV version.
    async fn to_move(
        &self,
        scope: &Scope,
        base: &Base,
        name: &SecretName,
        kept: Kept,
    ) -> Result<Option<contract::Redacted>, StoreError> {
        match self.at(scope, name, &stored(kept), kept.place).await? {
            AtPlace::Value(value) => Ok(Some(value)),
            _ if base.metadata.versions.get(&kept.place.at) == Some(&Life::Live) => {
                let what = format!(
                    "KV version {} does not hold {name}, which came in with it",
                    kept.place.at
                );
                Err(failed(CallError::Entry { step: "move value", what }))
            }
            _ => Ok(None),
        }
    }

    async fn read_version_of(
        &self,
        scope: &Scope,
        name: &SecretName,
        kept: Kept,
    ) -> Result<contract::Redacted, StoreError> {
        crate::store::Store::read_version(self, scope, name, &stored(kept)).await
    }

    /// Writes the next KV version, and says whether it is there: not where somebody else was
    /// faster.
    async fn commit(&self, scope: &Scope, path: &str, next: &Next) -> Result<bool, StoreError> {
        let place = next.place;
        let data = next.entry.render(place.at, place.write);
        // Whether an earlier try may be there though its answer was lost.
        let mut unsure = false;
        for attempt in 0.. {
            let error = match self.engine.write(path, place.at - 1, data.clone()).await {
                Ok(()) => return Ok(true),
                Err(CallError::Conflict { .. }) => {
                    return if unsure {
                        self.is_there(scope, path, place).await
                    } else {
                        Ok(false)
                    };
                }
                Err(error) => error,
            };
            unsure |= error.may_have_arrived();
            if !error.is_transient() || attempt + 1 == WRITES {
                let there = unsure && self.is_there(scope, path, place).await.unwrap_or(false);
                return if there { Ok(true) } else { Err(failed(error)) };
            }
            sleep(BETWEEN_TRIES.delay(attempt, backoff::random())).await;
        }
        Ok(false)
    }

    /// Whether a write of ours happened.
    async fn is_there(&self, scope: &Scope, path: &str, place: Place) -> Result<bool, StoreError> {
        match self.engine.read(path, Some(place.at)).await.map_err(failed)? {
            Found::Live { at, data } => {
                Ok(ours(at, data)?.is_some_and(|(_, write)| write == place.write))
            }
            // Somebody destroyed it since; what came in with it is known all the same.
            Found::Gone { .. } | Found::Absent => {
                let base = self.base(scope).await?;
                Ok(base.entry.kept.values().flatten().any(|kept| kept.place == place))
            }
        }
    }

    /// Makes unreadable what the KV version that was just written no longer names.
    async fn conclude(
        &self,
        scope: &Scope,
        path: &str,
        base: &Base,
        next: &Next,
        change: Change<'_>,
    ) -> Result<(), StoreError> {
        if let Some(sweep) = &next.entry.sweep {
            let mut versions = base.live(sweep);
            // The KV version that it came in with may be evicted and still be stored.
            versions.extend(next.gone.iter().map(|(_, kept)| kept.place.at));
            versions.sort_unstable();
            versions.dedup();
            self.engine.destroy(path, versions).await.map_err(failed)?;
        }
        for (name, kept) in &next.gone {
            self.remove_apart(scope, name, *kept).await?;
        }
        if let Change::Delete { name } = change {
            apart::remove_all(&self.engine, &self.paths, scope, name).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Finishes what a writer that died had begun, and says whether there was anything.
    async fn finish_sweep(&self, path: &str, base: &Base) -> Result<bool, StoreError> {
        let live = base.entry.sweep.as_ref().map(|sweep| base.live(sweep)).unwrap_or_default();
        if live.is_empty() {
            return Ok(false);
        }
        self.engine.destroy(path, live).await.map_err(failed)?;
        Ok(true)
    }

    async fn remove_apart(
        &self,
        scope: &Scope,
        name: &SecretName,
        kept: Kept,
    ) -> Result<bool, StoreError> {
        Apart::new(&self.engine, &self.paths, scope, name, kept).remove().await.map_err(failed)
    }

    /// Removes what was put apart for a KV version that another writer came before, and that is not
    /// to be kept any more.
    async fn forget(
        &self,
        scope: &Scope,
        base: &Base,
        write: WriteId,
        moved: &mut Vec<(SecretName, Kept)>,
    ) -> Result<(), StoreError> {
        for (name, kept) in moved.drain(..) {
            let listed = base
                .entry
                .kept
                .get(&name)
                .is_some_and(|it| it.iter().any(|it| it.place.write == kept.place.write));
            if !listed && kept.place.write != write {
                self.remove_apart(scope, &name, kept).await?;
            }
        }
        Ok(())
    }
}

/// Whether the newest value is the one to be replaced.
fn is_on(
    scope: &Scope,
    newest: Option<Kept>,
    name: &SecretName,
    on: &Reference,
) -> Result<(), StoreError> {
    let secret = || format!("{scope}/{name}");
    let newest = stored(newest.ok_or_else(|| StoreError::NotFound(secret()))?).reference;
    if newest == *on { Ok(()) } else { Err(StoreError::Conflict { secret: secret(), newest }) }
}
