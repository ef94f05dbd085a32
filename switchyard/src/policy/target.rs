//! What a request is about, and how far a right reaches.

use std::collections::BTreeSet;
use std::fmt;

use contract::{Scope, SecretName};

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// All there is.
    Everything,
    /// A scope.
    Scope(&'a Scope),
    /// One secret of a scope.
    Secret(&'a Scope, &'a SecretName),
}

impl<'a> Target<'a> {
    /// The scope, unless everything is meant.
    #[must_use]
    pub fn scope(self) -> Option<&'a Scope> {
        match self {
            Self::Everything => None,
            Self::Scope(scope) | Self::Secret(scope, _) => Some(scope),
        }
    }

    /// The secret, where one is meant.
    #[must_use]
    pub fn secret(self) -> Option<&'a SecretName> {
        match self {
            Self::Everything | Self::Scope(_) => None,
            Self::Secret(_, secret) => Some(secret),
        }
    }

    /// A scope, or everything where there is none.
    #[must_use]
    pub fn of(scope: Option<&'a Scope>) -> Self {
        scope.map_or(Self::Everything, Self::Scope)
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::Scope(scope) => write!(f, "{scope}"),
            Self::Secret(scope, secret) => write!(f, "{scope}/{secret}"),
        }
    }
}

/// How far a right reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everywhere.
    Everything,
    /// This scope and all below it.
    Scope(Scope),
}

impl Reach {
    /// Whether all of `target` is within.
    #[must_use]
    pub fn covers(&self, target: Target<'_>) -> bool {
        match (self, target.scope()) {
            (Self::Everything, _) => true,
            (Self::Scope(_), None) => false,
            (Self::Scope(within), Some(scope)) => within.contains(scope),
        }
    }

    /// The scope, unless it is everywhere.
    #[must_use]
    pub fn scope(&self) -> Option<&Scope> {
        match self {
            Self::Everything => None,
            Self::Scope(scope) => Some(scope),
        }
    }
}

impl From<Option<Scope>> for Reach {
    fn from(scope: Option<Scope>) -> Self {
        scope.map_or(Self::Everything, Self::Scope)
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everywhere"),
            Self::Scope(scope) => write!(f, "in {scope}"),
        }
    }
}

/// Which of several secrets are meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Which {
    /// All.
    All,
    /// These, where they are there.
    Only(BTreeSet<SecretName>),
}

impl Which {
    /// Whether `name` is one of them.
    #[must_use]
    pub fn has(&self, name: &SecretName) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}
