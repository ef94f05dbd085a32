//! The trait that every backend has, and what a backend may say.
//!
//! Versions are counted by the caller (switchyard's ledger), since not every backend can count: the
//! backend keeps a value under the version it is given and answers with a [`Reference`], its own
//! name for that value. Both are needed to read it again.

use std::fmt;
use std::time::Duration;

use contract::{Redacted, Scope, SecretName, Version};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

/// What a backend can do besides keeping values. One that cannot says so here, and its caller makes
/// up for it or refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Older versions stay readable.
    pub versions: bool,
    /// [`Store::rotate`] refuses where somebody else wrote in between.
    pub compare_and_set: bool,
    /// A read after an acknowledged write sees it.
    pub read_your_writes: bool,
    /// All values of one [`Store::write`] are there, or none is.
    pub atomic_writes: bool,
    /// The backend itself says when somebody else changed a value.
    pub push: bool,
}

/// One value to write.
#[derive(Clone, Copy, Debug)]
pub struct Put<'a> {
    /// The secret's name.
    pub name: &'a SecretName,
    /// The version that the value becomes.
    pub version: Version,
    /// The value.
    pub value: &'a Redacted,
}

/// A backend's own name for one value; it says nothing about the value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference(String);

impl Reference {
    /// The reference of that text, as a ledger kept it.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for a ledger to keep.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value that a backend has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The version it was written as.
    pub version: Version,
    /// The backend's name for it.
    pub reference: Reference,
}

/// A value in use, as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The scope.
    pub scope: Scope,
    /// The secret's name.
    pub name: SecretName,
    /// The active version, and the store's name for its value.
    pub stored: Stored,
}

/// A value that somebody changed in the store itself.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The scope.
    pub scope: Scope,
    /// The secret's name.
    pub name: SecretName,
    /// The version that was in use when it was seen.
    pub on: Stored,
    /// What the value is now.
    pub value: Redacted,
    /// Who did it, by the backend's name for whoever it was.
    pub by: String,
    /// The backend's name for this change: another one has another name. It says nothing about the
    /// value.
    pub revision: String,
}

/// Why a store did not do what it was asked. No variant holds a value.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such value.
    #[error("find {0}")]
    NotFound(String),
    /// The version was destroyed on purpose.
    #[error("open {0}: the version was destroyed")]
    Destroyed(String),
    /// Somebody else wrote in between.
    #[error("rotate {secret}: its newest value is {newest}, which is not the one to be replaced")]
    Conflict {
        /// The secret.
        secret: String,
        /// What the backend has as the newest.
        newest: Reference,
    },
    /// One call has one name twice.
    #[error("write {0}: the name is given twice in one write")]
    Twice(String),
    /// A value could not be sealed or opened.
    #[error(transparent)]
    Seal(crate::seal::SealError),
    /// The backend cannot be reached or answers nonsense.
    #[error("{step}")]
    Backend {
        /// What was being done.
        step: &'static str,
        /// The backend's words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A place that keeps secret values.
///
/// The futures are boxed so that the backend can be chosen at run time.
pub trait Store: Send + Sync {
    /// What this backend can do.
    fn capabilities(&self) -> Capabilities;

    /// Keeps new values of one scope and answers with their references, in the same order. When it
    /// returns, they are durable.
    fn write<'a>(
        &'a self,
        scope: &'a Scope,
        puts: &'a [Put<'a>],
    ) -> BoxFuture<'a, Result<Vec<Reference>, StoreError>>;

    /// The newest value of a secret.
    fn read<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<(Stored, Redacted), StoreError>>;

    /// One value of a secret.
    fn read_version<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
        stored: &'a Stored,
    ) -> BoxFuture<'a, Result<Redacted, StoreError>>;

    /// What the backend has of a secret, newest first, destroyed versions left out.
    fn list_versions<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<Vec<Stored>, StoreError>>;

    /// Keeps a new value of one secret on top of the newest one that the caller knows. A backend
    /// that can compare and set refuses where its newest value is another; the one it names may be
    /// a value whose writer died before it was acknowledged, and then [`Store::destroy`] is the way
    /// out.
    fn rotate<'a>(
        &'a self,
        scope: &'a Scope,
        put: Put<'a>,
        on: &'a Reference,
    ) -> BoxFuture<'a, Result<Reference, StoreError>>;

    /// Makes one value unreadable for good. The others stay.
    fn destroy<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
        stored: &'a Stored,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Removes a secret with all its values for good.
    fn delete<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Whether the backend can be read and written right now.
    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// How often to call [`Store::changes`]; `None` where nobody can change a value but through
    /// here.
    fn watch_interval(&self) -> Option<Duration> {
        None
    }

    /// Tells the store which values are in use, all of them, and asks which of them somebody
    /// changed in the store itself. A change is reported again until its value is the one in use,
    /// so that whoever dies after hearing of it loses nothing. One caller at a time.
    fn changes<'a>(
        &'a self,
        known: &'a [Known],
    ) -> BoxFuture<'a, Result<Vec<Changed>, StoreError>> {
        let _ = known;
        async { Ok(Vec::new()) }.boxed()
    }
}
