//! What a change of secrets is told, and why one does not become part of the ledger.

use std::fmt;
use std::sync::Arc;

use contract::{Scope, SecretName, Version};
use jiff::Timestamp;
use lockbox::Stored;

use super::{Bundle, Fence, RepositoryError};
use crate::audit::Event;
use crate::snapshot::TooLarge;

/// Who changes what, and when.
#[derive(Clone, Debug)]
pub struct Change {
    /// The scope that is written to.
    pub scope: Scope,
    /// When.
    pub at: Timestamp,
    /// Who, for people to read.
    pub by: String,
    /// What the audit trail says about it: in the same transaction.
    pub events: Vec<Event>,
    /// The request that may be sent again, and how its answer is made: in the same transaction too.
    pub once: Option<(Idempotency, Respond)>,
    /// What a leader writes, it writes under its fence.
    pub fence: Option<Fence>,
}

/// A version that the store has and the ledger does not know yet.
#[derive(Clone, Debug)]
pub struct NewVersion {
    /// The secret.
    pub name: SecretName,
    /// The version, and the store's name for its value.
    pub stored: Stored,
    /// The value's length in bytes.
    pub size: u64,
    /// What must hold.
    pub condition: Condition,
}

/// What must hold of a secret for a change of it to happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    None,
    /// There is no such secret.
    Absent,
    /// There is one.
    Present,
    /// There is one, and this version of it is active.
    Active(Version),
}

impl Condition {
    /// Whether it holds where that is the active version.
    #[must_use]
    pub fn holds(self, active: Option<Version>) -> bool {
        match self {
            Self::None => true,
            Self::Absent => active.is_none(),
            Self::Present => active.is_some(),
            Self::Active(version) => active == Some(version),
        }
    }
}

/// Makes a request that is sent twice be done once. The client's key is not kept: the fingerprint
/// of the request is keyed by it.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// Who asks.
    pub principal: String,
    /// SHA-256 of the client's key.
    pub key_hash: Vec<u8>,
    /// HMAC-SHA256 of the request under the client's key.
    pub fingerprint: Vec<u8>,
}

/// Makes the answer to a change, JSON, of what became of the bundles. It holds no value.
#[derive(Clone)]
pub struct Respond(Arc<Answering>);

type Answering = dyn Fn(&[Bundle]) -> String + Send + Sync;

impl Respond {
    /// An answer made by this function.
    pub fn new(answer: impl Fn(&[Bundle]) -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }

    pub(super) fn to(&self, bundles: &[Bundle]) -> String {
        (self.0)(bundles)
    }
}

impl fmt::Debug for Respond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Respond")
    }
}

/// Why a change of secrets did not become part of the ledger. Nothing of it did.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Somebody else was faster.
    #[error("write {0}: another version was written at the same time")]
    Conflict(String),
    /// What the caller said must hold does not.
    #[error("change {secret}: {}, which is not what the request says it must be", active_words(*.active))]
    Precondition {
        /// The secret.
        secret: String,
        /// Its active version; `None` where there is no such secret.
        active: Option<Version>,
    },
    /// There is no such secret.
    #[error("change {0}: there is no such secret")]
    NotFound(String),
    /// There is no such version.
    #[error("change {secret}: it has no version {version}")]
    NoVersion {
        /// The secret.
        secret: String,
        /// The version.
        version: Version,
    },
    /// The version's value is gone.
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
    /// It is there.
    #[error("undelete {0}: it is not deleted")]
    NotDeleted(String),
    /// A bundle would not fit into a pod.
    #[error("write bundle {bundle}")]
    TooLarge {
        /// The bundle.
        bundle: Scope,
        /// What is too much.
        source: TooLarge,
    },
    /// The same request was done before; this is what was answered, JSON.
    #[error("change secrets: the request was done before")]
    Repeated(String),
    /// The key was used for another request.
    #[error("change secrets: the idempotency key was used for another request")]
    KeyReused,
    /// Another replica leads now.
    #[error("change secrets: the lease {0} is held by another replica now")]
    Fenced(String),
    /// The ledger itself.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

fn active_words(active: Option<Version>) -> String {
    active.map_or_else(
        || "there is no such secret".to_owned(),
        |version| format!("its active version is {version}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        let (none, two) = (None, Some(Version(2)));
        for (condition, absent, at_two) in [
            (Condition::None, true, true),
            (Condition::Absent, true, false),
            (Condition::Present, false, true),
            (Condition::Active(Version(2)), false, true),
            (Condition::Active(Version(1)), false, false),
        ] {
            assert_eq!(
                (condition.holds(none), condition.holds(two)),
                (absent, at_two),
                "{condition:?}"
            );
        }
    }
}
