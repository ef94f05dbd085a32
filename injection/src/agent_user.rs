//! The user that agents run as where the pod does not say its own.

use std::fmt;
use std::str::FromStr;

/// The user that agents run as where the application's is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgentUser {
    /// 65532.
    #[default]
    Fixed,
    /// None is named, since the namespace assigns one from its range, as OpenShift's do.
    Namespace,
}

/// Not an [`AgentUser`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse agent user {0:?}: must be fixed or namespace")]
pub struct AgentUserError(String);

impl AgentUser {
    /// Both, in the order of the documentation.
    pub const ALL: [Self; 2] = [Self::Fixed, Self::Namespace];

    /// The word as the configuration spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Namespace => "namespace",
        }
    }
}

impl fmt::Display for AgentUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AgentUser {
    type Err = AgentUserError;

    fn from_str(text: &str) -> Result<Self, AgentUserError> {
        Self::ALL
            .into_iter()
            .find(|user| user.as_str() == text)
            .ok_or_else(|| AgentUserError(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_words() {
        for user in AgentUser::ALL {
            assert_eq!(user.to_string().parse(), Ok(user));
        }
        assert!("root".parse::<AgentUser>().is_err());
    }
}
