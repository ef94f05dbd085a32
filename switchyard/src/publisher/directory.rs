//! Announcements as files, for a machine without a cluster.
//!
//! A file with a `spec` was written by a person and is never removed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use contract::SecretBundle;
use contract::secret_bundle::Status;

use super::plan::SecretBundleKey;
use crate::files::{self, Readers};

/// An announcement could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{step} announcement {path}")]
pub struct DirectoryError {
    step: &'static str,
    path: PathBuf,
    source: io::Error,
}

pub(super) fn read(
    root: &Path,
) -> Result<BTreeMap<SecretBundleKey, Option<Status>>, DirectoryError> {
    let mut all = BTreeMap::new();
    for namespace in entries(root)? {
        if !namespace.is_dir() {
            continue;
        }
        for file in entries(&namespace)? {
            let (Some(name), Some(bundle)) = (word(namespace.file_name()), word(file.file_stem()))
            else {
                continue;
            };
            if file.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = fs::read(&file).map_err(|source| DirectoryError {
                step: "read",
                path: file.clone(),
                source,
            })?;
            let found: SecretBundle = serde_json::from_slice(&text).unwrap_or_default();
            if found.spec.is_none() {
                all.insert(SecretBundleKey { namespace: name, bundle }, found.status);
            }
        }
    }
    Ok(all)
}

pub(super) fn put(
    root: &Path,
    key: &SecretBundleKey,
    status: &Status,
) -> Result<(), DirectoryError> {
    let path = path(root, key);
    let failed = |source| DirectoryError { step: "write", path: path.clone(), source };
    // What a person wrote into the same file stays.
    let spec = fs::read(&path)
        .ok()
        .and_then(|text| serde_json::from_slice::<SecretBundle>(&text).ok()?.spec);
    let text = serde_json::to_vec_pretty(&SecretBundle { spec, status: Some(status.clone()) })
        .map_err(|error| failed(error.into()))?;
    files::publish(&path, &text, Readers::All).map_err(failed)
}

pub(super) fn remove(root: &Path, key: &SecretBundleKey) -> Result<(), DirectoryError> {
    let path = path(root, key);
    match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|source| DirectoryError { step: "remove", path, source }),
    }
}

/// Namespaces and bundles are DNS labels with dashes: one path component each, and never hidden.
fn path(root: &Path, key: &SecretBundleKey) -> PathBuf {
    root.join(&key.namespace).join(format!("{}.json", key.bundle))
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, DirectoryError> {
    let failed = |source| DirectoryError { step: "list", path: directory.to_owned(), source };
    match fs::read_dir(directory) {
        Ok(entries) => {
            entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(failed(source)),
    }
}

/// A name that is ours to read: drafts of files begin with a dot.
fn word(name: Option<&std::ffi::OsStr>) -> Option<String> {
    Some(name?.to_str()?.to_owned()).filter(|name| !name.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use contract::Generation;

    use super::*;

    #[test]
    fn what_is_put_is_read_and_what_a_person_wrote_stays() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("bundles");
        assert!(read(&root).unwrap().is_empty());
        let key =
            |bundle: &str| SecretBundleKey { namespace: "shop-prod".into(), bundle: bundle.into() };
        let status =
            Status { keys: ["A".to_owned()].into(), scope: None, generation: Some(Generation(3)) };
        put(&root, &key("api-prod"), &status).unwrap();
        let by_hand = root.join("shop-prod/mine-prod.json");
        files::publish(&by_hand, br#"{"spec":{"keys":["B"]}}"#, Readers::All).unwrap();
        files::publish(&root.join("shop-prod/broken-prod.json"), b"{", Readers::All).unwrap();
        assert_eq!(
            read(&root).unwrap(),
            [(key("api-prod"), Some(status.clone())), (key("broken-prod"), None)].into()
        );

        put(&root, &key("mine-prod"), &status).unwrap();
        let both: SecretBundle = serde_json::from_slice(&fs::read(&by_hand).unwrap()).unwrap();
        assert_eq!(both.keys().unwrap(), ["A".to_owned(), "B".to_owned()].into());

        remove(&root, &key("api-prod")).unwrap();
        remove(&root, &key("api-prod")).unwrap();
        assert!(!root.join("shop-prod/api-prod.json").exists());
    }
}
