//! Volumes of Secrets that bundles replace. Each becomes a memory volume of the same name, which
//! the agent fills as kubelet would: the containers mount it where they did, and see new values.

mod sources;

use std::collections::BTreeMap;

use contract::secret_volume::{MAX_CONFIG_BYTES, MAX_VOLUMES, SecretVolume};
use contract::{AgentConfig, BundleRef, Label, Quantity, layout};
use serde_json::value::RawValue;

use super::new_mount::NewMount;
use super::new_volume::NewVolume;
use super::reinvocation;
use crate::app_container::AppContainer;
use crate::compat::VaultVolume;
use crate::diagnostics::{Diagnostics, Violation};
use crate::pod::{EnvVar, Pod};
use crate::pod_patch::PodPatch;
use crate::pod_pointer::PodPointer;
use crate::requested::RequestedSecrets;
use crate::secret_volume_problem::SecretVolumeProblem;

/// The longest configuration of an agent that an earlier pass may have written, in bytes. The
/// kernel takes no longer variable.
const MAX_EARLIER_BYTES: usize = 128 << 10;

/// The volumes that the agent fills.
#[derive(Default)]
pub(crate) struct FilledVolumes<'p> {
    /// By name.
    volumes: BTreeMap<&'p str, SecretVolume>,
    /// The indexes in `volumes` of those that are a Secret's still.
    replaced: Vec<(usize, &'p str)>,
    /// Those that the pod's author did not write, and where they are mounted.
    own: Vec<(&'p str, &'p str)>,
    /// Those of them that the pod does not have yet.
    missing: Vec<&'p str>,
}

impl<'p> FilledVolumes<'p> {
    /// Those of a pod: the volumes of Secrets that bundles replace, and what an earlier pass has
    /// made of some.
    pub(crate) fn resolve(
        pod: &'p Pod<'_>,
        requested: &RequestedSecrets<'_>,
        size: &Quantity,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let mut found = Self::default();
        let has_group = pod.spec.security_context.as_ref().is_some_and(|it| it.fs_group.is_some());
        let mut earlier = Earlier::new(pod, requested);
        let mut left = MAX_CONFIG_BYTES;
        for (index, volume) in pod.spec.volumes.iter().flatten().enumerate() {
            let name: &str = &volume.name;
            // The API server takes no other name.
            if name.parse::<Label>().is_err() {
                continue;
            }
            let Some(bundle) = sources::first_bundle(volume, requested) else {
                if let Some(volume) = earlier.take(index, name, size) {
                    found.volumes.insert(name, volume);
                }
                continue;
            };
            let mut refuse = |bundle, problem| {
                let at = format!("spec.volumes[{index}]");
                diagnostics.deny(Violation::SecretVolume { at, bundle, problem });
            };
            // What is looked at is bounded by what a pod may have.
            if found.volumes.len() >= MAX_VOLUMES {
                refuse(bundle, SecretVolumeProblem::TooMany);
                break;
            }
            let Some(rest) = left.checked_sub(sources::item_bytes(volume)) else {
                refuse(bundle, SecretVolumeProblem::TooLong);
                break;
            };
            left = rest;
            match sources::of(volume, bundle, requested, has_group) {
                Ok(sources) => {
                    let directory = directory(name);
                    found.volumes.insert(name, SecretVolume { directory, sources });
                    found.replaced.push((index, name));
                }
                Err((bundle, problem)) => refuse(bundle, problem),
            }
        }
        found.check_size(diagnostics);
        found
    }

    fn check_size(&self, diagnostics: &mut Diagnostics) {
        let bytes = |volume: &SecretVolume| serde_json::to_string(volume).map_or(0, |it| it.len());
        if self.volumes.values().map(bytes).sum::<usize>() <= MAX_CONFIG_BYTES {
            return;
        }
        let bundle = self.volumes.values().flat_map(|it| &it.sources).map(|it| &it.bundle).next();
        if let Some(bundle) = bundle.cloned() {
            let (at, problem) = ("spec.volumes".to_owned(), SecretVolumeProblem::TooLong);
            diagnostics.deny(Violation::SecretVolume { at, bundle, problem });
        }
    }

    /// Adds volumes that the pod's author did not write. An earlier pass may have.
    pub(crate) fn add(
        &mut self,
        pod: &Pod<'_>,
        own: &'p [VaultVolume],
        diagnostics: &mut Diagnostics,
    ) {
        for VaultVolume { name, mount_path, volume } in own {
            let index = pod.spec.volumes.iter().flatten().position(|it| *it.name == **name);
            match index {
                Some(index) if !self.volumes.contains_key(name.as_str()) => {
                    diagnostics.deny(Violation::Annotation(format!(
                        "spec.volumes[{index}]: {name} is the name of the volume with the files of \
                         vault.hashicorp.com annotations; rename it"
                    )));
                    continue;
                }
                Some(_) => {}
                None => self.missing.push(name),
            }
            self.volumes.insert(name, volume.clone());
            self.own.push((name, mount_path));
        }
    }

    /// The volumes that the pod does not have yet.
    pub(crate) fn missing<'s>(&'s self, size: &'s Quantity) -> Vec<NewVolume<'s>> {
        self.missing.iter().map(|name| NewVolume::memory(name, size.as_str())).collect()
    }

