//! Whether the pod can have its secrets delivered as it asks.

use contract::{Annotations, Delivery, ReloadRequest, annotations};

use crate::diagnostics::{Diagnostics, Violation, Warning, printable};
use crate::kubernetes_version::KubernetesVersion;
use crate::requested::RequestedSecrets;

/// Refuses what the cluster cannot do.
pub(crate) fn check(
    annotations: &Annotations,
    cluster: Option<KubernetesVersion>,
    diagnostics: &mut Diagnostics,
) {
    let request = &annotations.deliver;
    match cluster {
        None if request.uses(Delivery::Env) => {
            diagnostics.deny(Violation::UnknownVersion { annotation: annotations::DELIVER });
        }
        None if annotations.reload == ReloadRequest::Restart && !request.restarts_commands() => {
            diagnostics.deny(Violation::UnknownVersion { annotation: annotations::RELOAD });
        }
        Some(cluster) if request.uses(Delivery::Env) && cluster < KubernetesVersion::FILE_KEYS => {
            diagnostics.deny(Violation::EnvNeedsFileKeys { cluster });
        }
        _ => {}
    }
    if request.init_only && annotations.reload != ReloadRequest::None {
        let reload = printable(&annotations.reload.to_string());
        diagnostics.deny(Violation::ReloadWithInit { reload });
    }
}

/// Warns of names for which a delivery is asked and that no bundle has: a name with a mistake is
/// delivered as the others are, which may not be what its author wants.
pub(crate) fn warn_of_unknown_names(
    annotations: &Annotations,
    requested: &RequestedSecrets<'_>,
    diagnostics: &mut Diagnostics,
) {
    for name in annotations.deliver.by_name.keys() {
        let is_known = requested.bundle_with_key(name.as_str()).is_some();
        if !is_known && !requested.is_listed_env(name.as_str()) {
            diagnostics.warn(Warning::UnknownDelivery { name: name.clone() });
        }
    }
}

/// Warns if a new value reaches the application only by a rolling restart: the pod asks for
/// restarts that the cluster does not know, or it `has_variables`.
pub(crate) fn warn_of_rolling_restarts(
    annotations: &Annotations,
    (namespace, cluster): (&str, Option<KubernetesVersion>),
    has_variables: bool,
    diagnostics: &mut Diagnostics,
) {
    // What is asked for once does not change.
    if annotations.deliver.init_only {
        return;
    }
    let namespace = printable(namespace);
    match (&annotations.reload, cluster) {
        (ReloadRequest::Restart, _) if annotations.deliver.restarts_commands() => {}
        (ReloadRequest::Restart, Some(cluster)) => {
            diagnostics.warn(Warning::NoRestarts { cluster, namespace });
        }
        // Without a version it has been refused already.
        (ReloadRequest::Restart, None) => {}
        _ if has_variables => diagnostics.warn(Warning::VariablesStay { namespace }),
        _ => {}
    }
}
