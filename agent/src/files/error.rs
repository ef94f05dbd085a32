//! What can go wrong with the files.

use std::io;
use std::path::PathBuf;

/// What can go wrong with the files. A file's name may be in it, never what the file holds.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The volume is not there.
    #[error("open volume {path}", path = path.display())]
    Open {
        /// Its mount point.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The mount point of the service-account token.
    #[error("make mount point kubernetes.io/serviceaccount in the volume")]
    MountPoint(#[source] io::Error),
    /// A directory of the volume.
    #[error("list volume")]
    List(#[source] io::Error),
    /// The generation's directory.
    #[error("make generation {label}")]
    Make {
        /// Its name.
        label: String,
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
    /// The volume has a size limit, and this is over it.
    #[error("write file {name}: the memory volume is full; the files are as they were")]
    Full {
        /// The file or directory that had no room.
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
    /// The swap.
    #[error("swap in generation {label}")]
    Swap {
        /// The generation.
        label: String,
        /// Why.
        source: io::Error,
    },
    /// Something old.
    #[error("remove {name}")]
    Remove {
        /// What.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The mark of a reload that is due.
    #[error("mark reload")]
    Mark(#[source] io::Error),
    /// The trust bundle.
    #[error("keep trust bundle")]
    Trust(#[source] io::Error),
}

impl FilesError {
    pub(super) fn make(label: &str, source: io::Error) -> Self {
        if is_full(&source) {
            Self::Full { name: label.to_owned() }
        } else {
            Self::Make { label: label.to_owned(), source }
        }
    }

    pub(super) fn write(name: &str, source: io::Error) -> Self {
        if is_full(&source) {
            Self::Full { name: name.to_owned() }
        } else {
            Self::Write { name: name.to_owned(), source }
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
