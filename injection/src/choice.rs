//! The operator's settings that are one of some words.

use std::fmt;
use std::str::FromStr;

/// Not one of the words of a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse {what} {word:?}: must be one of {known}")]
pub struct UnknownChoice {
    /// What the word should have been.
    what: &'static str,
    /// The word, cut to a length.
    word: String,
    /// All that are known.
    known: String,
}

/// An enum with a word for each variant: `choice! { what it is, Name { Variant = "word", … } }`.
macro_rules! choice {
    (
        $what:literal,
        $(#[$meta:meta])*
        $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])* $variant),+
        }

        impl $name {
            /// All of them, in the order of the documentation.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// The word, as the configuration has it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownChoice;

            fn from_str(text: &str) -> Result<Self, UnknownChoice> {
                let unknown = || UnknownChoice {
                    what: $what,
                    word: text.chars().take(80).collect(),
                    known: [$($word),+].join(", "),
                };
                Self::ALL.into_iter().find(|it| it.as_str() == text).ok_or_else(unknown)
            }
        }
    };
}

choice! {
    "placement policy",
    /// The operator's choice of a placement.
    PlacementPolicy {
        /// A native sidecar.
        #[default]
        Native = "native",
        /// The first container, where it can be and the pod does not ask for a native sidecar.
        First = "first",
        /// A native sidecar, unless the pod asks to have it first.
        Either = "either",
    }
}

choice! {
    "source",
    /// Where agents get secrets from.
    SecretSource {
        /// The control plane.
        #[default]
        Switchyard = "switchyard",
        /// Vault or OpenBao, without switchyard.
        Vault = "vault",
    }
}

choice! {
    "agent user",
    /// The user that agents run as where the application's is not known.
    AgentUser {
        /// 65532.
        #[default]
        Fixed = "fixed",
        /// None is named, since the namespace assigns one from its range, as OpenShift's do.
        Namespace = "namespace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_words() {
        for policy in PlacementPolicy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        for user in AgentUser::ALL {
            assert_eq!(user.to_string().parse(), Ok(user));
        }
        for source in SecretSource::ALL {
            assert_eq!(source.to_string().parse(), Ok(source));
        }
        assert_eq!(
            "last".parse::<PlacementPolicy>().unwrap_err().to_string(),
            "parse placement policy \"last\": must be one of native, first, either"
        );
        assert!("root".parse::<AgentUser>().is_err());
    }
}
