//! The cluster's version, on which it depends what a pod may hold.

use std::fmt;
use std::str::FromStr;

/// A version of Kubernetes, without its patch level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KubernetesVersion {
    major: u32,
    minor: u32,
}

/// The text is not a [`KubernetesVersion`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse Kubernetes version {0:?}: must be as 1.35 or v1.35.4")]
pub struct KubernetesVersionError(String);

impl KubernetesVersion {
    /// The first whose API server evaluates match conditions by default, so that the webhook is
    /// asked about pods with secrets alone.
    pub const MATCH_CONDITIONS: Self = Self { major: 1, minor: 28 };
    /// The first with native sidecars by default.
    pub const NATIVE_SIDECARS: Self = Self { major: 1, minor: 29 };
    /// The first with variables from files (`fileKeyRef`) by default.
    pub const FILE_KEYS: Self = Self { major: 1, minor: 35 };
    /// The first in which a container's exit restarts all containers by default.
    pub const RESTARTS_ALL_CONTAINERS: Self = Self { major: 1, minor: 36 };
    /// The newest that this build was tested with.
    pub const NEWEST: Self = Self { major: 1, minor: 37 };

    /// The version with these numbers, as the API server's `/version` has them. Some vendors append
    /// to the minor one, as in `29+`.
    #[must_use]
    pub fn from_parts(major: &str, minor: &str) -> Option<Self> {
        let number = |text: &str| {
            let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
            let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            is_plain.then(|| digits.parse().ok()).flatten()
        };
        Some(Self { major: number(major)?, minor: number(minor)? })
    }
}

impl FromStr for KubernetesVersion {
    type Err = KubernetesVersionError;

    fn from_str(text: &str) -> Result<Self, KubernetesVersionError> {
        let mut parts = text.strip_prefix('v').unwrap_or(text).splitn(3, '.');
        let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        Self::from_parts(major, minor)
            .ok_or_else(|| KubernetesVersionError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_kubernetes_and_its_vendors_write_them() {
        for (text, expected) in [
            ("1.35", "1.35"),
            ("v1.35.4", "1.35"),
            ("1.34+", "1.34"),
            ("v1.29.15-gke.100", "1.29"),
            ("1.29-gke.1", "1.29"),
            ("2.0", "2.0"),
        ] {
            assert_eq!(text.parse::<KubernetesVersion>().unwrap().to_string(), expected);
        }
        for text in ["", "1", "v1", "1.", ".35", "1.x", "+1.+2", "latest"] {
            assert!(text.parse::<KubernetesVersion>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn versions_have_an_order() {
        let at = |text: &str| text.parse::<KubernetesVersion>().unwrap();
        assert!(at("1.34") < KubernetesVersion::FILE_KEYS && at("1.9") < at("1.10"));
        assert!(at("2.0") > KubernetesVersion::NEWEST);
    }
}
