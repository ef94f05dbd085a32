//! What every backend must do alike while something is wrong with it: answers that are lost,
//! servers that fail, connections that are torn.
//!
//! Calls may fail then. What was acknowledged is there, what was destroyed is gone, and a write
//! that failed is there whole or not at all. The one who disturbs is outside: a proxy of faults, or
//! a server that is killed and started again.

use std::collections::{BTreeMap, BTreeSet};

use contract::{Redacted, Scope, SecretName, Version};

use super::{Failure, check, is_gone, name, said};
use crate::store::{Put, Reference, Store, StoreError, Stored};

const NAMES: usize = 4;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Calls that succeeded.
    pub acknowledged: usize,
    /// Calls that failed, as they may.
    pub failed: usize,
}

struct Write {
    names: BTreeMap<SecretName, Version>,
}

struct Run<'a> {
    store: &'a dyn Store,
    scope: &'a Scope,
    seed: u64,
    names: Vec<SecretName>,
    counters: BTreeMap<SecretName, u64>,
    /// Acknowledged and not removed.
    there: BTreeMap<(SecretName, Version), Reference>,
    /// A destroy or delete of it failed, so that it is there or not.
    doubtful: BTreeMap<(SecretName, Version), Reference>,
    /// A destroy or delete of it was acknowledged.
    gone: BTreeMap<(SecretName, Version), Reference>,
    failed: Vec<Write>,
    report: Report,
}

/// Does `rounds` things that `seed` chooses to a scope of its own below `project`, calls `calm`,
/// after which nothing is disturbed any more, and looks at what is there.
///
/// # Errors
/// What the backend did wrong.
pub async fn run(
    store: &dyn Store,
    project: &str,
    seed: u64,
    rounds: u64,
    calm: impl FnOnce(),
) -> Result<Report, Failure> {
    let failure =
        |complaint| Failure { check: "it keeps its word while it is disturbed", complaint };
    let scope: Scope = format!("{project}.disturbed.seed-{seed}")
        .parse()
        .map_err(|error| failure(format!("{error}")))?;
    let names = (0..NAMES)
        .map(|at| name(&format!("NAME_{at}")))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failure)?;
    let mut run = Run {
        store,
        scope: &scope,
        seed,
        names,
        counters: BTreeMap::new(),
        there: BTreeMap::new(),
        doubtful: BTreeMap::new(),
        gone: BTreeMap::new(),
        failed: Vec::new(),
        report: Report::default(),
    };
    for round in 0..rounds {
        run.step(round)
            .await
            .map_err(|complaint| failure(format!("seed {seed}, round {round}: {complaint}")))?;
    }
    calm();
    run.look()
        .await
        .map_err(|complaint| failure(format!("seed {seed}, afterwards: {complaint}")))?;
    Ok(run.report)
}

