//! Where the certificates and keys are stored, so that every replica serves under one CA.

pub mod directory;
pub mod secret;

use std::future::Future;
use std::io;
use std::path::PathBuf;

use crate::state::CertFiles;

/// What a store held, and which version of it.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The files; empty when nothing is stored.
    pub files: CertFiles,
    /// The version, if the store has versions; `None` when nothing is stored.
    pub version: Option<String>,
}

/// The outcome of a compare-and-swap.
#[derive(Clone, Debug)]
pub enum StoreOutcome {
    /// Written; this is the new version.
    Written(Option<String>),
    /// Another process has written since; load again.
    Conflict,
}

/// Why a store could not be read or written. Never contains what is stored.
#[derive(Debug, thiserror::Error)]
pub enum CertStoreError {
    /// A file could not be read.
    #[error("read {path}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("write {path}")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The API server refused.
    #[error("{step} secret {name}")]
    Refused {
        /// `get`, `create` or `patch`.
        step: &'static str,
        /// Name of the Secret.
        name: String,
        /// Code, reason and message.
        source: secret::Refusal,
    },
    /// The API server could not be reached.
    #[error("{step} secret {name}")]
    Unreachable {
        /// `get`, `create` or `patch`.
        step: &'static str,
        /// Name of the Secret.
        name: String,
        /// The client's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The API server's answer could not be parsed. Its content is not repeated.
    #[error("{step} secret {name}: unreadable answer")]
    Unreadable {
        /// `get`, `create` or `patch`.
        step: &'static str,
        /// Name of the Secret.
        name: String,
    },
    /// The runtime is shutting down.
    #[error("run blocking step")]
    Cancelled(#[from] tokio::task::JoinError),
}

/// A store that several processes share, with compare-and-swap.
pub trait CertStore: Send + Sync + 'static {
    /// Reads what is stored.
    fn load(&self) -> impl Future<Output = Result<Loaded, CertStoreError>> + Send;

    /// Writes `files` if what is stored is still `seen`.
    fn store(
        &self,
        files: &CertFiles,
        seen: &Loaded,
    ) -> impl Future<Output = Result<StoreOutcome, CertStoreError>> + Send;

    /// Waits until what is stored may differ from `seen`. May return without a change, but not in
    /// a tight loop.
    fn changed(&self, seen: &Loaded) -> impl Future<Output = ()> + Send;
}
