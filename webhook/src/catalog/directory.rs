//! Fills the catalog from a directory of `<namespace>/<bundle>.json` or `.yaml` files, each a
//! `SecretBundle` object.
//!
//! For a machine without Kubernetes. If a file cannot be read, its bundle stays as it was.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use contract::BundleRef;
use injection::{Bundle, BundleLookup};
use runtime::logs::ErrorChain;
use runtime::readiness::Gate;
use runtime::watch::{Depth, DirectoryWatch};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Catalog, Namespaces, object};
use crate::poll::{POLL_INTERVALS, WarnOnChange};

/// A part of the directory could not be read.
#[derive(Debug, thiserror::Error)]
enum DirectoryError {
    #[error("read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("parse {path}: not the JSON or YAML of a SecretBundle")]
    Form { path: PathBuf },
}

/// Follows the directory until `stop` is cancelled; opens `gate` after the first read.
pub async fn run(root: PathBuf, catalog: Catalog, gate: Gate, stop: CancellationToken) {
    let follow = async {
        let mut warnings = WarnOnChange::default();
        loop {
            let watch = DirectoryWatch::new(&root, Depth::Tree, POLL_INTERVALS);
            match load(&root, &catalog) {
                Ok(()) => gate.ready(),
                Err(error) => warnings.warn("waiting for the bundles directory", &error),
            }
            watch.changed().await;
        }
    };
    let _ = stop.run_until_cancelled(follow).await;
}

/// Reads the whole directory.
fn load(root: &Path, catalog: &Catalog) -> Result<(), DirectoryError> {
    let mut all = Namespaces::new();
    for (namespace, directory) in entries(root)? {
        if !directory.is_dir() {
            continue;
        }
        let bundles = all.entry(namespace.clone()).or_default();
        for (name, path) in entries(&directory)? {
            let Some(name) = bundle_name(&name) else { continue };
            match read(&path) {
                Ok(Some(bundle)) => {
                    bundles.insert(name, bundle.into());
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(error = %ErrorChain(&error), "bundle file ignored, keeping its \
                        last good content");
                    let before = catalog.bundle(&namespace, &name);
                    bundles.extend(before.map(|bundle| (name, bundle)));
                }
            }
        }
    }
    catalog.replace(all);
    Ok(())
}

fn entries(directory: &Path) -> Result<Vec<(String, PathBuf)>, DirectoryError> {
    let failed = |source| DirectoryError::Read { path: directory.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    Ok(found)
}

/// The bundle that a file describes; `None` for other files, such as temporary ones.
fn bundle_name(file: &str) -> Option<String> {
    let (name, extension) = file.rsplit_once('.')?;
    let fits = matches!(extension, "json" | "yaml" | "yml") && name.parse::<BundleRef>().is_ok();
    fits.then(|| name.to_owned())
}

fn read(path: &Path) -> Result<Option<Bundle>, DirectoryError> {
    let text = fs::read_to_string(path)
        .map_err(|source| DirectoryError::Read { path: path.to_owned(), source })?;
    // JSON is YAML, so one parser reads both. Its message quotes the text, so it is dropped.
    let value: Value = serde_saphyr::from_str(&text)
        .map_err(|_| DirectoryError::Form { path: path.to_owned() })?;
    Ok(object::from_value(&value))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use runtime::readiness::Readiness;
    use runtime::tasks::Tasks;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test's input")]
    fn write(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn keys(catalog: &Catalog, name: &str) -> Option<Vec<String>> {
        catalog
            .bundle("shop-prod", name)
            .map(|bundle| bundle.keys.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn json_and_yaml_are_read_and_the_last_good_content_stays() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join("shop-prod").join(name);
        write(
            at("api-prod.json"),
            r#"{"apiVersion":"enclii.io/v1","kind":"SecretBundle","status":{"keys":["A"],"generation":1}}"#,
        );
        write(at("web-prod.yaml"), "spec:\n  keys: [B]\n");
        write(at("notes.txt"), "x");
        write(at(".api-prod.json.tmp"), "{");
        write(at("new-prod.json"), "{}");
        write(root.path().join("README"), "x");
        let catalog = Catalog::default();
        load(root.path(), &catalog).unwrap();
        assert_eq!(
            (keys(&catalog, "api-prod"), keys(&catalog, "web-prod")),
            (Some(vec!["A".into()]), Some(vec!["B".into()]))
        );
        assert_eq!(catalog.len(), 2);

        write(at("api-prod.json"), "{ half");
        fs::remove_file(at("web-prod.yaml")).unwrap();
        load(root.path(), &catalog).unwrap();
        assert_eq!(
            (keys(&catalog, "api-prod"), keys(&catalog, "web-prod")),
            (Some(vec!["A".into()]), None)
        );
        assert!(load(&root.path().join("absent"), &catalog).is_err());
    }

    #[tokio::test]
    async fn a_file_in_a_new_directory_is_seen() {
        let root = tempfile::tempdir().unwrap();
        let (catalog, readiness, tasks) = (Catalog::default(), Readiness::new(), Tasks::new());
        tasks.spawn(
            "bundles",
            run(
                root.path().to_owned(),
                catalog.clone(),
                readiness.gate("bundles"),
                tasks.stopping(),
            ),
        );
        for name in ["api-prod", "web-prod"] {
            write(root.path().join(format!("shop-prod/{name}.json")), r#"{"spec":{"keys":["A"]}}"#);
            while catalog.bundle("shop-prod", name).is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        assert!(readiness.is_ready());
        tasks.drain(Duration::from_secs(10)).await.unwrap();
    }
}