impl Run<'_> {
    fn random(&self, round: u64, salt: u64) -> u64 {
        // SplitMix64's finaliser over the three.
        let mut bits = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ round.wrapping_mul(0xd1b5_4a32_d192_ed03)
            ^ salt;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn value(&self, name: &SecretName, version: Version) -> Redacted {
        Redacted::from(format!("{} {name} {version}", self.seed))
    }

    fn chosen(&self, round: u64) -> SecretName {
        self.names[(self.random(round, 1) % NAMES as u64) as usize].clone()
    }

    async fn step(&mut self, round: u64) -> Result<(), String> {
        match self.random(round, 0) % 10 {
            0..=4 => self.write(round).await,
            5 | 6 => self.rotate(round).await,
            7 => self.read(round).await,
            8 => self.destroy(round).await,
            _ if self.random(round, 2).is_multiple_of(3) => self.delete(round).await,
            _ => self.read(round).await,
        }
    }

    fn count(&mut self, name: &SecretName) -> Version {
        let counter = self.counters.entry(name.clone()).or_default();
        *counter += 1;
        Version(*counter)
    }

    async fn write(&mut self, round: u64) -> Result<(), String> {
        let first = self.random(round, 1) % NAMES as u64;
        let many = 1 + self.random(round, 2) % 3;
        let chosen: Vec<SecretName> = (0..many)
            .map(|at| self.names[((first + at) % NAMES as u64) as usize].clone())
            .collect();
        let versions: BTreeMap<SecretName, Version> =
            chosen.into_iter().map(|name| (name.clone(), self.count(&name))).collect();
        let values: Vec<Redacted> =
            versions.iter().map(|(name, version)| self.value(name, *version)).collect();
        let puts: Vec<Put<'_>> = versions
            .iter()
            .zip(&values)
            .map(|((name, version), value)| Put { name, version: *version, value })
            .collect();
        match self.store.write(self.scope, &puts).await {
            Ok(references) => {
                self.report.acknowledged += 1;
                self.there.extend(versions.into_iter().zip(references));
            }
            Err(StoreError::Backend { .. }) => self.has_failed(versions),
            Err(other) => return Err(format!("a write failed with: {}", said(other))),
        }
        Ok(())
    }

    fn has_failed(&mut self, names: BTreeMap<SecretName, Version>) {
        self.report.failed += 1;
        self.failed.push(Write { names });
    }

    async fn rotate(&mut self, round: u64) -> Result<(), String> {
        let name = self.chosen(round);
        let known = self
            .there
            .iter()
            .filter(|((it, _), _)| *it == name)
            .map(|(_, reference)| reference.clone())
            .next_back();
        let Some(on) = known else { return Ok(()) };
        let version = self.count(&name);
        let value = self.value(&name, version);
        match self.store.rotate(self.scope, Put { name: &name, version, value: &value }, &on).await
        {
            Ok(reference) => {
                self.report.acknowledged += 1;
                self.there.insert((name, version), reference);
            }
            Err(StoreError::Backend { .. }) => self.has_failed(BTreeMap::from([(name, version)])),
            // A write that failed may be there, and what could not be destroyed still is: one of
            // them is the newest.
            Err(StoreError::Conflict { .. }) if self.is_unclear(&name) => self.report.failed += 1,
            Err(other) => return Err(format!("a rotation of {name} failed with: {}", said(other))),
        }
        Ok(())
    }

    fn is_unclear(&self, name: &SecretName) -> bool {
        self.failed.iter().any(|write| write.names.contains_key(name))
            || self.doubtful.keys().any(|(it, _)| it == name)
    }

    async fn read(&mut self, round: u64) -> Result<(), String> {
        let which = self.random(round, 3) as usize % self.there.len().max(1);
        let Some(((name, version), reference)) = self.there.iter().nth(which) else {
            return Ok(());
        };
        let stored = Stored { version: *version, reference: reference.clone() };
        match self.store.read_version(self.scope, name, &stored).await {
            Ok(value) if value == self.value(name, *version) => self.report.acknowledged += 1,
            Ok(_) => return Err(format!("version {version} of {name} came out different")),
            Err(StoreError::Backend { .. }) => self.report.failed += 1,
            Err(other) => return Err(format!("an acknowledged value was lost: {}", said(other))),
        }
        Ok(())
    }

    async fn destroy(&mut self, round: u64) -> Result<(), String> {
        let which = self.random(round, 3) as usize % self.there.len().max(1);
        let Some((key, reference)) =
            self.there.iter().nth(which).map(|(key, reference)| (key.clone(), reference.clone()))
        else {
            return Ok(());
        };
        let stored = Stored { version: key.1, reference: reference.clone() };
        let answer = self.store.destroy(self.scope, &key.0, &stored).await;
        self.there.remove(&key);
        self.removed([(key, reference)], answer)
    }

    async fn delete(&mut self, round: u64) -> Result<(), String> {
        let name = self.chosen(round);
        let of_name = |(it, _): &(SecretName, Version)| *it == name;
        if !self.there.keys().any(of_name) {
            return Ok(());
        }
        let answer = self.store.delete(self.scope, &name).await;
        let removed: Vec<_> = self
            .there
            .iter()
            .filter(|(key, _)| of_name(key))
            .map(|(key, it)| (key.clone(), it.clone()))
            .collect();
        self.there.retain(|key, _| !of_name(key));
        // What is left of a write that failed may be gone with it.
        for write in &mut self.failed {
            write.names.remove(&name);
        }
        self.removed(removed, answer)
    }

    fn removed(
        &mut self,
        removed: impl IntoIterator<Item = ((SecretName, Version), Reference)>,
        answer: Result<(), StoreError>,
    ) -> Result<(), String> {
        match answer {
            Ok(()) => {
                self.report.acknowledged += 1;
                self.gone.extend(removed);
            }
            Err(StoreError::Backend { .. }) => {
                self.report.failed += 1;
                self.doubtful.extend(removed);
            }
            Err(other) => return Err(format!("a removal failed with: {}", said(other))),
        }
        Ok(())
    }

    /// With nothing in the way any more.
    async fn look(&mut self) -> Result<(), String> {
        for ((name, version), reference) in &self.there {
            super::holds(
                self.store,
                self.scope,
                name,
                &stored(*version, reference),
                self.value(name, *version).expose(),
            )
            .await?;
        }
        for ((name, version), reference) in &self.gone {
            is_gone(self.store.read_version(self.scope, name, &stored(*version, reference)).await)
                .map_err(|complaint| {
                    format!("version {version} of {name} was destroyed, and {complaint}")
                })?;
        }
        // What began is finished by asking once more.
        for ((name, version), reference) in std::mem::take(&mut self.doubtful) {
            match self.store.destroy(self.scope, &name, &stored(version, &reference)).await {
                Ok(()) | Err(StoreError::NotFound(_) | StoreError::Destroyed(_)) => {}
                Err(other) => {
                    return Err(format!("a removal could not be finished: {}", said(other)));
                }
            }
            is_gone(
                self.store.read_version(self.scope, &name, &stored(version, &reference)).await,
            )?;
            self.gone.insert((name, version), reference);
        }
        self.nothing_is_half_there().await?;
        for name in self.names.clone() {
            let version = self.count(&name);
            let value = self.value(&name, version);
            let last = super::put(self.store, self.scope, &name, version.0, value.expose()).await?;
            super::holds(self.store, self.scope, &name, &last, value.expose()).await?;
        }
        Ok(())
    }

    async fn nothing_is_half_there(&self) -> Result<(), String> {
        let mut listed: BTreeMap<(SecretName, Version), Reference> = BTreeMap::new();
        for name in &self.names {
            for stored in self.store.list_versions(self.scope, name).await.map_err(said)? {
                let twice = listed.insert((name.clone(), stored.version), stored.reference);
                check(
                    twice.is_none(),
                    &format!("version {} of {name} is there twice", stored.version),
                )?;
            }
        }
        for ((name, version), reference) in &self.there {
            let found = listed.get(&(name.clone(), *version));
            check(
                found == Some(reference),
                &format!("version {version} of {name} was acknowledged and is not listed"),
            )?;
        }
        let mut known: BTreeSet<(SecretName, Version)> = self.there.keys().cloned().collect();
        for write in &self.failed {
            let there: Vec<bool> = write
                .names
                .iter()
                .map(|(name, version)| listed.contains_key(&(name.clone(), *version)))
                .collect();
            let whole = there.iter().all(|it| *it) || there.iter().all(|it| !it);
            check(
                whole || !self.store.capabilities().atomic_writes,
                &format!("a write of {:?} that failed is half there", write.names),
            )?;
            for (name, version) in &write.names {
                known.insert((name.clone(), *version));
                if let Some(reference) = listed.get(&(name.clone(), *version)) {
                    let value = self.value(name, *version);
                    super::holds(
                        self.store,
                        self.scope,
                        name,
                        &stored(*version, reference),
                        value.expose(),
                    )
                    .await?;
                }
            }
        }
        let back = self.gone.keys().find(|key| listed.contains_key(*key));
        check(back.is_none(), &format!("{back:?} was destroyed and is listed"))?;
        let deleted =
            |(name, _): &&(SecretName, Version)| self.gone.keys().any(|(it, _)| it == name);
        let unknown = listed.keys().find(|key| !known.contains(*key) && !deleted(key));
        check(
            unknown.is_none(),
            &format!("{unknown:?} is listed and was never written, or destroyed"),
        )
    }
}

fn stored(version: Version, reference: &Reference) -> Stored {
    Stored { version, reference: reference.clone() }
}
