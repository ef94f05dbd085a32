//! Audit records as they are stored, exported and verified.

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde::{Deserialize, Serialize};

use crate::{Event, Hash, Pod, chain_hash};

/// An event with its sequence number, its time and its hash.
///
/// Actions, outcomes and kinds are plain strings here, so that an older program can verify records
/// written by a newer one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The sequence number: 1, 2, 3 … without gaps.
    pub sequence: u64,
    /// The time, truncated to milliseconds.
    pub at: Timestamp,
    /// `user`, `token`, `pod`, `store`, `system` or `anonymous`.
    pub actor_type: String,
    /// The actor's name within its type.
    pub actor_id: String,
    /// The action, see [`crate::Action`].
    pub action: String,
    /// The kind of resource, see [`crate::ResourceKind`].
    pub resource_type: String,
    /// The resource's name.
    pub resource_id: String,
    /// The scope, if the resource has one.
    pub scope: Option<String>,
    /// The version of a secret or the generation of a bundle.
    pub version: Option<u64>,
    /// `allowed`, `denied` or `failed`.
    pub outcome: String,
    /// The client's IP address.
    pub address: Option<String>,
    /// The client's `User-Agent`.
    pub user_agent: Option<String>,
    /// The request's trace id.
    pub trace_id: Option<String>,
    /// The pod, if the actor is one.
    pub pod: Option<Pod>,
    /// The rule that decided, or the reason for a refusal.
    pub details: Option<String>,
    /// SHA-256 over the previous record's hash and this record's canonical bytes.
    pub hash: Hash,
}

impl Record {
    /// The actor as it is printed: `user:ada`, or `anonymous`.
    #[must_use]
    pub fn actor(&self) -> String {
        if self.actor_id.is_empty() {
            self.actor_type.clone()
        } else {
            format!("{}:{}", self.actor_type, self.actor_id)
        }
    }

    /// The record of `event` that follows record `sequence - 1` with the hash `previous`.
    #[must_use]
    pub fn new(sequence: u64, at: Timestamp, event: Event, previous: &Hash) -> Self {
        let Event { actor, action, resource, version, outcome, origin, details } = event;
        let mut record = Self {
            sequence,
            at: truncate_to_millis(at),
            actor_type: actor.kind().to_owned(),
            actor_id: actor.id(),
            action: action.as_str().to_owned(),
            resource_type: resource.kind.as_str().to_owned(),
            resource_id: resource.id,
            scope: resource.scope,
            version,
            outcome: outcome.as_str().to_owned(),
            address: origin.address.map(|address| address.to_string()),
            user_agent: origin.user_agent,
            trace_id: origin.trace_id,
            pod: actor.into_pod(),
            details,
            hash: Hash::GENESIS,
        };
        record.hash = chain_hash(previous, &record);
        record
    }
}

/// Truncates to what the database stores. This must happen before hashing, because the hash covers
/// the full timestamp.
pub(crate) fn truncate_to_millis(at: Timestamp) -> Timestamp {
    at.round(TimestampRound::new().smallest(Unit::Millisecond).mode(RoundMode::Trunc)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_record_survives_a_json_round_trip() {
        let record = fixture::record(7);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        assert_eq!(record.at.subsec_nanosecond() % 1_000_000, 0);
        // A field that the hash does not cover is rejected.
        let more = text.replacen('{', "{\"note\":\"trust me\",", 1);
        assert!(serde_json::from_str::<Record>(&more).is_err());
    }
}
