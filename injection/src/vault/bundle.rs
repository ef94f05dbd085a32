//! What a bundle is where Vault is the source: the keys that its mapping names.

use std::collections::BTreeSet;
use std::sync::Arc;

use contract::vault_source::{VaultRead, VaultSecret};
use contract::{BundleRef, SecretName, layout};

use super::VaultSecrets;
use crate::bundles::Bundle;
use crate::diagnostics::{Diagnostics, Violation};

/// The most bytes that the mappings of a pod may have. They are in its agent's configuration, which
/// is one variable, and the kernel takes no longer one than 128 KiB.
const MAX_MAPPING_BYTES: usize = layout::MAX_CONFIG_BYTES;

/// The most keys that a message names.
const MAX_NAMED: usize = 5;

/// The bundle with the keys that its mapping has. A key without a usable mapping is refused: its
/// variable would be taken away, and its file would never come.
pub(crate) fn mapped(
    name: &BundleRef,
    bundle: &Arc<Bundle>,
    map: impl Fn(&str) -> String,
    diagnostics: &mut Diagnostics,
) -> Arc<Bundle> {
    if bundle.vault.is_empty() {
        diagnostics.deny(Violation::NoMapping { bundle: name.clone(), map: map("NAME") });
    }
    let keys: BTreeSet<SecretName> =
        bundle.keys.iter().chain(bundle.vault.keys()).cloned().collect();
    let is_usable = |key: &SecretName| bundle.vault.get(key).is_some_and(Option::is_some);
    let unmapped: Vec<&SecretName> = keys.iter().filter(|key| !is_usable(key)).collect();
    if let Some(first) = unmapped.first().filter(|_| !bundle.vault.is_empty()) {
        let named = unmapped.iter().take(MAX_NAMED).map(|key| key.as_str()).collect::<Vec<_>>();
        let more = unmapped.len() - named.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        diagnostics.deny(Violation::UnmappedKeys {
            bundle: name.clone(),
            keys: named.join(", ") + &more,
            map: map(first.as_str()),
        });
    }
    let (project, environment) = (bundle.project.clone(), bundle.environment.clone());
    // Without the mapping, which may be long, and which `secrets` takes from the bundle itself.
    Arc::new(Bundle { keys, project, environment, ..Bundle::default() })
}

/// Where each secret of a pod's bundles is. Nothing, and a violation, if that is too much for the
/// agent's configuration.
pub(crate) fn secrets<'b>(
    bundles: impl Iterator<Item = (&'b BundleRef, &'b Bundle)> + Clone,
    diagnostics: &mut Diagnostics,
) -> VaultSecrets {
    let usable = |bundle: &'b Bundle| {
        bundle.vault.iter().filter_map(|(key, secret)| Some((key, secret.as_ref()?)))
    };
    // Counted before it is copied, since a bundle may have megabytes of it.
    let bytes: usize = bundles
        .clone()
        .flat_map(|(_, bundle)| usable(bundle))
        .map(|(key, secret)| key.as_str().len() + bytes(secret))
        .sum();
    if bytes > MAX_MAPPING_BYTES {
        diagnostics.deny(Violation::LongMapping { maximum: MAX_MAPPING_BYTES >> 10 });
        return VaultSecrets::new();
    }
    bundles
        .map(|(name, bundle)| {
            let secrets = usable(bundle).map(|(key, secret)| (key.clone(), secret.clone()));
            (name.clone(), secrets.collect())
        })
        .collect()
}

/// The length of what a secret's mapping says.
fn bytes(VaultSecret { read, field }: &VaultSecret) -> usize {
    let length = match read {
        VaultRead::Kv { mount, path, version: _ } => mount.as_str().len() + path.as_str().len(),
        VaultRead::Dynamic { path, parameters } | VaultRead::Pki { path, parameters } => {
            let parameters = parameters.iter().map(|(name, value)| name.len() + value.len());
            path.as_str().len() + parameters.sum::<usize>()
        }
    };
    field.len() + length
}
