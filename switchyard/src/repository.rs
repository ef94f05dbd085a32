//! The ledger: secrets, versions, bundles, generations, grants, tokens, pod reports and audit
//! events.
//!
//! The types that the rest of the program uses are here; the SQL is in `sql`.

mod agent_state;
mod authenticity;
mod change;
mod digest;
mod grant;
mod last_read;
mod lease;
mod lived_time;
mod mac;
mod metadata;
mod prune;
mod search;
mod sql;
mod table_digests;
mod token;
mod trusted_rows;

use std::collections::{BTreeMap, BTreeSet};

use audit::{Event, Pod};
use contract::api::{VersionState, VersionSummary};
use contract::metadata::SecretMetadata;
use contract::{
    BundleRef, Generation, GenerationTag, Label, Scope, SecretName, SecretRef, Version,
};
use jiff::Timestamp;
use lockbox::database::{DatabaseError, MigrateError};
use lockbox::{Reference, StoredVersion};
use serde::{Deserialize, Serialize};

use crate::delivery::RolloutState;
use crate::references::ValueReferences;

pub use agent_state::{
    AgentPage, AgentPosition, AgentRow, AgentState, CheckedStages, HoldingRow, PodFailure,
};
pub use authenticity::Forgery;
pub use change::{
    ChangeError, Condition, Idempotency, KeptResponse, LedgerChange, NewVersion, RespondFn,
};
pub use grant::{GrantExtent, NewGrant};
pub use last_read::LastRead;
pub use lease::Fence;
pub use lived_time::LivedTime;
pub use mac::{LEDGER_KEY_BYTES, LedgerKey};
pub use metadata::{ExpiryCounts, MetadataEdit};
pub use prune::{KnownGeneration, NeededGenerations, Prunable, PrunePolicy, prunable};
pub use search::{MAX_SEARCHED_TAGS, ScopedSecret, SearchQuery};
#[cfg(test)]
pub(crate) use sql::open_signed;
pub use sql::{
    AcceptedRows, BundleMemberId, CHANNEL, CountedUntil, LedgerKeyRef, Membership, PendingDestroy,
    PersonGrant, PrunedBundle, ReadEvent, ReadQuery, Repository, Resolved, StoredCheckpoint,
};
pub use token::{IdTokenRef, NewToken, TokenAdded, TokenRow, TokenSubject};

/// A failed read or write of the ledger.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The database failed.
    #[error("{step}")]
    Database {
        /// The step that failed.
        step: &'static str,
        /// The database's error.
        #[source]
        source: DatabaseError,
    },
    /// A row has an unexpected form.
    #[error("read ledger: malformed {0}")]
    Form(&'static str),
    /// A schema migration failed.
    #[error("migrate ledger")]
    Migrate(#[source] MigrateError),
    /// Somebody else wrote to the database.
    #[error("read ledger: {0}")]
    Forged(Forgery),
    /// The ledger's key is not loaded.
    #[error("read ledger: its key is not loaded yet")]
    Locked,
    /// The rows changed each time that they were read.
    #[error("read ledger: its rows change too often")]
    Busy,
}

impl From<DatabaseError> for RepositoryError {
    fn from(source: DatabaseError) -> Self {
        Self::Database { step: "change ledger", source }
    }
}

/// A secret at its active version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The name.
    pub name: SecretName,
    /// The active version and the store's reference to its value.
    pub stored: StoredVersion,
    /// Tells the version apart from others with this number, as after a restore of the database.
    pub tag: String,
    /// The length of its value in bytes.
    pub size: u64,
    /// When the secret was first written.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was deleted, if it was.
    pub deleted_at: Option<Timestamp>,
    /// What the active version refers to, if its value has references.
    pub references: Option<ValueReferences>,
    /// What is written beside the active version.
    pub metadata: SecretMetadata,
    /// When it was last read since it was first written.
    pub last_read: LastRead,
}

/// The latest and the active version of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionNumbers {
    /// The highest version so far. The next version is one more.
    pub latest: Version,
    /// The active version, or `None` for a deleted secret.
    pub active: Option<Version>,
}

/// Where the ledger is: what a restored or moved copy of it has otherwise. Empty where it is
/// unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerPlace {
    /// The database server and the table itself.
    pub server: String,
    /// The server's timeline, which begins anew with each restore to a point in time and failover.
    pub timeline: String,
}

/// What tells an older state of the tables that decide from a newer one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerTables {
    /// The name of the ledger's key.
    pub key: Option<String>,
    /// How often they changed under it.
    pub changes: u64,
}

/// Selects which secrets of a scope to list.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Only names after this one.
    pub after: Option<SecretName>,
    /// Include deleted secrets.
    pub deleted: bool,
    /// Only those whose credential ends before this time.
    pub expiring_before: Option<Timestamp>,
    /// Only those that nobody read since this time.
    pub unused_since: Option<Timestamp>,
    /// The maximum number of results.
    pub limit: u32,
}

/// The id of a bundle in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId(pub(crate) i64);

