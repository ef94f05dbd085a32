//! A change of what is written beside a value.

use contract::metadata::MetadataChange;
use contract::{Scope, SecretName};
use jiff::Timestamp;

use super::{Condition, Idempotency, Secret};
use ::audit::Event;

/// A change of notes, tags and the active version's expiry, with its audit event.
#[derive(Clone, Debug)]
pub struct MetadataEdit {
    /// The secret's scope.
    pub scope: Scope,
    /// The secret.
    pub name: SecretName,
    /// The time of the change.
    pub at: Timestamp,
    /// What changes for the secret as a whole.
    pub change: MetadataChange,
    /// The new expiry of the active version; `Some(None)` removes it.
    pub expires_at: Option<Option<Timestamp>>,
    /// The precondition.
    pub condition: Condition,
    /// The audit event, whose version is set to the active one.
    pub event: Event,
    /// The request, if it is idempotent.
    pub idempotency: Option<Idempotency>,
    /// Builds the response to keep for when the request is sent again.
    pub respond: fn(&Scope, &Secret) -> String,
}

/// How many active versions have a credential that ended or ends soon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpiryCounts {
    /// Those whose credential ended.
    pub ended: u64,
    /// Those whose credential ends soon.
    pub soon: u64,
    /// Some of them, first the ones that end first, as `scope/name`.
    pub first: Vec<(String, Timestamp)>,
}
