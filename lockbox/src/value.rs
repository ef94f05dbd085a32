//! What a value is called: its id in the ledger, and the backend's own reference to it. Pure.

use std::fmt;

use contract::{Redacted, Scope, SecretName, Version};

/// Names one version of one secret.
#[derive(Clone, Copy, Debug)]
pub struct ValueId<'a> {
    /// The scope.
    pub scope: &'a Scope,
    /// The secret's name.
    pub name: &'a SecretName,
    /// The version.
    pub version: Version,
}

impl fmt::Display for ValueId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} version {}", self.scope, self.name, self.version)
    }
}

/// One value to write.
#[derive(Clone, Copy, Debug)]
pub struct Put<'a> {
    /// The secret's name.
    pub name: &'a SecretName,
    /// The version that the value becomes.
    pub version: Version,
    /// The value.
    pub value: &'a Redacted,
}

impl<'a> Put<'a> {
    /// The id that the value gets in `scope`.
    #[must_use]
    pub fn id(self, scope: &'a Scope) -> ValueId<'a> {
        ValueId { scope, name: self.name, version: self.version }
    }
}

/// A backend's own name for one value. It says nothing about the value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference(String);

impl Reference {
    /// Reads a reference as the ledger keeps it.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text that the ledger keeps.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A version of a secret that a backend has stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVersion {
    /// The version it was written as.
    pub version: Version,
    /// The backend's name for it.
    pub reference: Reference,
}
