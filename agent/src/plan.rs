//! Turns a snapshot into files and compares them with the current ones. Pure.

mod env_file;
mod other_path;
mod secret_volume;

use std::collections::BTreeMap;

use contract::agent_config::Files;
use contract::layout::{MAX_POD_BYTES, MAX_VALUE_BYTES};
use contract::stream::{BundleGeneration, Snapshot};
use contract::{BundleRef, FileName, FilePath, Redacted, SecretName};

pub use env_file::{EnvValueError, RefusedVariables};
pub use other_path::PathTaken;
pub use secret_volume::{SecretVolumeError, VolumeContents, VolumeFile};

use crate::render::{self, RenderError};

/// What the smallest file takes in memory. A bundle of many small secrets may be in many volumes.
const PAGE_BYTES: usize = 4096;

/// The bytes of each file of one generation.
pub type FileContents = BTreeMap<FileName, Redacted>;

/// The files that a pod should have.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DesiredFiles {
    /// The bytes of each file.
    pub files: FileContents,
    /// The bytes of each file from which kubelet reads a variable.
    pub env: FileContents,
    /// The names of files that are at other paths too.
    pub paths: BTreeMap<FilePath, FileName>,
    /// The files of each of the other volumes, in the order of the configuration.
    pub volumes: Vec<VolumeContents>,
    /// The bundles at their generations, in the order in which the pod named the bundles.
    pub held: Vec<BundleGeneration>,
}

/// The secrets of a snapshot, which files are made of.
#[derive(Debug)]
pub struct PlannedSecrets {
    files: FileContents,
    owners: BTreeMap<SecretName, BundleRef>,
    total: usize,
    held: Vec<BundleGeneration>,
}

impl PlannedSecrets {
    /// The values, by the names of their files.
    #[must_use]
    pub fn values(&self) -> &FileContents {
        &self.files
    }

    /// The bundles at their generations, in the order in which the pod named the bundles.
    #[must_use]
    pub fn held(&self) -> &[BundleGeneration] {
        &self.held
    }
}

/// The files that a pod has.
#[derive(Debug, PartialEq, Eq)]
pub enum CurrentFiles {
    /// There is no generation yet.
    None,
    /// A generation that the agent wrote.
    Readable(FileContents),
    /// A generation that something else changed, so that it cannot be compared.
    Unreadable,
}

impl CurrentFiles {
    /// The bytes of each file, if they can be compared.
    #[must_use]
    pub fn readable(&self) -> Option<&FileContents> {
        match self {
            Self::Readable(files) => Some(files),
            Self::None | Self::Unreadable => None,
        }
    }
}

/// How the desired files differ from the current ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilesChange {
    /// They are the same, byte for byte.
    Unchanged,
    /// There are no files yet, so no application can have read them.
    First,
    /// They differ, and the application may have read the old ones.
    Changed,
}

