//! What a request is about, and where a right applies.

use std::collections::BTreeSet;
use std::fmt;

use contract::{Scope, SecretName};

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Everything.
    Everything,
    /// A scope.
    Scope(&'a Scope),
    /// One secret of a scope.
    Secret(&'a Scope, &'a SecretName),
}

impl<'a> Target<'a> {
    /// The scope. `None` for everything.
    #[must_use]
    pub fn scope(self) -> Option<&'a Scope> {
        match self {
            Self::Everything => None,
            Self::Scope(scope) | Self::Secret(scope, _) => Some(scope),
        }
    }

    /// The secret, if the target is one.
    #[must_use]
    pub fn secret(self) -> Option<&'a SecretName> {
        match self {
            Self::Everything | Self::Scope(_) => None,
            Self::Secret(_, secret) => Some(secret),
        }
    }

    /// The target of an optional scope: `None` is everything.
    #[must_use]
    pub fn from_scope(scope: Option<&'a Scope>) -> Self {
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

/// Where a role applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleScope {
    /// Everywhere.
    Everything,
    /// This scope and everything below it.
    Scope(Scope),
}

impl RoleScope {
    /// Whether it covers all of `target`.
    #[must_use]
    pub fn covers(&self, target: Target<'_>) -> bool {
        match (self, target.scope()) {
            (Self::Everything, _) => true,
            (Self::Scope(_), None) => false,
            (Self::Scope(within), Some(scope)) => within.contains(scope),
        }
    }

    /// The scope. `None` for everywhere.
    #[must_use]
    pub fn scope(&self) -> Option<&Scope> {
        match self {
            Self::Everything => None,
            Self::Scope(scope) => Some(scope),
        }
    }
}

impl From<Option<Scope>> for RoleScope {
    fn from(scope: Option<Scope>) -> Self {
        scope.map_or(Self::Everything, Self::Scope)
    }
}

impl fmt::Display for RoleScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everywhere"),
            Self::Scope(scope) => write!(f, "in {scope}"),
        }
    }
}

/// Selects secrets by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretFilter {
    /// All secrets.
    All,
    /// Only these secrets.
    Only(BTreeSet<SecretName>),
}

impl SecretFilter {
    /// Whether the filter selects `name`.
    #[must_use]
    pub fn matches(&self, name: &SecretName) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}
