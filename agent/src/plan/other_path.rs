//! The other paths at which files are. Pure.

use std::collections::BTreeMap;

use contract::{FileName, FilePath, SecretName};

use super::FileContents;

/// A path whose first name is a file's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("file {file} is to be at {path} too, and another file has that name; change the path")]
pub struct PathTaken {
    file: SecretName,
    path: FilePath,
}

/// The paths of those files that exist.
///
/// # Errors
/// When a file's own name is in the way.
pub(super) fn of_existing(
    paths: &BTreeMap<SecretName, FilePath>,
    files: &FileContents,
) -> Result<BTreeMap<FilePath, FileName>, PathTaken> {
    let mut found = BTreeMap::new();
    for (file, path) in paths {
        let is_taken = |(name, _): (&FileName, _)| name.as_str() == path.first();
        if files.iter().any(is_taken) {
            return Err(PathTaken { file: file.clone(), path: path.clone() });
        }
        let name = FileName::from(file);
        if files.contains_key(&name) {
            found.insert(path.clone(), name);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use contract::Redacted;

    use super::*;

    #[test]
    fn a_path_is_made_for_a_file_that_exists_and_where_no_file_is() {
        let name = |text: &str| text.parse::<SecretName>().unwrap();
        let files = ["CERT", "nginx"].map(|it| (FileName::from(&name(it)), Redacted::default()));
        let of = |file: &str, path: &str| {
            of_existing(&[(name(file), path.parse().unwrap())].into(), &files.clone().into())
        };
        let found = of("CERT", "tls/server.crt").unwrap();
        assert_eq!(found.values().map(FileName::as_str).collect::<Vec<_>>(), ["CERT"]);
        assert!(of("GONE", "tls/server.crt").unwrap().is_empty());
        let error = of("CERT", "nginx/server.crt").unwrap_err().to_string();
        assert!(error.starts_with("file CERT is to be at nginx/server.crt too"), "{error}");
    }
}
