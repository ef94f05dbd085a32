//! The name of a bundle, and the numbers of its generations and of secret versions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::scope::{Label, LabelError};

/// The name of a bundle: `<service>-<environment>`, as `api-prod`. It is also the name of the
/// `SecretBundle` object that announces the bundle's keys in a namespace.
///
/// Both halves may hold dashes, so the name alone does not say where one ends: the environment
/// comes from the namespace's label, and [`BundleRef::service_in`] takes it off.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BundleRef(String);

/// Why a text is not a [`BundleRef`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "parse bundle name {0:?}: must be <service>-<environment>, of a-z, 0-9 and '-', as api-prod"
)]
pub struct BundleRefError(String);

impl BundleRef {
    /// The bundle of `service` in `environment`.
    #[must_use]
    pub fn of(service: &Label, environment: &Label) -> Self {
        Self(format!("{service}-{environment}"))
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The service this bundle names in `environment`; `None` when it is a bundle of another
    /// environment.
    #[must_use]
    pub fn service_in(&self, environment: &Label) -> Option<Label> {
        let service = self.0.strip_suffix(environment.as_str())?.strip_suffix('-')?;
        service.parse().ok()
    }
}

impl FromStr for BundleRef {
    type Err = BundleRefError;

    fn from_str(text: &str) -> Result<Self, BundleRefError> {
        // Two labels and a dash; where the cut is does not matter for the form.
        let is_label = |part: &str| part.parse::<Label>().map_err(|_: LabelError| ());
        let fits = text
            .match_indices('-')
            .any(|(at, _)| is_label(&text[..at]).is_ok() && is_label(&text[at + 1..]).is_ok());
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(BundleRefError(text.chars().take(140).collect()))
        }
    }
}

impl TryFrom<String> for BundleRef {
    type Error = BundleRefError;

    fn try_from(text: String) -> Result<Self, BundleRefError> {
        text.parse()
    }
}

impl From<BundleRef> for String {
    fn from(bundle: BundleRef) -> Self {
        bundle.0
    }
}

impl fmt::Display for BundleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of an immutable snapshot of a bundle, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What tells two generations apart that have the same number: after a restore of the database, on
/// another database, or in another project. A server without tags has none, and then nothing is
/// known about which generation a number names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GenerationTag(String);

/// Why a text is not a [`GenerationTag`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse tag of generation: must be 1 to {MAX_TAG_LENGTH} characters of a-z and 0-9")]
pub struct GenerationTagError;

/// A tag is part of a directory's name, beside those of the pod's other bundles.
const MAX_TAG_LENGTH: usize = 32;

impl GenerationTag {
    /// The tag's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GenerationTag {
    type Err = GenerationTagError;

    fn from_str(text: &str) -> Result<Self, GenerationTagError> {
        let fits = (1..=MAX_TAG_LENGTH).contains(&text.len())
            && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit());
        if fits { Ok(Self(text.to_owned())) } else { Err(GenerationTagError) }
    }
}

impl TryFrom<String> for GenerationTag {
    type Error = GenerationTagError;

    fn try_from(text: String) -> Result<Self, GenerationTagError> {
        text.parse()
    }
}

impl From<GenerationTag> for String {
    fn from(tag: GenerationTag) -> Self {
        tag.0
    }
}

impl fmt::Display for GenerationTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a secret's version, from 1 to the largest integer that every JSON parser reads
/// exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Version(pub u64);

/// Why a number is not a [`Version`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("parse version {0}: must be a number from 1 to {MAX_VERSION}")]
pub struct VersionError(u64);

const MAX_VERSION: u64 = (1 << 53) - 1;

impl TryFrom<u64> for Version {
    type Error = VersionError;

    fn try_from(number: u64) -> Result<Self, VersionError> {
        if (1..=MAX_VERSION).contains(&number) {
            Ok(Self(number))
        } else {
            Err(VersionError(number))
        }
    }
}

impl From<Version> for u64 {
    fn from(version: Version) -> Self {
        version.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_where_the_service_ends() {
        for (bundle, environment, service) in [
            ("api-prod", "prod", Some("api")),
            ("api-prod", "dev", None),
            ("my-api-prod", "prod", Some("my-api")),
            ("my-api-prod", "api-prod", Some("my")),
            ("api-prod", "api-prod", None),
            ("api-prod", "d", None),
        ] {
            let bundle: BundleRef = bundle.parse().unwrap();
            let found = bundle.service_in(&environment.parse().unwrap());
            assert_eq!(found.as_ref().map(Label::as_str), service, "{bundle} in {environment}");
        }
    }

    #[test]
    fn a_tag_is_a_short_word_that_a_directory_name_can_hold() {
        for text in ["0", "0123456789abcdef", "z9", &"a".repeat(32)] {
            assert_eq!(text.parse::<GenerationTag>().unwrap().as_str(), text);
        }
        for text in ["", "A", "a-b", "a_b", "a.b", "../a", "a/b", "a\0", "\u{e9}", &"a".repeat(33)]
        {
            assert!(text.parse::<GenerationTag>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn an_invalid_bundle_name_is_refused() {
        for text in [
            "",
            "api",
            "-prod",
            "api-",
            "Api-prod",
            "api prod",
            "api-prod ",
            "../api-prod",
            "api-prod*",
            "api%2fprod",
            "api-pröd",
            "a.b-c",
        ] {
            assert!(text.parse::<BundleRef>().is_err(), "{text:?} was accepted");
        }
    }
}
