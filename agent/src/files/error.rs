//! Errors of the in-memory volume.

use std::io;
use std::path::PathBuf;

/// Why an operation on the volume failed. It may contain a file's name, never its content.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The volume cannot be opened.
    #[error("open volume {path}", path = path.display())]
    Open {
        /// Its mount point.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The place where another volume is mounted.
    #[error("create mount point {path} in the volume")]
    MountPoint {
        /// Its path in the volume.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A mount point outside of the volume.
    #[error("create mount point {0}: it is not a path below the volume")]
    MountPointName(String),
    /// A directory of the volume.
    #[error("list volume")]
    List(#[source] io::Error),
    /// The generation's directory.
    #[error("create generation {generation}")]
    Create {
        /// Its name.
        generation: String,
        /// Why.
        source: io::Error,
    },
    /// A file of the generation.
    #[error("write file {name}")]
    Write {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The size limit of the volume is reached.
    #[error("write file {name}: the memory volume is full; files unchanged")]
    Full {
        /// The file or directory that did not fit.
        name: String,
    },
    /// The link of a file.
    #[error("link file {name}")]
    Link {
        /// The file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The swap of the data link.
    #[error("swap in generation {generation}")]
    Swap {
        /// The generation.
        generation: String,
        /// Why.
        source: io::Error,
    },
    /// An old file, link or directory.
    #[error("remove {name}")]
    Remove {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The record of a pending reload.
    #[error("update record of pending reload")]
    ReloadPending(#[source] io::Error),
    /// The record of a restart.
    #[error("update record of restart")]
    Restart(#[source] io::Error),
    /// The record of the generation that works.
    #[error("update record of the generation that works")]
    Proven(#[source] io::Error),
    /// The record of refused generations.
    #[error("update record of refused generations")]
    Refused(#[source] io::Error),
    /// The record of a signal that ended the application.
    #[error("update record of fatal signal")]
    FatalSignal(#[source] io::Error),
    /// The status for those who ask.
    #[error("update status")]
    Status(#[source] io::Error),
    /// The trust bundle.
    #[error("save trust bundle")]
    TrustBundle(#[source] io::Error),
}

impl VolumeError {
    pub(super) fn from_create(generation: &str, source: io::Error) -> Self {
        let generation = generation.to_owned();
        Self::full_or(&generation.clone(), source, |source| Self::Create { generation, source })
    }

    pub(super) fn from_write(name: &str, source: io::Error) -> Self {
        Self::full_or(name, source, |source| Self::Write { name: name.to_owned(), source })
    }

    /// [`Self::Full`] if there was no room for `name`, be it bytes or an entry, else `other`.
    pub(super) fn full_or(
        name: &str,
        source: io::Error,
        other: impl FnOnce(io::Error) -> Self,
    ) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { name: name.to_owned() }
            }
            _ => other(source),
        }
    }
}