/// Why a snapshot cannot become files. The current files stay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A bundle is missing or unexpected.
    #[error(
        "plan files: the server sent the bundles [{}], this pod requests [{}]",
        list(.sent),
        list(.requested)
    )]
    Bundles {
        /// The bundles of the snapshot.
        sent: Vec<BundleRef>,
        /// The bundles that the pod requests.
        requested: Vec<BundleRef>,
    },
    /// Two secrets would need the same file.
    #[error(
        "plan files: secret {name} is in bundle {first} and in bundle {second}; \
         rename it in one of them, or request only one of the bundles"
    )]
    DuplicateName {
        /// The name.
        name: SecretName,
        /// The bundle that has it.
        first: BundleRef,
        /// The bundle that has it too.
        second: BundleRef,
    },
    /// A value exceeds the size limit.
    #[error(
        "plan files: secret {name} of bundle {bundle} has {bytes} bytes, \
         over the limit of {MAX_VALUE_BYTES}"
    )]
    ValueTooLarge {
        /// The secret.
        name: SecretName,
        /// Its bundle.
        bundle: BundleRef,
        /// Its size in bytes.
        bytes: usize,
    },
    /// Secrets that the pod reads as variables and that cannot be any.
    #[error("plan files: {0}")]
    Variables(RefusedVariables),
    /// The values together exceed the size limit of the volume.
    #[error(
        "plan files: the secrets of this pod have {0} bytes in total, \
         over the limit of {MAX_POD_BYTES}"
    )]
    TooLarge(usize),
    /// A file that is rendered from the secrets.
    #[error("plan files: {0}")]
    Rendered(#[from] RenderError),
    /// A file that is at another path too.
    #[error("plan files: {0}")]
    Path(#[from] PathTaken),
    /// One of the other volumes.
    #[error("plan files: {0}")]
    Volume(#[from] SecretVolumeError),
}

fn list(bundles: &[BundleRef]) -> String {
    bundles.iter().map(BundleRef::as_str).collect::<Vec<_>>().join(", ")
}

/// The secrets of `snapshot`, in a pod that requests the bundles `requested`. The values are moved.
///
/// # Errors
/// When the snapshot has other bundles than the pod requests, or values that no pod can have.
pub fn secrets_of(
    requested: &[BundleRef],
    snapshot: Snapshot,
) -> Result<PlannedSecrets, PlanError> {
    let sent: Vec<BundleRef> = snapshot.bundles.iter().map(|held| held.bundle.clone()).collect();
    if !same_bundles(requested, &sent) {
        return Err(PlanError::Bundles { sent, requested: requested.to_vec() });
    }
    let held = in_order(requested, snapshot.holds());

    let mut files = FileContents::new();
    let mut owners: BTreeMap<SecretName, BundleRef> = BTreeMap::new();
    let mut total = 0usize;
    for bundle in snapshot.bundles {
        for (name, secret) in bundle.secrets {
            let bytes = secret.value.len();
            if bytes > MAX_VALUE_BYTES {
                return Err(PlanError::ValueTooLarge { name, bundle: bundle.bundle, bytes });
            }
            if let Some(first) = owners.insert(name.clone(), bundle.bundle.clone()) {
                return Err(PlanError::DuplicateName { name, first, second: bundle.bundle });
            }
            total = total.saturating_add(bytes);
            files.insert(FileName::from(&name), secret.value);
        }
    }
    if total > MAX_POD_BYTES {
        return Err(PlanError::TooLarge(total));
    }
    Ok(PlannedSecrets { files, owners, total, held })
}

/// The files of a pod that is to have `wanted`, of which templates have made `texts`. The values
/// are moved; those that are in more than one file are copied.
///
/// # Errors
/// When the secrets cannot be written as files.
pub fn desired_files(
    wanted: &Files,
    secrets: PlannedSecrets,
    mut texts: FileContents,
) -> Result<DesiredFiles, PlanError> {
    let PlannedSecrets { mut files, owners, total, held } = secrets;
    let env = env_file::render_all(&wanted.env, &files).map_err(PlanError::Variables)?;
    texts.append(&mut render::ready_formats(&wanted.rendered, &files)?);
    let copies = env.values().chain(texts.values()).map(Redacted::len);
    let mut total = copies.fold(total, usize::saturating_add);
    let mut volumes = Vec::with_capacity(wanted.volumes.len());
    for volume in &wanted.volumes {
        let contents = secret_volume::contents(volume, (&files, &texts), &owners)?;
        let copies = contents.values().map(|file| file.bytes.len().max(PAGE_BYTES));
        total = copies.fold(total, usize::saturating_add);
        // All of them at once could take more memory than the agent has.
        if total > MAX_POD_BYTES {
            return Err(PlanError::TooLarge(total));
        }
        volumes.push(contents);
    }
    if wanted.rendered_only {
        files.clear();
    }
    files.append(&mut texts);
    let paths = other_path::of_existing(&wanted.paths, &files)?;
    if total > MAX_POD_BYTES {
        return Err(PlanError::TooLarge(total));
    }
    Ok(DesiredFiles { files, env, paths, volumes, held })
}

/// How `desired` differs from `current`.
#[must_use]
pub fn compare(desired: &DesiredFiles, current: &CurrentFiles) -> FilesChange {
    match current {
        CurrentFiles::None => FilesChange::First,
        CurrentFiles::Readable(files) if *files == desired.files => FilesChange::Unchanged,
        CurrentFiles::Readable(_) | CurrentFiles::Unreadable => FilesChange::Changed,
    }
}

/// The secrets that containers hold as variables and whose values differ from the current ones. A
/// running container keeps what it was created with.
#[must_use]
pub fn changed_variables(desired: &DesiredFiles, current: &CurrentFiles) -> Vec<FileName> {
    let is_changed = |name: &&FileName| match current {
        CurrentFiles::None => false,
        CurrentFiles::Readable(files) => files.get(*name) != desired.files.get(*name),
        CurrentFiles::Unreadable => true,
    };
    desired.env.keys().filter(is_changed).cloned().collect()
}

fn same_bundles(requested: &[BundleRef], sent: &[BundleRef]) -> bool {
    let sorted = |bundles: &[BundleRef]| {
        let mut bundles = bundles.to_vec();
        bundles.sort();
        bundles
    };
    sorted(requested) == sorted(sent)
}

/// In the pod's order, whatever the server's is: the generation's directory name depends on it.
fn in_order(requested: &[BundleRef], mut held: Vec<BundleGeneration>) -> Vec<BundleGeneration> {
    held.sort_by_key(|held| requested.iter().position(|bundle| *bundle == held.bundle));
    held
}

#[cfg(test)]
mod tests;
