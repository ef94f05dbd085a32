//! What every backend must guarantee while faults are injected: lost answers, failing servers,
//! broken connections.
//!
//! Calls may fail then. Afterwards, every acknowledged write can be read, every destroyed version
//! is gone, and a failed write took effect as a whole or not at all. The caller injects the faults,
//! with a proxy or by killing and restarting the server.

use std::collections::{BTreeMap, BTreeSet};

use contract::{Redacted, Scope, SecretName, Version};

use super::{ConformanceStore, Failure, check, error_chain, is_gone, name};
use crate::store::StoreError;
use crate::value::{Put, Reference, StoredVersion};

const NAMES: usize = 4;

/// The outcome of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultReport {
    /// Calls that succeeded.
    pub acknowledged: usize,
    /// Calls that failed, which is allowed.
    pub failed: usize,
}

struct FailedWrite {
    names: BTreeMap<SecretName, Version>,
}

struct FaultRun<'a> {
    store: &'a dyn ConformanceStore,
    scope: &'a Scope,
    seed: u64,
    names: Vec<SecretName>,
    counters: BTreeMap<SecretName, u64>,
    /// Acknowledged and not removed.
    acknowledged: BTreeMap<(SecretName, Version), Reference>,
    /// A destroy or delete of it failed, so it may or may not exist.
    uncertain: BTreeMap<(SecretName, Version), Reference>,
    /// A destroy or delete of it was acknowledged.
    removed: BTreeMap<(SecretName, Version), Reference>,
    failed: Vec<FailedWrite>,
    report: FaultReport,
}

/// Makes `rounds` random calls, chosen by `seed`, in a scope of its own below `project`. Then calls
/// `stop_faults`, which must end all faults, and checks what the store holds.
///
/// # Errors
/// The first guarantee that the backend broke.
pub async fn run(
    store: &dyn ConformanceStore,
    project: &str,
    seed: u64,
    rounds: u64,
    stop_faults: impl FnOnce(),
) -> Result<FaultReport, Failure> {
    let failure = |complaint| Failure { check: "acknowledged writes survive faults", complaint };
    let scope: Scope = format!("{project}.disturbed.seed-{seed}")
        .parse()
        .map_err(|error| failure(format!("{error}")))?;
    let names = (0..NAMES)
        .map(|at| name(&format!("NAME_{at}")))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failure)?;
    let mut run = FaultRun {
        store,
        scope: &scope,
        seed,
        names,
        counters: BTreeMap::new(),
        acknowledged: BTreeMap::new(),
        uncertain: BTreeMap::new(),
        removed: BTreeMap::new(),
        failed: Vec::new(),
        report: FaultReport::default(),
    };
    for round in 0..rounds {
        run.step(round)
            .await
            .map_err(|complaint| failure(format!("seed {seed}, round {round}: {complaint}")))?;
    }
    stop_faults();
    run.verify()
        .await
        .map_err(|complaint| failure(format!("seed {seed}, afterwards: {complaint}")))?;
    Ok(run.report)
}

