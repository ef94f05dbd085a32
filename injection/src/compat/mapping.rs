//! What became of a pod's annotations, for people.

use super::table::Treatment;

/// What became of one annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Its key.
    pub annotation: String,
    /// Whether it has an effect.
    pub treatment: Treatment,
    /// What it means here, or why it has none.
    pub outcome: String,
}

/// What became of a pod's annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Each annotation, in the order of the keys.
    pub annotations: Vec<Mapped>,
    /// What keeps the pod from being admitted.
    pub errors: Vec<String>,
}
