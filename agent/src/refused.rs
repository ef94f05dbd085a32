//! The generations that failed a check in this pod. They are not written again, and switchyard does
//! not send them again. Pure.

use contract::agent_status::RefusedGeneration;
use contract::stream::BundleGeneration;
use serde::{Deserialize, Serialize};

/// The most that are kept: each bundle of a pod may have failed a few times.
const MAX_REFUSED: usize = 32;

/// The longest reason that is kept, in characters.
const MAX_REASON: usize = 500;

/// The refused generations, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RefusedGenerations(Vec<RefusedGeneration>);

impl RefusedGenerations {
    /// The longest record, in bytes. A character of a reason takes up to 12 bytes in JSON.
    pub const MAX_BYTES: usize = MAX_REFUSED * (MAX_REASON * 12 + 1024);

    /// Adds what of `failed` is not in `held`: a pod with several bundles goes on with the others.
    /// `at` is in seconds since 1970.
    pub fn add(
        &mut self,
        failed: &[BundleGeneration],
        held: &[BundleGeneration],
        (reason, at): (&str, u64),
    ) {
        for generation in failed.iter().filter(|it| !held.contains(it)) {
            self.0.retain(|other| other.generation != *generation);
            let reason = reason.chars().take(MAX_REASON).collect();
            let (generation, at) = (generation.clone(), Some(at));
            self.0.push(RefusedGeneration { generation, reason, at });
        }
        let surplus = self.0.len().saturating_sub(MAX_REFUSED);
        self.0.drain(..surplus);
    }

    /// Why one of these generations was refused, if one was.
    #[must_use]
    pub fn reason(&self, wanted: &[BundleGeneration]) -> Option<&str> {
        let found = self.0.iter().find(|it| wanted.contains(&it.generation));
        found.map(|it| it.reason.as_str())
    }

    /// The generations.
    #[must_use]
    pub fn generations(&self) -> Vec<BundleGeneration> {
        self.0.iter().map(|it| it.generation.clone()).collect()
    }

    /// Each with its reason.
    #[must_use]
    pub fn as_slice(&self) -> &[RefusedGeneration] {
        &self.0
    }

    /// The record of an earlier run, or `None` if it is none.
    #[must_use]
    pub fn from_json(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// The record for the next run.
    #[must_use]
    pub fn to_json(&self) -> String {
        // The type has only lists and texts, which always can be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use contract::Generation;

    use super::*;

    fn at(bundle: &str, number: u64, tag: &str) -> BundleGeneration {
        BundleGeneration {
            bundle: bundle.parse().unwrap(),
            generation: Generation(number),
            tag: Some(tag.parse().unwrap()),
        }
    }

    #[test]
    fn what_was_held_before_is_not_refused() {
        let mut refused = RefusedGenerations::default();
        let (api, shared) = (at("api-prod", 5, "a"), at("shared-prod", 2, "b"));
        refused.add(
            &[api.clone(), shared.clone()],
            std::slice::from_ref(&shared),
            ("tls=1: broken", 7),
        );
        assert_eq!(refused.generations(), std::slice::from_ref(&api));
        assert_eq!(refused.reason(&[shared.clone(), api.clone()]), Some("tls=1: broken"));
        assert_eq!(refused.reason(std::slice::from_ref(&shared)), None);
        // The same number from another time is another generation.
        assert_eq!(refused.reason(&[at("api-prod", 5, "c")]), None);
        refused.add(std::slice::from_ref(&api), &[], ("again", 8));
        assert_eq!(refused.generations().len(), 1);
        assert_eq!(refused.as_slice()[0].reason, "again");
    }

    #[test]
    fn a_record_is_bounded_and_round_trips() {
        let mut refused = RefusedGenerations::default();
        for number in 0..100 {
            refused.add(&[at("api-prod", number, "a")], &[], (&"\u{1}".repeat(1_000), 7));
        }
        assert_eq!(refused.generations().len(), MAX_REFUSED);
        let last = refused.as_slice().last().unwrap();
        assert_eq!(last.generation.generation, Generation(99));
        let json = refused.to_json();
        assert!(json.len() <= RefusedGenerations::MAX_BYTES, "{}", json.len());
        assert_eq!(RefusedGenerations::from_json(json.as_bytes()), Some(refused));
        assert_eq!(RefusedGenerations::from_json(b""), None);
    }
}