/// A bundle and its current generations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Its id.
    pub id: BundleId,
    /// Its service scope.
    pub scope: Scope,
    /// Its name, as pods request it.
    pub name: BundleRef,
    /// The generations in use.
    pub rollout: RolloutState,
    /// Increases with every change.
    pub revision: u64,
    /// Why it cannot follow its scopes: with their newest secrets it would not fit into a pod. Its
    /// pods keep what they have.
    pub stuck: Option<String>,
    /// The tag of the stable generation, if it has one.
    pub stable_tag: Option<GenerationTag>,
}

impl Bundle {
    /// The tag of a generation, if it is known.
    #[must_use]
    pub fn tag_of(&self, generation: Generation) -> Option<GenerationTag> {
        self.stable_tag.clone().filter(|_| generation == self.rollout.stable)
    }

    /// The bundle as it is for a pod that keeps this generation.
    #[must_use]
    pub fn at(&self, generation: Generation, tag: Option<GenerationTag>) -> Self {
        let rollout = RolloutState { stable: generation, target: None };
        Self { rollout, stable_tag: tag, ..self.clone() }
    }
}

/// Project, environment and service of a service scope.
pub(crate) fn service_parts(scope: &Scope) -> Option<(&Label, &Label, &Label)> {
    match scope {
        Scope::Service(project, environment, service) => Some((project, environment, service)),
        Scope::Project(_) | Scope::Environment(..) => None,
    }
}

/// One secret in a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The secret's own scope.
    pub scope: Scope,
    /// The version and the store's reference to its value.
    pub stored: StoredVersion,
    /// If its value has references: what it is composed of.
    pub targets: Option<ValueTargets>,
}

/// All secrets that a value is composed of, at the versions that it takes.
pub type ValueTargets = BTreeMap<SecretRef, ValueTarget>;

/// A secret that a value is composed of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueTarget {
    /// The version and the store's reference to its value.
    pub stored: StoredVersion,
    /// Whether that has references itself.
    pub is_template: bool,
}

/// The contents of a generation, by secret name.
pub type Members = BTreeMap<SecretName, Member>;

/// A version of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRow {
    /// The version number.
    pub version: Version,
    /// Tells the version apart from others with this number.
    pub tag: String,
    /// The store's reference to its value.
    pub reference: Reference,
    /// Its state.
    pub state: VersionState,
    /// When it was written.
    pub created_at: Timestamp,
    /// Who wrote it.
    pub created_by: String,
    /// When its value was destroyed in the store, if it was.
    pub destroyed_at: Option<Timestamp>,
    /// The lived time of the delete that it is marked by, if it is.
    pub deleted: Option<LivedTime>,
    /// What it refers to, if its value has references.
    pub references: Option<ValueReferences>,
    /// What is written beside it. Notes and tags are the secret's.
    pub metadata: SecretMetadata,
}

impl VersionRow {
    /// The version and reference that the store needs to find the value.
    #[must_use]
    pub fn stored(&self) -> StoredVersion {
        StoredVersion { version: self.version, reference: self.reference.clone() }
    }
}

impl From<VersionRow> for VersionSummary {
    fn from(row: VersionRow) -> Self {
        let VersionRow { version, state, created_at, created_by, destroyed_at, .. } = row;
        let SecretMetadata { message, expires_at, .. } = row.metadata;
        Self { version, state, created_at, created_by, destroyed_at, message, expires_at }
    }
}

/// What a pod reports about one bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodReport {
    /// The pod.
    pub pod: Pod,
    /// The bundle.
    pub bundle: BundleId,
    /// The reported state.
    pub state: ReportedState,
}

/// The state that a pod reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportedState {
    /// Its files hold this generation.
    Applied {
        /// The generation.
        generation: Generation,
        /// Tells it apart from others with its number.
        tag: Option<GenerationTag>,
        /// The outcome of reloading the application.
        reload: String,
    },
    /// It could not apply this generation.
    Failed {
        /// The generation.
        wanted: Generation,
        /// The step that failed.
        step: String,
        /// Why.
        detail: String,
    },
    /// Its files hold this generation again, because a later one failed a check.
    Restored {
        /// The generation.
        generation: Generation,
        /// Tells it apart from others with its number.
        tag: Option<GenerationTag>,
    },
}

/// An audit event to append, with its time and the pod report stored in the same transaction.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// The time of the event.
    pub at: Timestamp,
    /// The event.
    pub event: Event,
    /// The report of the pod that the event is about.
    pub report: Option<PodReport>,
}

/// Selects which events to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Only events with a greater sequence.
    pub after: u64,
    /// Only events with a smaller sequence.
    pub before: Option<u64>,
    /// From the newest one on, instead of from the oldest one.
    pub newest_first: bool,
    /// Only this action.
    pub action: Option<String>,
    /// Only this kind of actor.
    pub actor_type: Option<String>,
    /// Only this actor id.
    pub actor: Option<String>,
    /// Only these scopes and those below them.
    pub within: Option<BTreeSet<Scope>>,
    /// Only this secret, in any scope or in exactly this one.
    pub secret: Option<(Option<Scope>, SecretName)>,
    /// Only this outcome.
    pub outcome: Option<String>,
    /// Only events at or after this time.
    pub since: Option<Timestamp>,
    /// Only events before this time.
    pub until: Option<Timestamp>,
    /// The maximum number of results.
    pub limit: u32,
}
