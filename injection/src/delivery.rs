//! Whether the pod can have its secrets delivered as it asks.

use contract::{Annotations, Delivery};

use crate::diagnostics::{Diagnostics, Violation, Warning};
use crate::kubernetes_version::KubernetesVersion;
use crate::requested::RequestedSecrets;

/// Refuses what the cluster cannot do, and what this build does not do yet.
pub(crate) fn check(
    annotations: &Annotations,
    cluster: Option<KubernetesVersion>,
    diagnostics: &mut Diagnostics,
) {
    let request = &annotations.deliver;
    if request.uses(Delivery::Env) {
        match cluster {
            None => diagnostics.deny(Violation::UnknownVersion),
            Some(cluster) if cluster < KubernetesVersion::FILE_KEYS => {
                diagnostics.deny(Violation::EnvNeedsFileKeys { cluster });
            }
            Some(_) => {}
        }
    }
    if request.uses(Delivery::Exec) {
        diagnostics.deny(Violation::DeliveryUnavailable { delivery: Delivery::Exec.as_str() });
    }
    if request.init_only {
        diagnostics.deny(Violation::DeliveryUnavailable { delivery: "init" });
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