impl FaultRun<'_> {
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
                self.acknowledged.extend(versions.into_iter().zip(references));
            }
            Err(StoreError::Backend { .. }) => self.record_failure(versions),
            Err(other) => return Err(format!("a write failed with: {}", error_chain(other))),
        }
        Ok(())
    }

    fn record_failure(&mut self, names: BTreeMap<SecretName, Version>) {
        self.report.failed += 1;
        self.failed.push(FailedWrite { names });
    }

    async fn rotate(&mut self, round: u64) -> Result<(), String> {
        let name = self.chosen(round);
        let known = self
            .acknowledged
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
                self.acknowledged.insert((name, version), reference);
            }
            Err(StoreError::Backend { .. }) => {
                self.record_failure(BTreeMap::from([(name, version)]))
            }
            // A failed write may have taken effect, and a failed removal may not have: one of those
            // versions may be the newest.
            Err(StoreError::Conflict { .. }) if self.has_uncertain_newest(&name) => {
                self.report.failed += 1
            }
            Err(other) => {
                return Err(format!("a rotation of {name} failed with: {}", error_chain(other)));
            }
        }
        Ok(())
    }

    fn has_uncertain_newest(&self, name: &SecretName) -> bool {
        self.failed.iter().any(|write| write.names.contains_key(name))
            || self.uncertain.keys().any(|(it, _)| it == name)
    }

    async fn read(&mut self, round: u64) -> Result<(), String> {
        let which = self.random(round, 3) as usize % self.acknowledged.len().max(1);
        let Some(((name, version), reference)) = self.acknowledged.iter().nth(which) else {
            return Ok(());
        };
        let stored = StoredVersion { version: *version, reference: reference.clone() };
        match self.store.read_version(self.scope, name, &stored).await {
            Ok(value) if value == self.value(name, *version) => self.report.acknowledged += 1,
            Ok(_) => return Err(format!("version {version} of {name} came out different")),
            Err(StoreError::Backend { .. }) => self.report.failed += 1,
            Err(other) => {
                return Err(format!("an acknowledged value was lost: {}", error_chain(other)));
            }
        }
        Ok(())
    }

    async fn destroy(&mut self, round: u64) -> Result<(), String> {
        let which = self.random(round, 3) as usize % self.acknowledged.len().max(1);
        let Some((key, reference)) = self
            .acknowledged
            .iter()
            .nth(which)
            .map(|(key, reference)| (key.clone(), reference.clone()))
        else {
            return Ok(());
        };
        let stored = StoredVersion { version: key.1, reference: reference.clone() };
        let answer = self.store.destroy(self.scope, &key.0, &stored).await;
        self.acknowledged.remove(&key);
        self.record_removal([(key, reference)], answer)
    }

    async fn delete(&mut self, round: u64) -> Result<(), String> {
        let name = self.chosen(round);
        let of_name = |(it, _): &(SecretName, Version)| *it == name;
        if !self.acknowledged.keys().any(of_name) {
            return Ok(());
        }
        let answer = self.store.delete(self.scope, &name).await;
        let removed: Vec<_> = self
            .acknowledged
            .iter()
            .filter(|(key, _)| of_name(key))
            .map(|(key, it)| (key.clone(), it.clone()))
            .collect();
        self.acknowledged.retain(|key, _| !of_name(key));
        // The delete may also have removed what a failed write left.
        for write in &mut self.failed {
            write.names.remove(&name);
        }
        self.record_removal(removed, answer)
    }

    fn record_removal(
        &mut self,
        removed: impl IntoIterator<Item = ((SecretName, Version), Reference)>,
        answer: Result<(), StoreError>,
    ) -> Result<(), String> {
        match answer {
            Ok(()) => {
                self.report.acknowledged += 1;
                self.removed.extend(removed);
            }
            Err(StoreError::Backend { .. }) => {
                self.report.failed += 1;
                self.uncertain.extend(removed);
            }
            Err(other) => return Err(format!("a removal failed with: {}", error_chain(other))),
        }
        Ok(())
    }

    /// Checks everything, without faults.
    async fn verify(&mut self) -> Result<(), String> {
        for ((name, version), reference) in &self.acknowledged {
            super::holds(
                self.store,
                self.scope,
                name,
                &stored(*version, reference),
                self.value(name, *version).expose(),
            )
            .await?;
        }
        for ((name, version), reference) in &self.removed {
            is_gone(self.store.read_version(self.scope, name, &stored(*version, reference)).await)
                .map_err(|complaint| {
                    format!("version {version} of {name} was destroyed, and {complaint}")
                })?;
        }
        // Repeating an interrupted removal finishes it.
        for ((name, version), reference) in std::mem::take(&mut self.uncertain) {
            match self.store.destroy(self.scope, &name, &stored(version, &reference)).await {
                Ok(()) | Err(StoreError::NotFound(_) | StoreError::Destroyed(_)) => {}
                Err(other) => {
                    return Err(format!("a removal could not be finished: {}", error_chain(other)));
                }
            }
            is_gone(
                self.store.read_version(self.scope, &name, &stored(version, &reference)).await,
            )?;
            self.removed.insert((name, version), reference);
        }
        self.no_write_is_partial().await?;
        for name in self.names.clone() {
            let version = self.count(&name);
            let value = self.value(&name, version);
            let last = super::put(self.store, self.scope, &name, version.0, value.expose()).await?;
            super::holds(self.store, self.scope, &name, &last, value.expose()).await?;
        }
        Ok(())
    }

    async fn no_write_is_partial(&self) -> Result<(), String> {
        let mut listed: BTreeMap<(SecretName, Version), Reference> = BTreeMap::new();
        for name in &self.names {
            for stored in self.store.list_versions(self.scope, name).await.map_err(error_chain)? {
                let twice = listed.insert((name.clone(), stored.version), stored.reference);
                check(
                    twice.is_none(),
                    &format!("version {} of {name} is there twice", stored.version),
                )?;
            }
        }
        for ((name, version), reference) in &self.acknowledged {
            let found = listed.get(&(name.clone(), *version));
            check(
                found == Some(reference),
                &format!("version {version} of {name} was acknowledged and is not listed"),
            )?;
        }
        let mut known: BTreeSet<(SecretName, Version)> =
            self.acknowledged.keys().cloned().collect();
        for write in &self.failed {
            let there: Vec<bool> = write
                .names
                .iter()
                .map(|(name, version)| listed.contains_key(&(name.clone(), *version)))
                .collect();
            let whole = there.iter().all(|it| *it) || there.iter().all(|it| !it);
            check(
                whole || !self.store.capabilities().atomic_writes,
                &format!("a write of {:?} that failed was stored partially", write.names),
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
        let back = self.removed.keys().find(|key| listed.contains_key(*key));
        check(back.is_none(), &format!("{back:?} was destroyed and is listed"))?;
        let deleted =
            |(name, _): &&(SecretName, Version)| self.removed.keys().any(|(it, _)| it == name);
        let unknown = listed.keys().find(|key| !known.contains(*key) && !deleted(key));
        check(
            unknown.is_none(),
            &format!("{unknown:?} is listed and was never written, or destroyed"),
        )
    }
}

fn stored(version: Version, reference: &Reference) -> StoredVersion {
    StoredVersion { version, reference: reference.clone() }
}
