//! References between secrets: a value may hold `${shop.prod/DB_HOST}`. Pure.
//!
//! Only a value that was written with references is a template; in every other one this text means
//! nothing. What a template refers to is kept beside it, so that nobody needs to open a value to
//! know which secrets it follows.

mod compose;
mod graph;
mod template;

use contract::SecretRef;
use contract::layout::MAX_VALUE_BYTES;

pub(crate) use compose::{ComposeError, Ingredient, compose};
pub(crate) use graph::{Node, Plan, plan};
pub use template::ValueReferences;
pub(crate) use template::{Template, TemplateError};

/// How many references follow each other, at most.
pub(crate) const MAX_DEPTH: usize = 8;

/// How many secrets one value refers to, at most.
pub(crate) const MAX_TARGETS: usize = 32;

/// How many secrets one value refers to, at most, with those that they refer to.
pub(crate) const MAX_ALL_TARGETS: usize = 256;

/// How many secrets follow one secret, at most.
pub(crate) const MAX_REFERRERS: usize = 1000;

/// Why references cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The target does not exist. Somebody who may not know of a secret gets the same answer.
    #[error("there is no secret {0} to refer to, or you may not see it")]
    Missing(SecretRef),
    /// A secret would refer to itself.
    #[error("its reference to {0} leads back to it")]
    Cycle(SecretRef),
    /// The chain is too long.
    #[error("more than {MAX_DEPTH} references would follow each other")]
    TooDeep,
    /// Too many secrets would be resolved.
    #[error("it would be composed of more than {MAX_ALL_TARGETS} secrets")]
    TooManyTargets,
    /// Too many bundles would follow one secret.
    #[error("more than {MAX_REFERRERS} secrets would refer to one of its targets")]
    TooManyReferrers,
    /// The value would be too large.
    #[error("its resolved value would have {0} bytes; the maximum is {MAX_VALUE_BYTES}")]
    TooLarge(u64),
}
