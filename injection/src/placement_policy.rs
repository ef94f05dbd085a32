//! The operator's choice of a placement.

use std::fmt;
use std::str::FromStr;

/// The operator's choice of a placement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlacementPolicy {
    /// A native sidecar.
    #[default]
    Native,
    /// The first container, where it can be and the pod does not ask for a native sidecar.
    First,
    /// A native sidecar, unless the pod asks to have it first.
    Either,
}

/// Not a [`PlacementPolicy`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse placement policy {0:?}: must be native, first or either")]
pub struct PlacementPolicyError(String);

impl PlacementPolicy {
    /// Every policy, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Native, Self::First, Self::Either];

    /// The policy as the configuration spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::First => "first",
            Self::Either => "either",
        }
    }
}

impl fmt::Display for PlacementPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PlacementPolicy {
    type Err = PlacementPolicyError;

    fn from_str(text: &str) -> Result<Self, PlacementPolicyError> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.as_str() == text)
            .ok_or_else(|| PlacementPolicyError(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_words() {
        for policy in PlacementPolicy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert!("last".parse::<PlacementPolicy>().is_err());
    }
}
