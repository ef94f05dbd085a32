//! A path below a directory that the agent fills.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest path, in bytes.
pub const MAX_PATH_BYTES: usize = 512;

/// The longest name in a path, in bytes: that of Linux' file systems.
const MAX_NAME_BYTES: usize = 255;

/// The most files of one pod that are at another path too.
pub const MAX_PATHS: usize = 64;

/// A relative path: names with a slash between them, none of them `.` or beginning with two dots,
/// so that it never leads elsewhere, nor to what the agent keeps for itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);

/// A text is not a [`FilePath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "parse path {0:?}: must be relative, of names that are not '.' and do not begin with '..', and \
     have {MAX_PATH_BYTES} bytes at most, without control characters"
)]
pub struct FilePathError(String);

/// Why an annotation gives a file no other path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Not the name of a file.
    #[error(
        "parse file {0:?}: must start with a letter or '_' and go on with letters, digits, '_', \
         '.' or '-'"
    )]
    File(String),
    /// Not a path.
    #[error(transparent)]
    Path(#[from] FilePathError),
    /// A path of the agent's own.
    #[error("path {0} is the agent's own; choose another")]
    Reserved(FilePath),
    /// Two files at one path, or one below the other.
    #[error("paths {0} and {1} exclude each other; change one of them")]
    Overlap(FilePath, FilePath),
    /// More than a pod may have.
    #[error("a pod may have {MAX_PATHS} of them at most")]
    TooMany,
}

/// The names in a path, or `None` if it leads elsewhere than below its directory.
pub(crate) fn names(path: &str) -> Option<Vec<&str>> {
    let is_plain = |name: &&str| !name.is_empty() && *name != "." && !name.starts_with("..");
    let names: Vec<&str> = path.split('/').collect();
    names.iter().all(is_plain).then_some(names)
}

impl FilePath {
    /// The path's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names in it; never empty.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The name in the directory itself.
    #[must_use]
    pub fn first(&self) -> &str {
        self.0.split_once('/').map_or(self.as_str(), |(first, _)| first)
    }

    /// Whether the other path is one of the directories that lead to it.
    #[must_use]
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.strip_prefix(&other.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The directories that lead to it, outermost first.
    pub fn parents(&self) -> impl Iterator<Item = Self> {
        self.0.match_indices('/').map(|(at, _)| Self(self.0[..at].to_owned()))
    }
}

impl FromStr for FilePath {
    type Err = FilePathError;

    fn from_str(text: &str) -> Result<Self, FilePathError> {
        let fits = text.len() <= MAX_PATH_BYTES
            && !text.contains(char::is_control)
            && names(text).is_some_and(|it| it.iter().all(|name| name.len() <= MAX_NAME_BYTES));
        match fits {
            true => Ok(Self(text.to_owned())),
            false => Err(FilePathError(text.chars().take(80).collect())),
        }
    }
}

impl TryFrom<String> for FilePath {
    type Error = FilePathError;

    fn try_from(text: String) -> Result<Self, FilePathError> {
        text.parse()
    }
}

impl From<FilePath> for String {
    fn from(path: FilePath) -> Self {
        path.0
    }
}

/// A file has the name of its secret.
impl From<&crate::FileName> for FilePath {
    fn from(name: &crate::FileName) -> Self {
        Self(name.as_str().to_owned())
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths() {
        for text in ["a", ".dockerconfigjson", "nginx/tls.crt", "a/.b/c d/ü", &"x".repeat(255)] {
            assert_eq!(text.parse::<FilePath>().unwrap().to_string(), text);
        }
        let long = ["x"; 257].join("/");
        for text in ["", "/a", "a/", "a//b", ".", "a/./b", "..", "..data", "a/../b", "a\nb", &long]
        {
            assert!(text.parse::<FilePath>().is_err(), "{text:?}");
        }
        assert!("x".repeat(256).parse::<FilePath>().is_err());
        let path: FilePath = "a/b/c".parse().unwrap();
        assert_eq!(path.first(), "a");
        let is_below = |other: &str| path.is_below(&other.parse().unwrap());
        assert!(is_below("a") && is_below("a/b"));
        assert!(!is_below("a/b/c") && !is_below("a/b/c/d") && !is_below("b"));
        assert_eq!(path.parents().map(String::from).collect::<Vec<_>>(), ["a", "a/b"]);
    }

    proptest! {
        #[test]
        fn a_path_never_leaves_its_directory(text in "[a./ \\PC]{0,40}") {
            if let Ok(path) = text.parse::<FilePath>() {
                let is_normal = |it| matches!(it, Component::Normal(_));
                prop_assert!(Path::new(path.as_str()).components().all(is_normal), "{path}");
            }
        }
    }
}
