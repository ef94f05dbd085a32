//! The secret files that the environment names.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use aws_lc_rs::digest::{SHA256, digest};

/// The suffix of a variable that names a file.
const SUFFIX: &str = "_FILE";

/// The path of each secret, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretPaths(BTreeMap<String, PathBuf>);

/// The SHA-256 of each secret, in hex, by its name. A real application would keep the values.
pub type Digests = BTreeMap<String, String>;

/// A file is unreadable.
#[derive(Debug, thiserror::Error)]
#[error("read {path} of {name}{SUFFIX}", path = path.display())]
pub struct ReadError {
    name: String,
    path: PathBuf,
    source: io::Error,
}

impl SecretPaths {
    /// Takes the paths from environment variables: `DATABASE_URL_FILE=/run/secrets/DATABASE_URL`.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let named = |(name, path): (String, String)| {
            let name = name.strip_suffix(SUFFIX).filter(|name| !name.is_empty())?.to_owned();
            Some((name, PathBuf::from(path)))
        };
        Self(variables.into_iter().filter_map(named).collect())
    }

    /// Reads every file.
    ///
    /// # Errors
    /// When one of them is unreadable.
    pub fn read(&self) -> Result<Digests, ReadError> {
        let one = |(name, path): (&String, &PathBuf)| match std::fs::read(path) {
            Ok(bytes) => Ok((name.clone(), sha256(&bytes))),
            Err(source) => Err(ReadError { name: name.clone(), path: path.clone(), source }),
        };
        self.0.iter().map(one).collect()
    }

    /// Reads the files and skips unreadable ones.
    #[must_use]
    pub fn read_available(&self) -> Digests {
        let one = |(name, path): (&String, &PathBuf)| {
            Some((name.clone(), sha256(&std::fs::read(path).ok()?)))
        };
        self.0.iter().filter_map(one).collect()
    }
}

/// The digest of each environment variable.
#[must_use]
pub fn variable_digests(variables: &[(String, String)]) -> Digests {
    variables.iter().map(|(name, value)| (name.clone(), sha256(value.as_bytes()))).collect()
}

/// SHA-256 in hex.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_matches_the_known_digest_of_nothing() {
        assert_eq!(sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn only_variables_with_the_suffix_name_files() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("A");
        io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), b"x").unwrap();
        let path = path.to_str().unwrap().to_owned();
        let variables = [
            ("A_FILE", path.as_str()),
            ("_FILE", "/nowhere"),
            ("PROFILE", "/nowhere"),
            ("A", "plain"),
        ];
        let paths = SecretPaths::from_variables(
            variables.map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        assert_eq!(paths.read().unwrap(), Digests::from([("A".to_owned(), sha256(b"x"))]));
    }

    #[test]
    fn a_missing_file_is_named() {
        let paths = SecretPaths::from_variables([("A_FILE".to_owned(), "/nowhere/A".to_owned())]);
        assert_eq!(paths.read().unwrap_err().to_string(), "read /nowhere/A of A_FILE");
        assert!(paths.read_available().is_empty());
    }
}
