//! Where the agent is among a pod's containers.

use std::fmt;
use std::str::FromStr;

/// Where an agent is that stays beside the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// A native sidecar: an init container that keeps running (Kubernetes 1.29). The application
    /// cannot start before its files are there.
    Native,
    /// The first of the ordinary containers. Kubelet starts the next one when its hook has ended,
    /// and also when it has failed. The pod does not complete by itself.
    First,
}

/// Not a [`Placement`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse placement {0:?}: must be native or first")]
pub struct PlacementError(String);

impl Placement {
    /// Every placement, in the order of the documentation.
    pub const ALL: [Self; 2] = [Self::Native, Self::First];

    /// The placement as the annotation spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::First => "first",
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Placement {
    type Err = PlacementError;

    fn from_str(text: &str) -> Result<Self, PlacementError> {
        Self::ALL
            .into_iter()
            .find(|placement| placement.as_str() == text)
            .ok_or_else(|| PlacementError(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placements_are_words() {
        for placement in Placement::ALL {
            assert_eq!(placement.to_string().parse(), Ok(placement));
        }
        assert_eq!(
            "last".parse::<Placement>().unwrap_err().to_string(),
            "parse placement \"last\": must be native or first"
        );
    }
}