    /// The mounts of volumes that the pod's author did not write, in a container that has none yet.
    pub(super) fn missing_mounts(
        &self,
        app: &AppContainer<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Vec<NewMount<'_>> {
        let mut missing = Vec::new();
        for (name, path) in self.own.iter().filter(|_| app.gets_secrets) {
            let mut mounts = app.container.volume_mounts.iter().flatten().enumerate();
            let there = mounts.find(|(_, it)| it.mount_path.trim_end_matches('/') == *path);
            match there {
                None => missing.push(NewMount::read_only(name, path)),
                Some((_, mount)) if *mount.name == **name => {}
                Some((index, _)) => {
                    let at = app.at(format_args!(".volumeMounts[{index}]"));
                    diagnostics.deny(Violation::Annotation(format!(
                        "{at}: {path} is where the files of vault.hashicorp.com annotations are; \
                         mount it elsewhere, or set vault.hashicorp.com/secret-volume-path"
                    )));
                }
            }
        }
        missing
    }

    /// Whether the agent fills the volume of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.volumes.contains_key(name)
    }

    /// Adds the operations that turn the volumes into the agent's.
    pub(crate) fn patch(&self, size: &Quantity, patch: &mut PodPatch) {
        for (index, name) in &self.replaced {
            let path = PodPointer::new("/spec/volumes").element(*index);
            patch.replace(&path, NewVolume::memory(name, size.as_str()));
        }
    }

    /// Adds the operations that keep a container from writing to the volumes, as kubelet does with
    /// a Secret's. Refuses a mount in a container that gets no secrets.
    pub(crate) fn patch_mounts(
        &self,
        app: &AppContainer<'_>,
        diagnostics: &mut Diagnostics,
        patch: &mut PodPatch,
    ) {
        for (index, mount) in app.container.volume_mounts.iter().flatten().enumerate() {
            let Some(volume) = self.volumes.get(&*mount.name) else { continue };
            if !app.gets_secrets {
                let at = app.at(format_args!(".volumeMounts[{index}]"));
                let bundle = volume.sources.first().map(|source| source.bundle.clone());
                if let Some(bundle) = bundle {
                    diagnostics.deny(Violation::VolumeOutsideContainers { at, bundle });
                }
            } else if mount.read_only != Some(true) {
                let path = app.path.field("volumeMounts").element(index);
                patch.add(&path.field("readOnly"), true);
            }
        }
    }

    /// The volumes, for the agent.
    pub(crate) fn into_list(self) -> Vec<SecretVolume> {
        self.volumes.into_values().collect()
    }
}

/// The mounts of the volumes in the agent.
pub(super) fn agent_mounts(volumes: &[SecretVolume]) -> impl Iterator<Item = NewMount<'_>> {
    volumes.iter().map(|SecretVolume { directory, .. }| {
        let name = directory.rsplit('/').next().unwrap_or_default();
        NewMount::writable(name, directory)
    })
}

fn directory(name: &str) -> String {
    format!("{}/{name}", layout::VOLUMES_DIRECTORY)
}

/// What an earlier pass has the agent fill: only the agent's configuration tells. The author of a
/// pod can write both such volumes and the agent, and gets no more by it than by asking.
struct Earlier<'p> {
    /// By the names of the volumes.
    volumes: BTreeMap<String, SecretVolume>,
    /// The pod's volumes.
    raw: Vec<&'p RawValue>,
}

impl<'p> Earlier<'p> {
    fn new(pod: &Pod<'p>, requested: &RequestedSecrets<'_>) -> Self {
        let mut all = pod.containers().map(|(_, container)| container);
        let agent = all.find(|container| container.is_agent());
        let variable = agent.and_then(|agent| agent.variable(layout::CONFIG_VARIABLE));
        let text = variable.and_then(EnvVar::literal).filter(|it| it.len() <= MAX_EARLIER_BYTES);
        let config = text.and_then(|text| AgentConfig::from_json(&text.replace("$$", "$")).ok());
        let is_asked = |bundle: &BundleRef| requested.bundles_with(bundle).is_none();
        let volumes: BTreeMap<_, _> = config
            .map(|config| config.files.volumes)
            .unwrap_or_default()
            .into_iter()
            .take(MAX_VOLUMES)
            .filter(|volume| volume.sources.iter().all(|source| is_asked(&source.bundle)))
            .filter_map(|volume| {
                let name = volume.directory.rsplit('/').next()?.to_owned();
                (directory(&name) == volume.directory).then_some((name, volume))
            })
            .collect();
        let raw = if volumes.is_empty() { Vec::new() } else { reinvocation::volumes(pod) };
        Self { volumes, raw }
    }

    /// The volume of that name and index, if it is in the canonical form.
    fn take(&mut self, index: usize, name: &str, size: &Quantity) -> Option<SecretVolume> {
        let volume = self.volumes.remove(name)?;
        let found = serde_json::from_str(self.raw.get(index)?.get()).ok()?;
        let canonical = NewVolume::memory(name, size.as_str());
        reinvocation::is_canonical_volume(&canonical, &found).then_some(volume)
    }
}
