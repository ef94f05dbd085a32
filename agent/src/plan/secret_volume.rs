//! The files of the pod's other volumes: those of Secrets that bundles replace. Pure.

use std::collections::BTreeMap;

use contract::secret_volume::{SecretVolume, VolumeItem, VolumeSource};
use contract::{BundleRef, FileName, FilePath, Redacted, SecretName};

use super::FileContents;

/// A file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeFile {
    /// Its bytes.
    pub bytes: Redacted,
    /// Its permission bits.
    pub mode: u32,
}

/// The files of one volume.
pub type VolumeContents = BTreeMap<FilePath, VolumeFile>;

/// Why a volume cannot be filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretVolumeError {
    /// An item whose secret does not exist.
    #[error(
        "volume {volume} has an item for {secret}, which is not in bundle {bundle}; write it, or \
         set optional on the volume's Secret"
    )]
    Missing {
        /// The volume.
        volume: String,
        /// The secret.
        secret: SecretName,
        /// The bundle that the volume has it from.
        bundle: BundleRef,
    },
    /// A path that is a file's and a directory's.
    #[error("volume {volume} needs {path} as a file and as a directory; change the item's path")]
    Overlap {
        /// The volume.
        volume: String,
        /// The path.
        path: FilePath,
    },
}

/// The files of a volume, made of the secrets and the rendered files. `owners` says of which bundle
/// each secret is.
///
/// # Errors
/// When an item's secret does not exist, or two paths exclude each other.
pub(super) fn contents(
    volume: &SecretVolume,
    (secrets, rendered): (&FileContents, &FileContents),
    owners: &BTreeMap<SecretName, BundleRef>,
) -> Result<VolumeContents, SecretVolumeError> {
    let mut found = VolumeContents::new();
    for source in &volume.sources {
        let VolumeSource { bundle, mode, items, optional } = source;
        let value = |secret: &SecretName| {
            let is_of_bundle = owners.get(secret) == Some(bundle);
            let name = FileName::from(secret);
            secrets.get(&name).filter(|_| is_of_bundle).or_else(|| rendered.get(&name))
        };
        if items.is_empty() {
            let names = owners.iter().filter(|(_, owner)| *owner == bundle).map(|(name, _)| name);
            for name in names {
                let Some(bytes) = value(name) else { continue };
                let file = VolumeFile { bytes: bytes.clone(), mode: u32::from(mode.bits()) };
                found.insert(FilePath::from(&FileName::from(name)), file);
            }
        }
        for VolumeItem { secret, path, mode: own } in items {
            let mode = u32::from(own.unwrap_or(*mode).bits());
            match value(secret) {
                Some(bytes) => {
                    drop(found.insert(path.clone(), VolumeFile { bytes: bytes.clone(), mode }));
                }
                None if *optional => {}
                None => {
                    let (volume, secret) = (volume.directory.clone(), secret.clone());
                    let bundle = bundle.clone();
                    return Err(SecretVolumeError::Missing { volume, secret, bundle });
                }
            }
        }
    }
    let overlap = found.keys().flat_map(FilePath::parents).find(|it| found.contains_key(it));
    match overlap {
        Some(path) => Err(SecretVolumeError::Overlap { volume: volume.directory.clone(), path }),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What a volume of these sources holds, as `path mode value`.
    fn fill(sources: Value) -> Result<Vec<String>, String> {
        let volume =
            serde_json::from_value(json!({ "directory": "/v", "sources": sources })).unwrap();
        let secrets = [("a-prod", "CERT", "c"), ("a-prod", "KEY", "k"), ("b-prod", "TOKEN", "t")];
        let name = |text: &str| text.parse::<SecretName>().unwrap();
        let files = secrets
            .map(|(_, secret, value)| (FileName::from(&name(secret)), value.as_bytes().into()));
        let owners = secrets.map(|(owner, secret, _)| (name(secret), owner.parse().unwrap()));
        let rendered = [(FileName::from(&name("app.ini")), b"i".as_slice().into())].into();
        let found = contents(&volume, (&files.into(), &rendered), &owners.into());
        let file = |(path, VolumeFile { bytes, mode }): (FilePath, VolumeFile)| {
            format!("{path} {mode:o} {}", std::str::from_utf8(bytes.expose()).unwrap())
        };
        found.map(|all| all.into_iter().map(file).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn all_secrets_of_a_bundle_or_the_items_that_are_named() {
        let all = json!([{ "bundle": "a-prod", "mode": "0644" }]);
        assert_eq!(fill(all).unwrap(), ["CERT 644 c", "KEY 644 k"]);
        let items = json!([
            { "bundle": "a-prod", "mode": "0440", "items": [
                { "secret": "KEY", "path": "tls/key", "mode": "0400" },
                { "secret": "CERT", "path": "tls/crt" },
            ] },
            { "bundle": "b-prod", "mode": "0755" },
        ]);
        assert_eq!(fill(items).unwrap(), ["TOKEN 755 t", "tls/crt 440 c", "tls/key 400 k"]);
        let items = json!([{ "secret": "app.ini", "path": "config/.ini", "mode": "0600" }]);
        let rendered = json!([{ "bundle": "a-prod", "mode": "0644", "items": items }]);
        assert_eq!(fill(rendered).unwrap(), ["config/.ini 600 i"]);
        // The later source counts, as kubelet has it.
        let same = json!([
            { "bundle": "a-prod", "mode": "0644" },
            { "bundle": "b-prod", "mode": "0644", "items": [{ "secret": "TOKEN", "path": "KEY" }] },
        ]);
        assert_eq!(fill(same).unwrap(), ["CERT 644 c", "KEY 644 t"]);
    }

    #[test]
    fn an_item_without_a_secret_is_named_or_left_out() {
        let source = |optional: bool| {
            let items = json!([
                { "secret": "CERT", "path": "c" }, { "secret": "TOKEN", "path": "t" }
            ]);
            json!([
                { "bundle": "a-prod", "mode": "0644", "items": items, "optional": optional }
            ])
        };
        assert_eq!(fill(source(true)).unwrap(), ["c 644 c"]);
        let error = fill(source(false)).unwrap_err();
        assert!(error.contains("an item for TOKEN, which is not in bundle a-prod"), "{error}");
    }

    #[test]
    fn a_path_is_a_file_or_a_directory() {
        let items = json!([{ "secret": "CERT", "path": "x" }, { "secret": "KEY", "path": "x/y" }]);
        let error = fill(json!([{ "bundle": "a-prod", "mode": "0644", "items": items }]));
        assert!(error.unwrap_err().contains("needs x as a file and as a directory"));
    }
}
