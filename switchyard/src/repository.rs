//! The ledger: secrets, versions, bundles, generations, grants, tokens, holdings and the audit
//! trail.
//!
//! What the rest of the program sees is here; what SQL it takes is in `sql`.

mod change;
mod lease;
mod sql;

use std::collections::BTreeMap;

use contract::api::{VersionState, VersionSummary};
use contract::{BundleRef, Generation, Label, Scope, SecretName, Version};
use jiff::Timestamp;
use lockbox::{Reference, Stored};

use crate::audit::{Event, Pod};
use crate::delivery::Standing;

pub use change::{Change, ChangeError, Condition, Idempotency, NewVersion, Respond};
pub use lease::Fence;
pub use sql::{CHANNEL, Doomed, Holder, Kept, NewToken, PersonGrant, Repository, TokenRow};

/// The ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The database.
    #[error("{step}")]
    Database {
        /// What was being done.
        step: &'static str,
        /// The database's words.
        #[source]
        source: sqlx::Error,
    },
    /// A row that nothing of ours wrote.
    #[error("read ledger: {0} is not of the form")]
    Form(&'static str),
    /// A disk that could not flush.
    #[error("write ledger: the disk could not flush what was written before")]
    Lost,
    /// The tables could not be brought up to date.
    #[error("migrate ledger")]
    Migrate(#[source] sqlx::migrate::MigrateError),
}

/// A secret at its active version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Its name.
    pub name: SecretName,
    /// The active version, and the store's name for its value.
    pub stored: Stored,
    /// When the secret was first written.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was deleted, where it was.
    pub deleted_at: Option<Timestamp>,
}

/// How far the versions of a secret are, deleted or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The latest version: the next one is one more.
    pub latest: Version,
    /// The active version; `None` where the secret is deleted.
    pub active: Option<Version>,
}

/// Which secrets of a scope to list.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Those after this name.
    pub after: Option<SecretName>,
    /// Deleted ones too.
    pub deleted: bool,
    /// So many at most.
    pub limit: u32,
}

/// The number of a bundle in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId(pub(crate) i64);

/// A bundle where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Its number.
    pub id: BundleId,
    /// Its service scope.
    pub scope: Scope,
    /// Its name as a pod asks for it.
    pub name: BundleRef,
    /// Which generations are in use.
    pub standing: Standing,
    /// Grows with every change.
    pub revision: u64,
}

/// The parts of a service scope.
pub(crate) fn service_parts(scope: &Scope) -> Option<(&Label, &Label, &Label)> {
    match scope {
        Scope::Service(project, environment, service) => Some((project, environment, service)),
        Scope::Project(_) | Scope::Environment(..) => None,
    }
}

/// One secret of a generation, and where its value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The scope that the secret lives in.
    pub scope: Scope,
    /// The version, and the store's name for its value.
    pub stored: Stored,
}

/// A generation: what it holds by name.
pub type Members = BTreeMap<SecretName, Member>;

/// A version of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRow {
    /// The number.
    pub version: Version,
    /// The store's name for its value.
    pub reference: Reference,
    /// Where it is in its life.
    pub state: VersionState,
    /// When it was written.
    pub created_at: Timestamp,
    /// Who wrote it.
    pub created_by: String,
    /// When its value was taken out of the store for good.
    pub destroyed_at: Option<Timestamp>,
}

impl VersionRow {
    /// What the store knows it by.
    #[must_use]
    pub fn stored(&self) -> Stored {
        Stored { version: self.version, reference: self.reference.clone() }
    }
}

impl From<VersionRow> for VersionSummary {
    fn from(row: VersionRow) -> Self {
        let VersionRow { version, reference: _, state, created_at, created_by, destroyed_at } = row;
        let destroyed_at = destroyed_at.map(|at| at.to_string());
        Self { version, state, created_at: created_at.to_string(), created_by, destroyed_at }
    }
}

/// What a pod says about one bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The pod.
    pub pod: Pod,
    /// The bundle.
    pub bundle: BundleId,
    /// What it says.
    pub report: Report,
}

/// What a pod reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Its files hold this generation.
    Holds {
        /// The generation.
        generation: Generation,
        /// How the application took it.
        reload: String,
    },
    /// It could not put this generation into effect.
    Failed {
        /// The generation.
        wanted: Generation,
        /// Where it failed.
        step: String,
        /// Why.
        detail: String,
    },
}

/// An audit event with its time, and what it changes of the holdings.
#[derive(Clone, Debug)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: Event,
    /// What the pod of the event says that it holds.
    pub holding: Option<Holding>,
}

/// Which events to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Those with a greater number.
    pub after: u64,
    /// Those of this action.
    pub action: Option<String>,
    /// Those of this actor.
    pub actor: Option<String>,
    /// Those in this scope and below.
    pub scope: Option<String>,
    /// Those that ended so.
    pub outcome: Option<String>,
    /// Those from this time on.
    pub since: Option<Timestamp>,
    /// Those before this time.
    pub until: Option<Timestamp>,
    /// So many at most.
    pub limit: u32,
}
