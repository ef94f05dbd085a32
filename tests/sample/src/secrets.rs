//! The files that the environment names.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use aws_lc_rs::digest::{SHA256, digest};

/// What a variable that names a file ends with.
const SUFFIX: &str = "_FILE";

/// Where each secret is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places(BTreeMap<String, PathBuf>);

/// SHA-256 of each secret, in hex, by its name. What a real application would keep is the values.
pub type Digests = BTreeMap<String, String>;

/// A file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read {path} of {name}{SUFFIX}", path = path.display())]
pub struct ReadError {
    name: String,
    path: PathBuf,
    source: io::Error,
}

impl Places {
    /// From the variables of the environment: `DATABASE_URL_FILE=/run/secrets/DATABASE_URL`.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let named = |(name, path): (String, String)| {
            let name = name.strip_suffix(SUFFIX).filter(|name| !name.is_empty())?.to_owned();
            Some((name, PathBuf::from(path)))
        };
        Self(variables.into_iter().filter_map(named).collect())
    }

    /// Reads every file.
    ///
    /// # Errors
    /// Where one of them cannot be read.
    pub fn read(&self) -> Result<Digests, ReadError> {
        let one = |(name, path): (&String, &PathBuf)| match std::fs::read(path) {
            Ok(bytes) => Ok((name.clone(), sha256(&bytes))),
            Err(source) => Err(ReadError { name: name.clone(), path: path.clone(), source }),
        };
        self.0.iter().map(one).collect()
    }

    /// Reads every file that can be read.
    #[must_use]
    pub fn read_some(&self) -> Digests {
        let one = |(name, path): (&String, &PathBuf)| {
            Some((name.clone(), sha256(&std::fs::read(path).ok()?)))
        };
        self.0.iter().filter_map(one).collect()
    }
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
    fn a_digest_is_the_usual_one() {
        assert_eq!(sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn only_variables_that_name_files_count() {
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
        let places = Places::of(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(places.read().unwrap(), Digests::from([("A".to_owned(), sha256(b"x"))]));
    }

    #[test]
    fn a_missing_file_is_named() {
        let places = Places::of([("A_FILE".to_owned(), "/nowhere/A".to_owned())]);
        assert_eq!(places.read().unwrap_err().to_string(), "read /nowhere/A of A_FILE");
        assert!(places.read_some().is_empty());
    }
}
