//! Publishes bundles as files, for a machine without a cluster.
//!
//! A file with a `spec` was written by a person and is never removed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use contract::SecretBundle;
use contract::secret_bundle::Status;

use crate::files::{self, Readers};
use crate::secret_bundle_ref::SecretBundleRef;

/// A bundle's file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{step} bundle file {path}")]
pub struct DirectoryError {
    step: &'static str,
    path: PathBuf,
    source: io::Error,
}

pub(super) fn read(
    root: &Path,
) -> Result<BTreeMap<SecretBundleRef, Option<Status>>, DirectoryError> {
    let mut all = BTreeMap::new();
    for namespace in entries(root)? {
        if !namespace.is_dir() {
            continue;
        }
        for file in entries(&namespace)? {
            let (Some(name), Some(bundle)) =
                (visible_name(namespace.file_name()), visible_name(file.file_stem()))
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
                all.insert(SecretBundleRef { namespace: name, bundle }, found.status);
            }
        }
    }
    Ok(all)
}

pub(super) fn put(
    root: &Path,
    key: &SecretBundleRef,
    status: &Status,
) -> Result<(), DirectoryError> {
    let path = path(root, key);
    let failed = |source| DirectoryError { step: "write", path: path.clone(), source };
    // Keep a spec that a person wrote into the same file.
    let spec = fs::read(&path)
        .ok()
        .and_then(|text| serde_json::from_slice::<SecretBundle>(&text).ok()?.spec);
    let text = serde_json::to_vec_pretty(&SecretBundle { spec, status: Some(status.clone()) })
        .map_err(|error| failed(error.into()))?;
    files::write(&path, &text, Readers::All).map_err(failed)
}

pub(super) fn remove(root: &Path, key: &SecretBundleRef) -> Result<(), DirectoryError> {
    let path = path(root, key);
    match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|source| DirectoryError { step: "remove", path, source }),
    }
}

/// Namespaces and bundle names are DNS labels, so each is a single, visible path component.
fn path(root: &Path, key: &SecretBundleRef) -> PathBuf {
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

/// A visible file name. Temporary files start with a dot.
fn visible_name(name: Option<&std::ffi::OsStr>) -> Option<String> {
    Some(name?.to_str()?.to_owned()).filter(|name| !name.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use contract::Generation;

    use super::*;

    #[test]
    fn published_bundles_are_read_back_and_a_persons_spec_stays() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("bundles");
        assert!(read(&root).unwrap().is_empty());
        let key =
            |bundle: &str| SecretBundleRef { namespace: "shop-prod".into(), bundle: bundle.into() };
        let status = Status::new(["A".parse().unwrap()].into(), None, Some(Generation(3)));
        put(&root, &key("api-prod"), &status).unwrap();
        let by_hand = root.join("shop-prod/mine-prod.json");
        files::write(&by_hand, br#"{"spec":{"keys":["B"]}}"#, Readers::All).unwrap();
        files::write(&root.join("shop-prod/broken-prod.json"), b"{", Readers::All).unwrap();
        assert_eq!(
            read(&root).unwrap(),
            [(key("api-prod"), Some(status.clone())), (key("broken-prod"), None)].into()
        );

        put(&root, &key("mine-prod"), &status).unwrap();
        let both: SecretBundle = serde_json::from_slice(&fs::read(&by_hand).unwrap()).unwrap();
        assert_eq!(both.keys().unwrap(), ["A", "B"].map(|name| name.parse().unwrap()).into());

        remove(&root, &key("api-prod")).unwrap();
        remove(&root, &key("api-prod")).unwrap();
        assert!(!root.join("shop-prod/api-prod.json").exists());
    }
}
