//! The input of a ledger change, and the errors that reject one.

use std::fmt;
use std::sync::Arc;

use contract::metadata::{Message, MetadataChange};
use contract::{Scope, SecretName, SecretRef, Version};
use jiff::Timestamp;
use lockbox::StoredVersion;
use lockbox::database::DatabaseError;

use super::{Bundle, Fence, RepositoryError};
use crate::references::{ReferenceError, ValueReferences};
use crate::snapshot::BundleTooLarge;
use ::audit::Event;

/// The circumstances of a change: scope, time, author, audit events.
#[derive(Clone, Debug)]
pub struct LedgerChange {
    /// The scope that changes.
    pub scope: Scope,
    /// The time of the change.
    pub at: Timestamp,
    /// The author, in a form for people to read.
    pub by: String,
    /// Audit events, appended in the same transaction.
    pub events: Vec<Event>,
    /// For an idempotent request: its key and how to build the response, which is stored in the
    /// same transaction.
    pub idempotency: Option<(Idempotency, RespondFn)>,
    /// The leader's fence, for changes made by a background job.
    pub fence: Option<Fence>,
}

/// A version whose value is already in the store.
#[derive(Clone, Debug)]
pub struct NewVersion {
    /// The secret.
    pub name: SecretName,
    /// The version and the store's reference to its value.
    pub stored: StoredVersion,
    /// The value's length in bytes.
    pub size: u64,
    /// The precondition.
    pub condition: Condition,
    /// Why it is written.
    pub message: Option<Message>,
    /// When the credential ends at its issuer.
    pub expires_at: Option<Timestamp>,
    /// What it refers to, if its value has references.
    pub references: Option<ValueReferences>,
    /// What changes for the secret as a whole.
    pub metadata: MetadataChange,
}

/// A precondition on a secret's active version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// No precondition.
    #[default]
    None,
    /// The secret does not exist.
    Absent,
    /// The secret exists.
    Present,
    /// This version of the secret is active.
    Active(Version),
    /// It was found not to hold before the change began. The change still answers first whether it
    /// was done before.
    Unmet,
}

impl Condition {
    /// Whether the precondition holds for this active version.
    #[must_use]
    pub fn holds(self, active: Option<Version>) -> bool {
        match self {
            Self::None => true,
            Self::Absent => active.is_none(),
            Self::Present => active.is_some(),
            Self::Active(version) => active == Some(version),
            Self::Unmet => false,
        }
    }
}

/// Identifies an idempotent request. The client's key itself is never stored: the fingerprint is
/// keyed with it.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// The principal that sent the request.
    pub principal: String,
    /// SHA-256 of the client's key.
    pub key_hash: Vec<u8>,
    /// HMAC-SHA256 of the request under the client's key.
    pub fingerprint: Vec<u8>,
}

/// An idempotent change of grants or tokens, and the response to keep for when it is sent again. It
/// must not contain a token in clear.
#[derive(Clone, Debug)]
pub struct KeptResponse {
    /// The request.
    pub request: Idempotency,
    /// The response.
    pub response: String,
}

/// Builds the JSON response to a change from the bundles that moved. It must not contain a value.
#[derive(Clone)]
pub struct RespondFn(Arc<ResponseBuilder>);

type ResponseBuilder = dyn Fn(&[Bundle]) -> String + Send + Sync;

impl RespondFn {
    /// Wraps `build`.
    pub fn new(build: impl Fn(&[Bundle]) -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(build))
    }

    pub(super) fn to(&self, bundles: &[Bundle]) -> String {
        (self.0)(bundles)
    }
}

impl fmt::Debug for RespondFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RespondFn")
    }
}

/// Why the ledger rejected a change. None of the change was applied.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A concurrent write won.
    #[error("write {0}: another version was written at the same time")]
    Conflict(String),
    /// The precondition does not hold.
    #[error("change {secret}: precondition failed: {}", describe_active(*.active))]
    Precondition {
        /// The secret.
        secret: String,
        /// Its active version, or `None` if it does not exist.
        active: Option<Version>,
    },
    /// An equal grant exists, and the new one lasts longer or reaches further in one way only.
    #[error(
        "add grant: grant {0} is equal, but lasts longer or reaches further than you may grant; \
         remove it first, or ask for the same end"
    )]
    GrantExists(u64),
    /// The secret does not exist.
    #[error("change {0}: there is no such secret")]
    NotFound(String),
    /// The version does not exist.
    #[error("change {secret}: it has no version {version}")]
    NoVersion {
        /// The secret.
        secret: String,
        /// The version.
        version: Version,
    },
    /// The version was destroyed.
    #[error("change {secret}: version {version} was destroyed")]
    Destroyed {
        /// The secret.
        secret: String,
        /// The version.
        version: Version,
    },
    /// The version is in use.
    #[error("destroy {secret} version {version}: it is in use; roll back or rotate first")]
    InUse {
        /// The secret.
        secret: String,
        /// The version.
        version: Version,
    },
    /// Its references cannot be.
    #[error("write {secret}")]
    References {
        /// The secret.
        secret: String,
        /// Why.
        source: Box<ReferenceError>,
    },
    /// Other secrets refer to it.
    #[error(
        "delete {secret}: {} secrets refer to it; change or delete these first",
        referrers.len()
    )]
    Referenced {
        /// The secret.
        secret: String,
        /// Which ones. Who asks may not know of all of them.
        referrers: Vec<SecretRef>,
    },
    /// The secret is not deleted.
    #[error("undelete {0}: it is not deleted")]
    NotDeleted(String),
    /// A bundle would exceed what a pod can hold.
    #[error("write bundle {bundle}")]
    TooLarge {
        /// The bundle.
        bundle: Scope,
        /// The exceeded limit.
        source: BundleTooLarge,
    },
    /// The scope is full.
    #[error("write to {scope}: a scope holds at most {maximum} secrets")]
    ScopeFull {
        /// The scope.
        scope: Scope,
        /// The maximum.
        maximum: usize,
    },
    /// The secret would have too many tags.
    #[error("tag {secret}: a secret has at most {maximum} tags; remove some first")]
    TooManyTags {
        /// The secret.
        secret: String,
        /// The maximum.
        maximum: usize,
    },
    /// The request was already done; this is the stored JSON response.
    #[error("change secrets: the request was already done")]
    Replayed(String),
    /// The idempotency key was used for another request.
    #[error("change secrets: the idempotency key was used for another request")]
    KeyReused,
    /// Another replica holds the lease.
    #[error("change secrets: another replica holds the lease {0}")]
    Fenced(String),
    /// The ledger failed.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl From<DatabaseError> for ChangeError {
    fn from(error: DatabaseError) -> Self {
        Self::Repository(error.into())
    }
}

fn describe_active(active: Option<Version>) -> String {
    active.map_or_else(
        || "there is no such secret".to_owned(),
        |version| format!("its active version is {version}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_for_the_right_active_version() {
        let (none, two) = (None, Some(Version(2)));
        for (condition, absent, at_two) in [
            (Condition::None, true, true),
            (Condition::Absent, true, false),
            (Condition::Present, false, true),
            (Condition::Active(Version(2)), false, true),
            (Condition::Active(Version(1)), false, false),
            (Condition::Unmet, false, false),
        ] {
            assert_eq!(
                (condition.holds(none), condition.holds(two)),
                (absent, at_two),
                "{condition:?}"
            );
        }
    }
}
