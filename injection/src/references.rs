//! References to secrets of other stores in the values of variables, which the operator maps to
//! bundles: the way from Bank-Vaults and from 1Password's injector.
//!
//! A reference is a name and no secret. Where a rule covers it, it means a key of a bundle; where
//! none does, it is no business of ours and stays.

mod grammar;
mod rules;

use contract::annotations;

pub(crate) use grammar::{ForeignReference, ReferenceFault, Scheme};
pub(crate) use rules::{MAX_KEYS, MAX_RULES, MappedReference};
pub use rules::{ReferenceRuleError, ReferenceRules};

/// Why the pod cannot have the secret that a reference means.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReferenceProblem {
    #[error("{0}")]
    Fault(#[from] ReferenceFault),
    #[error("the pod does not ask for it: write {}: {bundles}", annotations::SECRETS)]
    NotAsked { bundles: String },
    #[error("the bundle has no key {key}: write it with `{set}`")]
    NoSuchKey { key: String, set: String },
    #[error(
        "it means the key {key} of it as another reference does ({other}), and they are two \
         secrets: have the operator give one of them another name (`keys` of its rule)"
    )]
    SameKey { key: String, other: String },
}
