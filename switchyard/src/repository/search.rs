//! What a search over all scopes looks for.

use contract::metadata::{Tag, Tags};
use contract::{Scope, SecretName};
use jiff::Timestamp;

use super::Secret;

/// The most tags of one search.
pub const MAX_SEARCHED_TAGS: usize = 4;

/// Selects secrets of a scope and of those below it.
#[derive(Clone, Debug, Default)]
pub struct SearchQuery {
    /// The scope; `None` is every one.
    pub within: Option<Scope>,
    /// Only what comes after this secret.
    pub after: Option<(Scope, SecretName)>,
    /// Only names with this text, in whatever case.
    pub name: String,
    /// Only secrets with all of these tags, at most [`MAX_SEARCHED_TAGS`]. Without a value,
    /// whatever value it has.
    pub tags: Vec<Tag>,
    /// Only those whose credential ends before this time.
    pub expiring_before: Option<Timestamp>,
    /// Only those that nobody read since this time.
    pub unused_since: Option<Timestamp>,
    /// The maximum number of results.
    pub limit: u32,
}

impl SearchQuery {
    /// Whether a secret has all the tags.
    #[must_use]
    pub fn matches_tags(&self, tags: &Tags) -> bool {
        self.tags.iter().all(|Tag { key, value }| match value {
            Some(value) => tags.get(key) == Some(value),
            None => tags.contains_key(key),
        })
    }
}

/// A secret and its scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopedSecret {
    /// The scope.
    pub scope: Scope,
    /// The secret.
    pub secret: Secret,
}
