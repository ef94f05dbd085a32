//! A record of the trail, as everybody sees it.

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde::{Deserialize, Serialize};

use crate::{Event, Hash, Pod, chain};

/// An event with its number, its time and its place in the chain.
///
/// Words stay texts here: whoever reads a trail must be able to check what a newer program wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its number, without gaps from 1.
    pub sequence: u64,
    /// When, to the millisecond.
    pub at: Timestamp,
    /// `user`, `token`, `pod`, `store`, `system` or `anonymous`.
    pub actor_type: String,
    /// Who.
    pub actor_id: String,
    /// What was done.
    pub action: String,
    /// To what kind of thing.
    pub resource_type: String,
    /// To which.
    pub resource_id: String,
    /// In which scope.
    pub scope: Option<String>,
    /// Which version of a secret, or which generation of a bundle.
    pub version: Option<u64>,
    /// What came of it.
    pub outcome: String,
    /// From where.
    pub address: Option<String>,
    /// With which program.
    pub user_agent: Option<String>,
    /// In which request.
    pub trace_id: Option<String>,
    /// Which pod, where it was one.
    pub pod: Option<Pod>,
    /// The rule that decided, or the reason of a refusal.
    pub details: Option<String>,
    /// SHA-256 over the hash of the record before and this record.
    pub hash: Hash,
}

impl Record {
    /// The record of an event that comes behind the record number `sequence - 1`, whose hash is
    /// `previous`.
    #[must_use]
    pub fn new(sequence: u64, at: Timestamp, event: &Event, previous: &Hash) -> Self {
        let Event { actor, action, resource, version, outcome, origin, details } = event;
        let mut record = Self {
            sequence,
            at: to_the_millisecond(at),
            actor_type: actor.kind().to_owned(),
            actor_id: actor.id(),
            action: action.as_str().to_owned(),
            resource_type: resource.kind.as_str().to_owned(),
            resource_id: resource.id.clone(),
            scope: resource.scope.clone(),
            version: *version,
            outcome: outcome.as_str().to_owned(),
            address: origin.address.map(|address| address.to_string()),
            user_agent: origin.user_agent.clone(),
            trace_id: origin.trace_id.clone(),
            pod: actor.pod().cloned(),
            details: details.clone(),
            hash: Hash::ORIGIN,
        };
        record.hash = chain(previous, &record);
        record
    }
}

/// What the database keeps of a time. The hash covers all of a time, so it must be cut before.
pub(crate) fn to_the_millisecond(at: Timestamp) -> Timestamp {
    at.round(TimestampRound::new().smallest(Unit::Millisecond).mode(RoundMode::Trunc)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_record_is_read_back_as_it_was() {
        let record = fixture::record(7);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        assert_eq!(record.at.subsec_nanosecond() % 1_000_000, 0);
        // Nothing is smuggled in beside what the hash covers.
        let more = text.replacen('{', "{\"note\":\"trust me\",", 1);
        assert!(serde_json::from_str::<Record>(&more).is_err());
    }
}
