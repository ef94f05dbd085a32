//! What a Secret's volume holds, in the agent's words.

use std::collections::BTreeSet;

use contract::secret_volume::{VolumeFileMode, VolumeItem, VolumeSource};
use contract::{BundleRef, FilePath, SecretName};

use crate::diagnostics::printable;
use crate::pod::{KeyToPath, Volume};
use crate::requested::RequestedSecrets;
use crate::secret_volume_problem::SecretVolumeProblem;

/// A bundle whose Secret is in a volume, and why the agent cannot fill it.
type Problem = (BundleRef, SecretVolumeProblem);

/// A Secret in a volume.
struct Source<'v> {
    name: &'v str,
    items: &'v [KeyToPath<'v>],
    optional: bool,
}

/// The sources of a volume, of which `bundle` replaces the first. `has_group` says whether the
/// pod's volumes belong to a group.
pub(super) fn of(
    volume: &Volume<'_>,
    bundle: BundleRef,
    requested: &RequestedSecrets<'_>,
    has_group: bool,
) -> Result<Vec<VolumeSource>, Problem> {
    let secrets = secrets(volume).ok_or_else(|| (bundle.clone(), SecretVolumeProblem::Mixed))?;
    let default_mode = [
        volume.secret.as_ref().and_then(|it| it.default_mode),
        volume.projected.as_ref().and_then(|it| it.default_mode),
    ];
    let default_mode = default_mode.into_iter().flatten().next();
    let mode = |bits: Option<i64>| match bits {
        Some(bits) => VolumeFileMode::of_kubelet(bits, has_group),
        None => VolumeFileMode::of_kubelet(i64::from(VolumeFileMode::DEFAULT.bits()), has_group),
    };
    let default = mode(default_mode).ok_or_else(|| (bundle.clone(), SecretVolumeProblem::Mode))?;
    let mut sources = Vec::new();
    for source in secrets {
        let Some((bundle, _)) = requested.bundle_named(source.name) else {
            return Err((bundle, SecretVolumeProblem::Mixed));
        };
        let failed = |problem: SecretVolumeProblem| ((*bundle).clone(), problem);
        let items = source.items.iter().map(|item| {
            let (secret, path) = item_names(item, (*bundle, source.optional), requested)?;
            let mode = item.mode.map(|bits| mode(Some(bits)).ok_or(SecretVolumeProblem::Mode));
            Ok(VolumeItem { secret, path, mode: mode.transpose()? })
        });
        let items = items.collect::<Result<Vec<_>, SecretVolumeProblem>>().map_err(failed)?;
        let (bundle, optional) = ((*bundle).clone(), source.optional);
        sources.push(VolumeSource { bundle, mode: default, items, optional });
    }
    match overlap(&sources) {
        Some(path) => Err((bundle, SecretVolumeProblem::Overlap { path })),
        None => Ok(sources),
    }
}

/// The first bundle that replaces a Secret in a volume.
pub(super) fn first_bundle(
    volume: &Volume<'_>,
    requested: &RequestedSecrets<'_>,
) -> Option<BundleRef> {
    let secret = volume.secret.iter().map(|it| &*it.secret_name);
    let projections = volume.projected.iter().flat_map(|it| it.sources.iter().flatten());
    let projected = projections.filter_map(|it| it.secret.as_ref()).map(|it| &*it.name);
    let mut found = secret.chain(projected).filter_map(|name| requested.bundle_named(name));
    found.next().map(|(bundle, _)| (*bundle).clone())
}

/// How long the items of a volume are at least, in the agent's configuration.
pub(super) fn item_bytes(volume: &Volume<'_>) -> usize {
    let all = secrets(volume).unwrap_or_default();
    let items = all.iter().flat_map(|source| source.items);
    items.map(|item| item.key.len() + item.path.len() + 2).sum()
}

/// The Secrets of a volume; `None` if there is something else in it.
fn secrets<'v>(volume: &'v Volume<'_>) -> Option<Vec<Source<'v>>> {
    if let Some(secret) = &volume.secret {
        let items = secret.items.as_deref().unwrap_or_default();
        let optional = secret.optional == Some(true);
        return Some(vec![Source { name: &secret.secret_name, items, optional }]);
    }
    let sources = volume.projected.as_ref()?.sources.iter().flatten();
    let secrets = sources.map(|projection| {
        let secret = projection.secret.as_ref()?;
        let items = secret.items.as_deref().unwrap_or_default();
        Some(Source { name: &secret.name, items, optional: secret.optional == Some(true) })
    });
    secrets.collect()
}

fn item_names(
    item: &KeyToPath<'_>,
    (bundle, optional): (&BundleRef, bool),
    requested: &RequestedSecrets<'_>,
) -> Result<(SecretName, FilePath), SecretVolumeProblem> {
    let key = printable(&item.key);
    let Ok(secret) = item.key.parse::<SecretName>() else {
        return Err(SecretVolumeProblem::KeyName { key });
    };
    if !optional && let Some(set) = requested.missing_key(bundle, secret.as_str()) {
        return Err(SecretVolumeProblem::NoSuchKey { key, set });
    }
    let path = item.path.parse();
    let path = path.map_err(|_| SecretVolumeProblem::Path { path: printable(&item.path) })?;
    Ok((secret, path))
}

/// A path that one item needs as a file, and another as a directory.
fn overlap(sources: &[VolumeSource]) -> Option<FilePath> {
    let paths = || sources.iter().flat_map(|it| &it.items).map(|item| &item.path);
    let files: BTreeSet<&FilePath> = paths().collect();
    paths().flat_map(FilePath::parents).find(|parent| files.contains(parent))
}
