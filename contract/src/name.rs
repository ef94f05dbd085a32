//! The name of a secret, and the names of its file and its variable in a pod.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::layout;

/// How many characters a secret's name has at most: as a path component's limit in Kubernetes.
const MAX_NAME_LEN: usize = 253;

/// A secret's name: `[A-Za-z_][A-Za-z0-9_.-]{0,252}`, so that it is a Kubernetes env var name, one
/// path component and never hidden, `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretName(String);

/// Why a text is not a [`SecretName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not of the required form.
    #[error(
        "parse secret name {0:?}: must start with a letter or '_' and go on with letters, digits, \
         '_', '.' or '-', at most {MAX_NAME_LEN} in all"
    )]
    Form(String),
    /// Longer than a name may be.
    #[error(
        "parse secret name {start:?}…: has {length} characters; a name has at most {MAX_NAME_LEN}"
    )]
    Long {
        /// The start of the text.
        start: String,
        /// How many characters it has.
        length: usize,
    },
    /// The name of a directory that the agent keeps in the volume.
    #[error(
        "parse secret name {0:?}: the name is reserved for the service-account token's mount point"
    )]
    Reserved(String),
}

impl SecretName {
    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The variable that points an application at the file: `DATABASE_URL` becomes
    /// `DATABASE_URL_FILE`, the convention of the official database images.
    #[must_use]
    pub fn file_variable(&self) -> String {
        format!("{}_FILE", self.0)
    }
}

impl FromStr for SecretName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bytes = text.as_bytes();
        let fits = bytes.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if !fits {
            return Err(NameError::Form(text.chars().take(80).collect()));
        }
        if bytes.len() > MAX_NAME_LEN {
            let start = text.chars().take(20).collect();
            return Err(NameError::Long { start, length: bytes.len() });
        }
        // The mount point of the service-account token is in the same volume (see `layout`).
        if text == layout::SERVICE_ACCOUNT_DIRECTORY {
            return Err(NameError::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

/// So that a set of names can be searched with any text.
impl Borrow<str> for SecretName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SecretName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<SecretName> for String {
    fn from(name: SecretName) -> Self {
        name.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One path component below the secrets directory, never one that the agent uses for itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(String);

impl FileName {
    /// The component's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A secret's file has the secret's name.
impl From<&SecretName> for FileName {
    fn from(name: &SecretName) -> Self {
        Self(name.0.clone())
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<std::path::Path> for FileName {
    fn as_ref(&self) -> &std::path::Path {
        self.0.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_invalid_name_is_refused() {
        for text in [
            "",
            ".",
            "..",
            "..data",
            ".hidden",
            "a/b",
            "/abs",
            "../x",
            "1ABC",
            "-x",
            "A B",
            "A\0",
            "A\n",
            "ÄÖ",
            "A\\B",
            "A=B",
            "kubernetes.io",
            &"A".repeat(254),
        ] {
            assert!(text.parse::<SecretName>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_long_name_is_refused_for_its_length() {
        let message = "A".repeat(300).parse::<SecretName>().unwrap_err().to_string();
        assert!(message.ends_with("has 300 characters; a name has at most 253"), "{message}");
    }

    #[test]
    fn a_valid_name_is_accepted() {
        for text in ["DATABASE_URL", "_x", "a.b-c", "tls.crt", "a..b", &"A".repeat(253)] {
            assert_eq!(text.parse::<SecretName>().unwrap().as_str(), text);
        }
        assert_eq!(
            "DATABASE_URL".parse::<SecretName>().unwrap().file_variable(),
            "DATABASE_URL_FILE"
        );
    }

    proptest! {
        #[test]
        fn a_name_is_one_normal_path_component(text in "\\PC{0,300}") {
            if let Ok(name) = text.parse::<SecretName>() {
                let file = FileName::from(&name);
                let components: Vec<_> = std::path::Path::new(file.as_str()).components().collect();
                prop_assert!(matches!(components.as_slice(), [std::path::Component::Normal(_)]));
                prop_assert!(!text.starts_with('.'));
            }
        }
    }
}
