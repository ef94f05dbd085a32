//! The trait that every backend implements, and its errors.
//!
//! The caller (switchyard's ledger) counts versions, since not every backend can count. A backend
//! keeps a value under the version it is given and answers with a [`Reference`], its own name for
//! that value. Reading the value needs both.
//!
//! The trait holds what production calls. What only the tests need of a backend is in
//! [`ConformanceStore`](crate::conformance::ConformanceStore).

use std::time::Duration;

use contract::{Redacted, Scope, SecretName};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::database::{DatabaseError, Query};
use crate::seal::SealError;
use crate::value::{Put, Reference, StoredVersion};

/// The active version of a secret, as the ledger records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveSecret {
    /// The scope.
    pub scope: Scope,
    /// The secret's name.
    pub name: SecretName,
    /// The active version, and the store's reference to its value.
    pub stored: StoredVersion,
}

/// A value that somebody changed in the store itself, for example in the 1Password app.
#[derive(Clone, Debug)]
pub struct ExternalChange {
    /// The scope.
    pub scope: Scope,
    /// The secret's name.
    pub name: SecretName,
    /// The version that was active when the change was seen.
    pub on: StoredVersion,
    /// The new value.
    pub value: Redacted,
    /// The author, by the backend's name for them.
    pub by: String,
    /// The backend's name for this change. Two changes never share one, and it says nothing about
    /// the value.
    pub revision: String,
}

/// Why a store call failed. No variant holds a value.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such value.
    #[error("find {0}")]
    NotFound(String),
    /// The version was destroyed on purpose.
    #[error("open {0}: the version was destroyed")]
    Destroyed(String),
    /// Another writer was faster.
    #[error("rotate {secret}: its newest value is {newest}, not the one to be replaced")]
    Conflict {
        /// The secret.
        secret: String,
        /// The newest value that the backend has.
        newest: Reference,
    },
    /// One call names a secret twice.
    #[error("write {0}: the name appears twice in one write")]
    DuplicateName(String),
    /// A value could not be sealed or opened.
    #[error(transparent)]
    Seal(SealError),
    /// The backend cannot be reached or gives an unexpected answer.
    #[error("{step}")]
    Backend {
        /// What was being done.
        step: &'static str,
        /// The backend's own error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// An unavailable key is the backend's failure and may pass; any other seal error is about the row.
impl From<SealError> for StoreError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::KeyUnavailable { source, .. } => {
                Self::Backend { step: "reach the key-encryption key", source: Box::new(source) }
            }
            other => Self::Seal(other),
        }
    }
}

impl From<DatabaseError> for StoreError {
    fn from(error: DatabaseError) -> Self {
        Self::Backend { step: "change sealed values", source: Box::new(error) }
    }
}

/// New values on their way into a store.
#[derive(Debug)]
pub struct StagedWrite {
    /// The store's references to them, in the order of the call.
    pub references: Vec<Reference>,
    /// What remains to be done, in the ledger's own transaction. Empty for a store that has the
    /// values already.
    pub statements: Vec<Query>,
}

/// Refuses a write that names a secret twice: two values of one call would have no order.
///
/// # Errors
/// [`StoreError::DuplicateName`] with the first name that repeats.
pub(crate) fn reject_duplicate_names(scope: &Scope, puts: &[Put<'_>]) -> Result<(), StoreError> {
    let repeats =
        |(at, put): &(usize, &Put<'_>)| puts[..*at].iter().any(|earlier| earlier.name == put.name);
    match puts.iter().enumerate().find(repeats) {
        Some((_, put)) => Err(StoreError::DuplicateName(format!("{scope}/{}", put.name))),
        None => Ok(()),
    }
}

/// What a backend guarantees. Switchyard asks at start: it refuses a backend that lacks `versions`
/// or `read_your_writes`, and its ledger makes up for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Older versions stay readable until they are destroyed.
    pub versions: bool,
    /// [`ConformanceStore::rotate`](crate::conformance::ConformanceStore::rotate) refuses if
    /// another writer wrote in between.
    pub compare_and_set: bool,
    /// A read after an acknowledged write sees it.
    pub read_your_writes: bool,
    /// A [`Store::write`] stores all its values or none. Without it, some may be stored when the
    /// write fails; the caller then has no references to them.
    pub atomic_writes: bool,
}

/// A backend that keeps secret values.
///
/// The futures are boxed so that the backend can be chosen at run time.
pub trait Store: Send + Sync {
    /// What this backend guarantees.
    fn capabilities(&self) -> Capabilities;

    /// Stores new values of one scope and returns their references, in the same order. They are
    /// durable when it returns.
    fn write<'a>(
        &'a self,
        scope: &'a Scope,
        puts: &'a [Put<'a>],
    ) -> BoxFuture<'a, Result<Vec<Reference>, StoreError>>;

    /// As [`Store::write`], for a caller whose transaction may finish the write. A store in the
    /// ledger's own database leaves its rows to that transaction, so that both are one change and
    /// one flush of the disk; any other store writes now.
    fn stage<'a>(
        &'a self,
        scope: &'a Scope,
        puts: &'a [Put<'a>],
    ) -> BoxFuture<'a, Result<StagedWrite, StoreError>> {
        async move {
            let references = self.write(scope, puts).await?;
            Ok(StagedWrite { references, statements: Vec::new() })
        }
        .boxed()
    }

    /// Reads one version of a secret.
    fn read_version<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
        stored: &'a StoredVersion,
    ) -> BoxFuture<'a, Result<Redacted, StoreError>>;

    /// Reads versions of several secrets, in the order of the call.
    fn read_versions<'a>(
        &'a self,
        wanted: &'a [ActiveSecret],
    ) -> BoxFuture<'a, Result<Vec<Redacted>, StoreError>> {
        async move {
            let mut values = Vec::with_capacity(wanted.len());
            for ActiveSecret { scope, name, stored } in wanted {
                values.push(self.read_version(scope, name, stored).await?);
            }
            Ok(values)
        }
        .boxed()
    }

    /// Makes one version unreadable for good. The others stay. Traces of the value may remain in
    /// the backend's files until [`Store::purge`].
    fn destroy<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
        stored: &'a StoredVersion,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Removes the traces of values that were destroyed before this call from the backend's files.
    /// Returns `false` if something is in the way, and it has to be tried again.
    fn purge(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        async { Ok(true) }.boxed()
    }

    /// Checks that the backend can be read and written right now.
    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// How often to call [`Store::poll_changes`], or `None` for a backend that only switchyard
    /// writes to.
    fn poll_interval(&self) -> Option<Duration> {
        None
    }

    /// Tells the store every active version, and returns those that somebody changed in the store
    /// itself. A change is returned again until its value is the active one, so a caller that dies
    /// after receiving it loses nothing. Only one caller at a time.
    fn poll_changes<'a>(
        &'a self,
        active: &'a [ActiveSecret],
    ) -> BoxFuture<'a, Result<Vec<ExternalChange>, StoreError>> {
        let _ = active;
        async { Ok(Vec::new()) }.boxed()
    }
}
